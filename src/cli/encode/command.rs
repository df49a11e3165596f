/*!
`barbule encode`: computes the codes of images.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{ValueEnum, ValueHint};
use serde::Serialize;

use super::parquet;
use crate::cli::context::plain_name;
use crate::cli::{Context, advice};
use crate::task::Task;

/// Compute binary codes of images, and print them or write them to a file
///
/// With --out, encodes folders or a --list of files into a Parquet file. No index is needed, and
/// `barbule export` and `barbule import` can read the file. With --shard I/N, encodes only part I
/// of N, so that N machines can share the work. All machines must see the same list: the same
/// folders, or the same --list, with the same paths. An interrupted run resumes where it stopped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: barbule encode bird.jpg --model birds.safetensors --format bits\n         \
                  barbule encode /photos --out codes.parquet\n         \
                  barbule encode --list all.txt --shard 3/16 --out parts/3.parquet"
)]
pub struct Args {
    /// Image files; with --out also folders
    #[arg(required_unless_present = "list")]
    #[arg(value_name = "IMAGE", value_hint = ValueHint::AnyPath)]
    images: Vec<PathBuf>,
    /// The model file, or an index that fitted its own hash [default: the built-in general model]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: Option<PathBuf>,
    /// Format of the printed codes
    #[arg(long, default_value = "hex")]
    format: Format,
    /// Write the codes to a NumPy file instead: packed bytes, one row per image
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    npy: Option<PathBuf>,
    #[command(flatten)]
    part: parquet::Args,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Two hexadecimal digits per byte, the format of `search --code`
    Hex,
    /// One character per bit, 0 or 1
    Bits,
}

#[derive(Debug, Serialize)]
struct Encoded<'a> {
    path: String,
    bits: usize,
    code: Option<&'a str>,
    error: Option<&'a str>,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    if args.part.is_wanted() {
        ensure!(args.npy.is_none(), "--out and --npy cannot be combined; leave one of them out");
        return parquet::run(context, &args.images, args.model.as_deref(), &args.part);
    }
    let model = context.model(args.model.as_deref(), &context.device()?)?;
    let encode =
        |task: &Task<'_>| model.encoder().features_of_files(&args.images, &context.limits, task);
    let features = context.with_progress("encoding", encode)?;
    let codes = model.codes(&features.values)?;
    if model.hash().codebooks().is_some() {
        context.say("these codes are words: they have no Hamming distance; an index compares them");
    }
    for (_, error) in &features.failures {
        context.warn(format_args!("skipped: {}", advice::told(error)));
    }
    let rows: Vec<String> = (0..codes.len())
        .map(|row| match args.format {
            Format::Hex => codes.hex(row),
            Format::Bits => codes.bit_string(row),
        })
        .collect();
    if context.json {
        let reasons: Vec<_> = features.failures.iter().map(|(i, e)| (*i, e.to_string())).collect();
        let mut documents: Vec<Encoded<'_>> = args
            .images
            .iter()
            .map(|path| {
                let path = path.display().to_string();
                Encoded { path, bits: codes.bits(), code: None, error: None }
            })
            .collect();
        for (position, row) in features.kept.iter().zip(&rows) {
            documents[*position].code = Some(row);
        }
        for (position, reason) in &reasons {
            documents[*position].error = Some(reason);
        }
        context.print_json(&documents)?;
    }
    if let Some(path) = &args.npy {
        crate::engine::numpy::write_codes(path, &codes)?;
        context.say(format_args!("wrote {} codes to {}", codes.len(), path.display()));
    }
    let elsewhere = args.npy.is_some();
    #[cfg(not(feature = "engine"))]
    let elsewhere = false;
    if !context.json && !elsewhere {
        for (position, row) in features.kept.iter().zip(&rows) {
            let name = args.images[*position].display().to_string();
            context.print(format_args!("{row}  {}", plain_name(&name)))?;
        }
    }
    let failed = features.failures.len();
    ensure!(failed == 0, "{failed} of {} images could not be encoded", args.images.len());
    Ok(ExitCode::SUCCESS)
}
