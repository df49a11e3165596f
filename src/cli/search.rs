/*!
`barbule search`: the indexed images nearest to an image or a code.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Context;
use super::context::default_index;
use crate::code::BinaryCodes;
use crate::device::Device;
use crate::image;
use crate::index::{Found, Index, Searcher};
use crate::model::Model;

/// Find the indexed images that are most alike
///
/// Hits come in the order of their Hamming distance; those at the same distance in
/// the order in which they were indexed. An image that is itself indexed comes first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule search cat.jpg -k 10\n         \
                        barbule search bird.jpg --model birds.safetensors --index birds.db\n         \
                        barbule search --code 0f3a5577c2d1 --index birds.db")]
pub struct Args {
    /// The images to look for; each is a query of its own
    #[arg(required_unless_present = "code", value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    images: Vec<PathBuf>,
    /// A code to look for, as `barbule encode` prints it
    #[arg(long, value_name = "HEX", conflicts_with = "images")]
    code: Option<String>,
    /// How many hits
    #[arg(short, default_value_t = 10, value_name = "K")]
    k: usize,
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
    /// The model that the index was made with; needed only for images that are not indexed
    /// [default: the built-in general model]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: Option<PathBuf>,
}

/// The published fields of `search --json`.
#[derive(Debug, Serialize)]
struct Answer {
    query: String,
    index: String,
    bits: usize,
    results: Vec<Result_>,
}

#[derive(Debug, Serialize)]
struct Result_ {
    rank: usize,
    path: String,
    distance: u32,
    id: i64,
    label: Option<String>,
    same: bool,
}

impl From<Found> for Result_ {
    fn from(found: Found) -> Self {
        let Found { rank, path, distance, id, label, same } = found;
        Self { rank, path, distance, id, label, same }
    }
}

/// What is looked for: its name, its code, and the content that is the same image.
struct Query {
    name: String,
    code: BinaryCodes,
    content: Option<blake3::Hash>,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let path = match &args.index {
        Some(path) => path.clone(),
        None => default_index()?,
    };
    let index = Index::open(&path)?;
    let device = context.device()?;
    let mut model = OpenOnce { context, device: &device, index: &index, args, model: None };
    if args.model.is_some() {
        model.get()?;
    }
    let queries = match &args.code {
        Some(code) => {
            let name = code.clone();
            vec![Query { name, code: BinaryCodes::from_hex(index.bits(), code)?, content: None }]
        }
        None => args
            .images
            .iter()
            .map(|image| query(context, &index, &mut model, image))
            .collect::<Result<_>>()?,
    };
    let searcher = Searcher::new(&index, &device)?;
    if searcher.is_empty() {
        context.warn(format_args!("{} holds no images", path.display()));
    }
    let mut answers = Vec::new();
    for query in queries {
        let found = searcher.search(&index, &query.code, query.content.as_ref(), args.k)?;
        let results = found.into_iter().map(Result_::from).collect();
        let index = path.display().to_string();
        answers.push(Answer { query: query.name, index, bits: query.code.bits(), results });
    }
    if let Some(reason) = searcher.failure() {
        context.warn(format_args!("searched on the CPU instead: {reason}"));
    }
    match (context.json, answers.as_slice()) {
        (true, [answer]) => context.print_json(answer)?,
        (true, answers) => context.print_json(&answers)?,
        (false, answers) => {
            for answer in answers {
                if answers.len() > 1 {
                    context.print(format_args!("{}", answer.query))?;
                }
                context.print(table(answer))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The model, opened when it is first needed: an indexed image needs none.
struct OpenOnce<'a> {
    context: &'a Context,
    device: &'a Device,
    index: &'a Index,
    args: &'a Args,
    model: Option<Model>,
}

impl OpenOnce<'_> {
    /// Whether it is a model that only the user can name.
    fn unnamed(&self) -> bool {
        self.args.model.is_none() && self.index.model() != Model::general_fingerprint()
    }

    fn get(&mut self) -> Result<&Model> {
        let model = match self.model.take() {
            Some(model) => model,
            None => {
                let file = self.args.model.as_deref();
                let model = self.context.model(file, self.device)?;
                self.index.same_model(model.bits(), model.fingerprint())?;
                model
            }
        };
        Ok(self.model.insert(model))
    }
}

/// The code of an image: the stored one if its content is indexed.
fn query(context: &Context, index: &Index, model: &mut OpenOnce<'_>, path: &Path) -> Result<Query> {
    let name = path.display().to_string();
    let bytes = image::read(path)?;
    let content = blake3::hash(&bytes);
    if let Some(id) = index.with_content(&content)?.first() {
        return Ok(Query { name, code: index.code(*id)?, content: Some(content) });
    }
    if model.unnamed() {
        bail!(
            "{name} is not indexed, so its code has to be computed: name the model of this index with --model"
        );
    }
    let decoded = image::decode(&bytes, &context.limits).with_context(|| name.clone())?;
    let model = model.get()?;
    Ok(Query { name, code: model.encode(&decoded)?, content: None })
}

fn table(answer: &Answer) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["rank", "distance", "label", "path"]);
    for hit in &answer.results {
        let path =
            if hit.same { format!("{} (the same image)", hit.path) } else { hit.path.clone() };
        let label = hit.label.clone().unwrap_or_default();
        table.add_row([hit.rank.to_string(), hit.distance.to_string(), label, path]);
    }
    for column in table.column_iter_mut().take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
