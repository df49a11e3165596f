/*!
`barbule weights import`: converts the published weights of a trunk to Barbule's file format.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Subcommand, ValueHint};

use super::Context;
use crate::device::Device;
use crate::trunk::{TrunkKind, import_weights, weights};

/// Convert the published weights of a pretrained network (trunk)
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Convert published weights to a file for `train --weights`
    ///
    /// FILE is one of
    ///   ResNet-18 or ResNet-50 from torchvision (.pth) or timm (.safetensors)
    ///   the released EfficientNet-Lite0, as .pth or .safetensors
    ///
    /// PyTorch files are parsed without executing any code in them.
    #[command(
        verbatim_doc_comment,
        after_help = "Example: barbule weights import resnet50-0676ba61.pth --out resnet50.safetensors --half"
    )]
    Import {
        /// The file with the published weights
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Fail unless the weights are of this trunk: efficientnet-lite0, resnet18 or resnet50
        /// [default: detected from the tensor names]
        #[arg(long, value_name = "TRUNK")]
        trunk: Option<TrunkKind>,
        /// The file to write
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
        /// Store the convolutions in half precision, like the built-in trunk
        #[arg(long)]
        half: bool,
    },
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let Command::Import { file, trunk, out, half } = &args.command;
    // Conversion is fast enough on the CPU and must not require a graphics driver.
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
