/*!
Translates a WGSL kernel to SPIR-V (Vulkan), MSL (Metal) and HLSL (DX12), to find kernels that would
fail on other systems.
*/

use naga::back::{hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// Validates a kernel and translates it to all three languages.
///
/// # Errors
/// The message of the parser, validator or translator.
pub fn translate(source: &str) -> Result<(), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
    let info = validator.validate(&module).map_err(|e| e.emit_to_string(source))?;
    let constants = Default::default();
    let (module, info) = process_overrides(&module, &info, None, &constants).map_err(text)?;
    spv::write_vec(&module, &info, &spv::Options::default(), None).map_err(text)?;
    let options = msl::Options { fake_missing_bindings: true, ..Default::default() };
    msl::write_string(&module, &info, &options, &msl::PipelineOptions::default()).map_err(text)?;
    let (mut out, options) = (String::new(), hlsl::Options::default());
    let pipeline = hlsl::PipelineOptions::default();
    let mut writer = hlsl::Writer::new(&mut out, &options, &pipeline);
    writer.write(&module, &info, None).map_err(text)?;
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
