/*!
The graphics adapter of the tests, where there is one.
*/

use barbule::device::{Device, DeviceChoice};

/// The graphics adapter, software if need be. Without one, tests that need it say that
/// they are skipped, or fail where `BARBULE_REQUIRE_GPU=1` asks for one.
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
