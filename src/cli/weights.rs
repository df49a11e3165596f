/*!
`barbule weights`: lists published weights, and converts them to Barbule's file format.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Subcommand, ValueHint};
use comfy_table::{Table, presets};
use serde_json::json;

use super::Context;
use crate::device::Device;
use crate::trunk::{Import, Input, PUBLISHED, Published, TrunkKind, import_weights, weights};

/// List or convert the published weights of pretrained networks (trunks)
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the networks whose published weights can be imported, with their licences
    ///
    /// Nothing is downloaded: get the files from their publisher; the publisher's terms apply.
    #[command(after_help = "Example: barbule weights list\n         \
                            barbule weights list dinov2-vits14-reg")]
    List {
        /// Show who publishes the weights of this trunk, and what may be done with them
        #[arg(value_name = "TRUNK")]
        trunk: Option<TrunkKind>,
    },
    /// Convert published weights to a file for `train --weights`
    ///
    /// FILE is a .safetensors file or a PyTorch checkpoint (.pth, .bin) of a network that `barbule
    /// weights list` names: in the form of its authors, or of the libraries torchvision, timm,
    /// transformers or OpenCLIP. PyTorch files are parsed without executing any code in them.
    #[command(
        after_help = "Example: barbule weights import resnet50-0676ba61.pth --out resnet50.safetensors --half"
    )]
    Import {
        /// The file with the published weights
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Fail unless the weights are of this trunk [default: detected from tensor names and
        /// shapes]. Needed for CLIP, whose activation cannot be detected: clip-… for OpenAI's,
        /// openclip-… for OpenCLIP's and BioCLIP
        #[arg(long, value_name = "TRUNK", verbatim_doc_comment)]
        trunk: Option<TrunkKind>,
        /// The publisher's config.json, open_clip_config.json or preprocessor_config.json, which
        /// tells how images are prepared [default: as is usual for the trunk]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
        /// The licence of the weights, for the cards of models that contain them
        #[arg(long, value_name = "TEXT")]
        licence: Option<String>,
        /// The file to write
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: PathBuf,
        /// Store the large tensors in half precision, like the built-in trunk
        #[arg(long)]
        half: bool,
    },
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::List { trunk } => list(context, *trunk)?,
        Command::Import { file, trunk, config, licence, out, half } => {
            let import = Import::default().with(|import| {
                import.trunk = *trunk;
                import.licence.clone_from(licence);
            });
            convert(context, file, import, config.as_deref(), out, *half)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context, trunk: Option<TrunkKind>) -> Result<()> {
    let found = PUBLISHED.iter().filter(|of| trunk.is_none_or(|trunk| of.trunk == trunk));
    let found: Vec<&Published> = found.collect();
    if context.json {
        return context.print_json(&found);
    }
    if trunk.is_none() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["trunk", "features", "licence", "publisher"]);
        for Published { trunk, licence, publisher, .. } in found {
            table.add_row([trunk.name(), &trunk.pooled().to_string(), licence, publisher]);
        }
        return context.print(table);
    }
    for Published { trunk, publisher, files, licence, terms, .. } in found {
        context.print(format_args!("{trunk}: {} features", trunk.pooled()))?;
        context.print(format_args!("  publisher  {publisher}"))?;
        context.print(format_args!("  files      {files}"))?;
        context.print(format_args!("  licence    {licence}"))?;
        context.print(format_args!("  terms      {terms}"))?;
    }
    Ok(())
}

fn convert(
    context: &Context,
    file: &Path,
    import: Import,
    config: Option<&Path>,
    out: &Path,
    half: bool,
) -> Result<()> {
    // Conversion is fast enough on the CPU and must not require a graphics driver.
    let mut trunk = import_weights(file, &import, &Device::Cpu.burn())?;
    if let Some(path) = config {
        let read = || format!("cannot read how images are prepared from {}", path.display());
        let text = std::fs::read_to_string(path).with_context(read)?;
        let input = Input::from_config(&text, trunk.input()).map_err(anyhow::Error::from_boxed);
        trunk = trunk.with_input(input.with_context(read)?);
    }
    weights::save(&trunk, out, half)?;
    let bytes = std::fs::metadata(out)?.len();
    let (kind, input) = (trunk.kind(), trunk.input());
    if context.json {
        return context.print_json(&json!({
            "file": out.display().to_string(), "trunk": kind.name(), "bytes": bytes,
            "half": half, "features": kind.pooled(), "input": input, "licence": trunk.licence(),
        }));
    }
    context.print(format_args!("{}: {kind}, {bytes} bytes", out.display()))?;
    context.print(format_args!("images: {input}"))?;
    context.print(format_args!("licence: {}", trunk.licence()))
}
