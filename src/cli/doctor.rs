/*!
`barbule doctor`: reports adapters, versions and build features, and checks the GPU against the CPU.
*/

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::json;

use super::Context;
use crate::code::BinaryCodes;
use crate::device::{AdapterInfo, Device, DeviceChoice, adapters};
use crate::rank::{self, Ranker};

/// Numbers of codes and queries in the self-check.
const CODES: usize = 5000;
const QUERIES: usize = 16;

/// Show adapters, versions and features, and check the GPU against the CPU
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule doctor --device gpu")]
pub struct Args {}

/// The result of ranking random codes on two devices.
struct Check {
    compared: usize,
    different: usize,
    seconds: f64,
}

pub fn run(context: &Context, _: &Args) -> Result<ExitCode> {
    let (choice, name) = context.choice();
    let found = adapters(DeviceChoice::Gpu);
    let device = Device::open(choice, name)?;
    let check = match &device {
        Device::Gpu(_) => Some(compare(&device)?),
        Device::Cpu => None,
    };
    let shaders = translate();
    if context.json {
        context.print_json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": device.to_string(),
            "adapters": found.iter().map(adapter_json).collect::<Vec<_>>(),
            "features": features(),
            "versions": versions(),
            "check": check.as_ref().map(|c| json!({
                "hits": c.compared, "different": c.different, "seconds": c.seconds,
            })),
            "shaders": shaders.iter().map(|(n, r)| json!({ "kernel": n, "error": r.as_ref().err() })).collect::<Vec<_>>(),
        }))?;
    } else {
        print(context, &found, &device, check.as_ref(), &shaders)?;
    }
    if let Some(Check { different: 1.., .. }) = check {
        bail!("{device} ranks differently from the CPU; update its driver or use --device cpu");
    }
    if let Some((name, Err(reason))) = shaders.iter().find(|(_, result)| result.is_err()) {
        bail!("cannot translate the kernel {name}: {reason}");
    }
    Ok(ExitCode::SUCCESS)
}

fn print(
    context: &Context,
    found: &[AdapterInfo],
    device: &Device,
    check: Option<&Check>,
    shaders: &[(&str, Result<(), String>)],
) -> Result<()> {
    context.print(format_args!("barbule {}", env!("CARGO_PKG_VERSION")))?;
    context.print(format_args!("features   {}", features().join(", ")))?;
    let versions: Vec<_> = versions().iter().map(|(n, v)| format!("{n} {v}")).collect();
    context.print(format_args!("built on   {}", versions.join(", ")))?;
    if found.is_empty() {
        context.print("adapters   none: no graphics driver was found")?;
    }
    for adapter in found {
        context.print(format_args!("adapter {}  {adapter}, {}", adapter.index, adapter.driver))?;
    }
    context.print(format_args!("used       {device}"))?;
    if device.is_cpu() && found.iter().any(|adapter| adapter.software) {
        context.print("           software adapters are used only with --device gpu")?;
    }
    if !device.is_cpu() && !cfg!(feature = "tuned") {
        context.print("           built without `tuned`, which makes training on a GPU faster")?;
    }
    let errors = shaders.iter().filter(|(_, result)| result.is_err()).count();
    let verdict = if errors == 0 { "all translate" } else { "NOT all translate" };
    let kernels = shaders.len();
    context
        .print(format_args!("shaders    {kernels} kernels, {verdict} to SPIR-V, MSL and HLSL"))?;
    match check {
        Some(Check { compared, different: 0, seconds }) => context.print(format_args!(
            "check      {compared} hits of {CODES} codes are equal on GPU and CPU ({seconds:.2} s)"
        )),
        Some(Check { compared, different, .. }) => {
            context.print(format_args!("check      {different} of {compared} hits DIFFER"))
        }
        None => context.print("check      skipped: only the CPU is used"),
    }
}

fn adapter_json(adapter: &AdapterInfo) -> serde_json::Value {
    json!({
        "index": adapter.index, "name": adapter.name, "backend": adapter.backend,
        "kind": adapter.kind, "software": adapter.software, "driver": adapter.driver,
    })
}

/// Ranks the same random codes on the device and on the CPU, for several code lengths.
fn compare(device: &Device) -> Result<Check> {
    let begun = Instant::now();
    let (mut compared, mut different) = (0, 0);
    for bits in [12, 64, 1024] {
        let codes = Arc::new(BinaryCodes::from_signs(bits, &noise(1, CODES * bits))?);
        let queries = BinaryCodes::from_signs(bits, &noise(2, QUERIES * bits))?;
        let ranker = Ranker::new(device, codes.clone())?;
        let ours = ranker.top_k(&queries, 100)?;
        if let Some(reason) = ranker.failure() {
            bail!("{reason}; use --device cpu");
        }
        let reference = Ranker::new(&Device::Cpu, codes)?.top_k(&queries, 100)?;
        for (a, b) in ours.iter().flatten().zip(reference.iter().flatten()) {
            compared += 1;
            different += usize::from(a != b);
        }
        different += usize::from(ours.len() != reference.len());
    }
    Ok(Check { compared, different, seconds: begun.elapsed().as_secs_f64() })
}

/// Returns random signs, from a linear congruential generator.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        if state >> 63 == 0 { 1.0 } else { -1.0 }
    };
    (0..count).map(next).collect()
}

fn features() -> Vec<&'static str> {
    let all = [
        ("model", cfg!(feature = "model")),
        ("train", cfg!(feature = "train")),
        ("cli", cfg!(feature = "cli")),
        ("engine", cfg!(feature = "engine")),
        ("serve", cfg!(feature = "serve")),
        ("avif", cfg!(feature = "avif")),
        ("tuned", cfg!(feature = "tuned")),
    ];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
}

fn versions() -> [(&'static str, String); 4] {
    [
        ("burn", locked("burn")),
        ("wgpu", locked("wgpu")),
        ("sqlite", rusqlite::version().to_owned()),
        ("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)),
    ]
}

/// Returns the version of a dependency in Cargo.lock.
fn locked(package: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let after = lock.split_once(&format!("name = \"{package}\"\nversion = \""));
    let version = after.and_then(|(_, rest)| rest.split_once('"')).map(|(version, _)| version);
    version.unwrap_or("unknown").to_owned()
}

/// Translates every ranking kernel to the shader languages of the supported systems.
fn translate() -> Vec<(&'static str, Result<(), String>)> {
    rank::kernels().map(|(name, source)| (name, crate::cli::shaders::translate(&source))).collect()
}
