/*!
`barbule weights import`: converts a trunk's published weights to Barbule's file.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Subcommand, ValueHint};

use super::Context;
use crate::device::Device;
use crate::trunk::{TrunkKind, import_weights, weights};

/// Convert published trunk weights
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read published weights and write Barbule's file
    ///
    /// FILE is one of
    ///   torchvision's ResNet-18 or ResNet-50 (.pth), or timm's (.safetensors)
    ///   the released EfficientNet-Lite0 (.pth), or the same as .safetensors
    ///
    /// A file that PyTorch saved is read without running anything in it.
    #[command(
        verbatim_doc_comment,
        after_help = "Example: barbule weights import resnet50-0676ba61.pth --out resnet50.safetensors --half"
    )]
    Import {
        /// The published weights
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The trunk that it must be of: efficientnet-lite0, resnet18 or resnet50 [default: as
        /// the names in the file say]
        #[arg(long, value_name = "TRUNK")]
        trunk: Option<TrunkKind>,
        /// The file to write
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
        /// Convolutions in half precision, as the shipped trunk
        #[arg(long)]
        half: bool,
    },
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let Command::Import { file, trunk, out, half } = &args.command;
    // Conversion needs no speed, so no graphics driver either.
    let trunk = import_weights(file, *trunk, &Device::Cpu.burn())?;
    weights::save(&trunk, out, *half)?;
    let bytes = std::fs::metadata(out)?.len();
    if context.json {
        context.print_json(&serde_json::json!({
            "file": out.display().to_string(), "trunk": trunk.kind().name(), "bytes": bytes,
            "half": half,
        }))?;
    } else {
        context.print(format_args!("{}: {}, {bytes} bytes", out.display(), trunk.kind()))?;
    }
    Ok(ExitCode::SUCCESS)
}
