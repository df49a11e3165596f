/*!
`barbule label`: labels images by a vote of their labelled neighbours.
*/

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use clap::ValueHint;
use serde_json::json;

use super::Context;
use super::context::plain_name;
use super::query::{IndexArgs, LocalQueries, Queries, collection};
use crate::index::QueryOptions;

/// Label images by a vote of the labelled images most similar to them
///
/// The index must have labels (`barbule index --labels`). Nearer neighbours weigh more. Prints
/// "unknown" if no labelled image lies within the radius. The default radius contains 95 of 100
/// correct nearest neighbours of the index's own images.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule label bird.jpg --index birds.db")]
pub struct Args {
    /// The images to label
    #[arg(required = true, value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    images: Vec<PathBuf>,
    /// Number of neighbours that vote
    #[arg(short, default_value_t = 10, value_name = "K")]
    k: usize,
    /// Maximum distance of a voting neighbour: see `barbule search` [default: measured]
    #[arg(long, value_name = "R")]
    radius: Option<u32>,
    #[command(flatten)]
    index: IndexArgs,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    ensure!(args.k > 0, "-k must be at least 1");
    let collection = collection(context, args.index.index.as_deref())?;
    if collection.snapshot().catalogue()?.labels().is_empty() {
        bail!(
            "{} has no labels; run `barbule index --labels folder` (or FILE.csv) first",
            collection.path().display()
        );
    }
    let queries = LocalQueries::new(
        context,
        collection,
        args.index.model.as_deref(),
        QueryOptions::default(),
    )?;
    let collection = queries.collection();
    let radius = match args.radius {
        Some(radius) => radius,
        None => match collection.reach(args.k)? {
            None => bail!(
                "no image has the label of its nearest neighbour, so no radius can be measured; pass --radius"
            ),
            Some(reach) => {
                let of = match collection.snapshot().is_words() {
                    true => String::new(),
                    false => format!(" of {} bits", collection.bits()),
                };
                context.say(format_args!(
                    "radius: {}{of}; on {} labelled images of this index the vote is right for {:.0} %, wrong for {:.0} %",
                    reach.radius, reach.tried, 100.0 * reach.right, 100.0 * reach.wrong
                ));
                reach.radius
            }
        },
    };
    let mut answers = Vec::new();
    for image in &args.images {
        let query = queries.of_file(image)?;
        let vote = collection.label(&query, args.k, radius)?;
        let name = image.display().to_string();
        if !context.json {
            let said = match &vote.label {
                None => "unknown".to_owned(),
                Some(label) => format!("{label} ({:.0} %)", 100.0 * vote.confidence),
            };
            context.print(format_args!("{}: {}", plain_name(&name), plain_name(&said)))?;
        }
        let shares =
            vote.shares.iter().map(|(label, share)| json!({ "label": label, "share": share }));
        let neighbours = vote
            .neighbours
            .iter()
            .map(|hit| json!({ "path": hit.path, "label": hit.label, "distance": hit.distance }));
        answers.push(json!({
            "image": name, "label": vote.label, "confidence": vote.confidence,
            "radius": radius, "shares": shares.collect::<Vec<_>>(),
            "neighbours": neighbours.collect::<Vec<_>>(),
        }));
    }
    if context.json {
        match answers.as_slice() {
            [answer] => context.print_json(answer)?,
            answers => context.print_json(&answers)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
