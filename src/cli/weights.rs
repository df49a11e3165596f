/*!
`barbule weights import`: converts a trunk's published weights to Barbule's file.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Subcommand, ValueHint};

use super::Context;
use crate::device::Device;
use crate::trunk::weights;

/// Convert published trunk weights
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read EfficientNet-Lite0 weights (.safetensors, with the released names) and write Barbule's file
    #[command(
        after_help = "Example: barbule weights import lite0.safetensors --out trunk.safetensors --half"
    )]
    Import {
        /// The published weights
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The file to write
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
        /// Convolutions in half precision, as the shipped trunk
        #[arg(long)]
        half: bool,
    },
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let Command::Import { file, out, half } = &args.command;
    // Conversion needs no speed, so no graphics driver either.
    let trunk = weights::import(file, &Device::Cpu.burn())?;
    weights::save(&trunk, out, *half)?;
    let bytes = std::fs::metadata(out)?.len();
    if context.json {
        context.print_json(
            &serde_json::json!({ "file": out.display().to_string(), "bytes": bytes, "half": half }),
        )?;
    } else {
        context.print(format_args!("{}: {bytes} bytes", out.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
