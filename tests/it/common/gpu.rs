/*!
The GPU that the tests use, if available.
*/

use barbule::device::{Device, DeviceChoice};

/// Opens the GPU, or a software adapter. Returns `None` if there is neither; panics in that case if
/// `BARBULE_REQUIRE_GPU=1`.
pub fn gpu() -> Option<Device> {
    match Device::open(DeviceChoice::Gpu, None) {
        Ok(device) => Some(device),
        Err(error) if std::env::var("BARBULE_REQUIRE_GPU").is_ok_and(|v| v == "1") => {
            panic!("BARBULE_REQUIRE_GPU=1, but {error}")
        }
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}
