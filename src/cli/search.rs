/*!
`barbule search`: the indexed images nearest to an image or a code.
*/

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueHint;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::context::plain_name;
use super::query::{Collection, FileQuery, FilterArgs, IndexArgs, Queries, index_path};
use super::{Context, advice, gallery};
use crate::code::BinaryCodes;
use crate::device::Device;
use crate::image;
use crate::index::{Found, Index, Query, Rerank, Searcher};

/// Find the indexed images that are most alike
///
/// Hits come in the order of their Hamming distance; those at the same distance in
/// the order in which they were indexed. An image that is itself indexed comes first.
///
/// The exit status is 0 even if nothing was found.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule search cat.jpg -k 10\n         \
                        barbule search bird.jpg --under ~/Pictures/2024 --html found.html\n         \
                        barbule search front.jpg side.jpg --together --rerank 200\n         \
                        barbule search cat.jpg --radius 40 --paths0 | xargs -0 cp -t cats/\n         \
                        barbule search --code 0f3a5577c2d1 --index birds.db\n         \
                        barbule search cat.jpg --engine postgres://me@db.example/photos")]
pub struct Args {
    /// The images to look for, indexed or not; each is a query of its own. A `-` reads paths
    /// from stdin, one a line
    #[arg(required_unless_present = "code", value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    images: Vec<PathBuf>,
    /// A code to look for, as `barbule encode` prints it; may be given several times
    #[arg(long, value_name = "HEX", conflicts_with = "images")]
    code: Vec<String>,
    /// Look for what is near to all the images: ranked by the sum of the distances
    #[arg(long)]
    together: bool,
    /// How many hits
    #[arg(short, default_value_t = 10, value_name = "K")]
    k: usize,
    /// Only hits up to this distance, in bits; with --together, of the mean distance
    #[arg(long, value_name = "R")]
    radius: Option<u32>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Put the N nearest into the order of their features' cosine, which is finer than that of
    /// the codes; needs an index made with --keep-features
    #[arg(long, value_name = "N")]
    pub rerank: Option<usize>,
    #[command(flatten)]
    index: IndexArgs,
    #[command(flatten)]
    pub elsewhere: super::server::SearchArgs,
    /// Print paths alone, each ended by a zero byte, for `xargs -0`
    #[arg(long, conflicts_with = "json")]
    paths0: bool,
    /// Write a page with pictures of the hits, complete in itself
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
    /// Show the hits in the terminal (kitty, iTerm2 and sixel pictures, else coloured blocks)
    #[arg(long, conflicts_with_all = ["json", "paths0"])]
    preview: bool,
    /// Say how long opening, encoding and ranking took
    #[arg(long)]
    timings: bool,
}

/// The published fields of `search --json`.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub query: String,
    pub index: String,
    pub bits: usize,
    pub results: Vec<Hit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<Seconds>,
}

/// A result of `search --json`.
#[derive(Debug, Serialize)]
pub struct Hit {
    pub rank: usize,
    pub path: String,
    pub distance: u32,
    pub id: i64,
    pub label: Option<String>,
    pub same: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f32>,
}

/// Where the time of a run went.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Seconds {
    /// Reading the index and bringing its codes to the device; connecting to a server.
    pub opening: f64,
    /// Making codes of the images, opening the model included.
    pub encoding: f64,
    /// Searching, and looking up what was found.
    pub ranking: f64,
}

impl From<Found> for Hit {
    fn from(found: Found) -> Self {
        let Found { rank, path, distance, id, label, same, similarity } = found;
        Self { rank, path, distance, id, label, same, similarity }
    }
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    ensure!(args.rerank != Some(0), "--rerank 0 compares nothing; leave it out");
    if let Some(address) = &args.elsewhere.engine {
        return super::server::search(context, args, address);
    }
    let begun = Instant::now();
    let path = index_path(args.index.index.as_deref())?;
    let index = Index::open(&path)?;
    let device = context.device()?;
    if args.rerank.is_some() && !index.keeps_features()? {
        bail!(
            "{} keeps no features to compare; run `barbule index --keep-features` once",
            path.display()
        );
    }
    let opened = begun.elapsed();
    let asked = args.asked(context, &device, &index)?;
    let encoded = begun.elapsed();
    let searcher = Searcher::new(&index, &device)?;
    let loaded = begun.elapsed();
    if searcher.is_empty() {
        context.warn(format_args!("{} holds no images", path.display()));
    }
    let mut answers = args
        .answers(&asked, &path.display().to_string(), |query| Ok(searcher.find(&index, query)?))?;
    let ranked = begun.elapsed();
    if let Some(reason) = searcher.failure() {
        context.warn(format_args!("searched on the CPU instead: {reason}"));
    }
    let seconds = Seconds {
        opening: (opened + (loaded - encoded)).as_secs_f64(),
        encoding: (encoded - opened).as_secs_f64(),
        ranking: (ranked - loaded).as_secs_f64(),
    };
    args.report(context, &mut answers, seconds)?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// What is looked for: codes of the images, or the code that is given.
    pub fn asked(
        &self,
        context: &Context,
        device: &Device,
        collection: &dyn Collection,
    ) -> Result<Vec<FileQuery>> {
        let named = self.index.model.as_deref();
        let mut queries = Queries::new(context, device, collection, named, self.rerank.is_some())?;
        if self.code.is_empty() {
            return files(&self.images)?.iter().map(|file| queries.of_file(file)).collect();
        }
        if self.rerank.is_some() {
            bail!("--rerank compares features, which a code has none of; search by an image");
        }
        let query = |text: &String| {
            let code = BinaryCodes::from_hex(collection.bits(), text);
            let code = code.with_context(|| format!("--code {text}"))?;
            Ok(FileQuery { name: text.clone(), code, content: None, features: None })
        };
        self.code.iter().map(query).collect()
    }

    /// What `find` finds for each image, or for all together.
    pub fn answers(
        &self,
        asked: &[FileQuery],
        index: &str,
        mut find: impl FnMut(&Query<'_>) -> Result<Vec<Found>>,
    ) -> Result<Vec<Answer>> {
        let filter = self.filter.filter()?;
        let groups = if self.together { asked.len().max(1) } else { 1 };
        let mut answers = Vec::new();
        for group in asked.chunks(groups) {
            let Some(first) = group.first() else { continue };
            let mut codes = BinaryCodes::new(first.code.bits())?;
            let mut contents = Vec::new();
            let mut features: Vec<f32> = Vec::new();
            for query in group {
                codes.extend(&query.code)?;
                contents.extend(query.content);
                if let Some(own) = &query.features {
                    features.resize(own.len(), 0.0);
                    features.iter_mut().zip(own).for_each(|(sum, x)| *sum += x);
                }
            }
            let rerank = self.rerank.map(|candidates| Rerank { candidates, features: &features });
            let found = find(&Query {
                codes: &codes,
                contents: &contents,
                k: self.k,
                radius: self.radius,
                filter: &filter,
                rerank,
            })?;
            let names: Vec<&str> = group.iter().map(|query| query.name.as_str()).collect();
            answers.push(Answer {
                query: names.join(" + "),
                index: index.to_owned(),
                bits: codes.bits(),
                results: found.into_iter().map(Hit::from).collect(),
                seconds: None,
            });
        }
        Ok(answers)
    }

    /// Says what was found, and, if that is asked for, how long it took.
    pub fn report(
        &self,
        context: &Context,
        answers: &mut [Answer],
        seconds: Seconds,
    ) -> Result<()> {
        if self.timings {
            answers.iter_mut().for_each(|answer| answer.seconds = Some(seconds));
            let Seconds { opening, encoding, ranking } = seconds;
            context.say(format_args!(
                "opening {:.1} ms, encoding {:.1} ms, ranking {:.1} ms",
                opening * 1e3,
                encoding * 1e3,
                ranking * 1e3
            ));
        }
        if let Some(file) = &self.html {
            let page = gallery::render(answers, &context.limits)?;
            crate::file::write_whole(file, |out| out.write_all(page.as_bytes()))
                .with_context(|| format!("cannot write {}", file.display()))?;
            context.say(format_args!("the page is {}", file.display()));
        }
        show(context, self, answers)
    }
}

/// The images that are named; `-` stands for those on stdin.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for file in named {
        if file != Path::new("-") {
            files.push(file.clone());
            continue;
        }
        for line in std::io::stdin().lock().lines() {
            let line = line.context("cannot read the paths on stdin")?;
            // A file manager's clipboard has them as addresses and in quotes.
            let line = line.trim().trim_matches(['"', '\'']);
            let line = line.strip_prefix("file://").unwrap_or(line);
            files.extend((!line.is_empty()).then(|| PathBuf::from(line)));
        }
    }
    ensure!(!files.is_empty(), "no path came on stdin; write one a line");
    Ok(files)
}

fn show(context: &Context, args: &Args, answers: &[Answer]) -> Result<()> {
    if context.json {
        return match answers {
            [answer] => context.print_json(answer),
            answers => context.print_json(&answers),
        };
    }
    if args.paths0 {
        let mut out = std::io::stdout().lock();
        for hit in answers.iter().flat_map(|answer| &answer.results) {
            out.write_all(hit.path.as_bytes())?;
            out.write_all(&[0])?;
        }
        return Ok(out.flush()?);
    }
    for answer in answers {
        if answers.len() > 1 {
            context.print(plain_name(&answer.query))?;
        }
        match args.preview {
            true => preview(context, answer)?,
            false => context.print(table(answer))?,
        }
    }
    Ok(())
}

/// What terminals that know kitty's pictures set in the environment, and those that know sixel.
///
/// Other terminals are not asked: one that does not answer would be waited for without end.
const KITTY: [(&str, &str); 5] = [
    ("KITTY_WINDOW_ID", ""),
    ("TERM", "kitty"),
    ("TERM", "ghostty"),
    ("TERM_PROGRAM", "WezTerm"),
    ("KONSOLE_VERSION", ""),
];
const SIXEL: [(&str, &str); 8] = [
    ("TERM", "foot"),
    ("TERM", "mlterm"),
    ("TERM", "contour"),
    ("TERM", "sixel"),
    ("TERM_PROGRAM", "mintty"),
    ("TERM_PROGRAM", "vscode"),
    ("XTERM_VERSION", ""),
    ("WT_SESSION", ""),
];

/// Whether the environment has one of these variables with such a part.
fn is_terminal_of(marks: &[(&str, &str)]) -> bool {
    marks.iter().any(|(name, part)| std::env::var(name).is_ok_and(|value| value.contains(part)))
}

/// Each hit as a picture in the terminal.
fn preview(context: &Context, answer: &Answer) -> Result<()> {
    // What is written to a file is read by no terminal.
    let terminal = std::io::stdout().is_terminal();
    let config = viuer::Config {
        absolute_offset: false,
        width: Some(40),
        use_kitty: terminal && is_terminal_of(&KITTY),
        use_iterm: terminal,
        use_sixel: terminal && is_terminal_of(&SIXEL),
        ..viuer::Config::default()
    };
    for hit in &answer.results {
        let path = plain_name(&hit.path);
        context.print(format_args!("{}. {path}, {} bits", hit.rank, hit.distance))?;
        match image::open(Path::new(&hit.path), &context.limits) {
            Ok(picture) => {
                let picture = ::image::DynamicImage::ImageRgb8(picture).thumbnail(640, 640);
                match viuer::print(&picture, &config) {
                    // As it is: a pipe that was closed is no failure.
                    Err(viuer::ViuError::Io(error)) => return Err(error.into()),
                    shown => drop(shown.context("cannot show a picture here")?),
                }
            }
            Err(error) => context.warn(advice::told(&error)),
        }
    }
    Ok(())
}

fn table(answer: &Answer) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let compared = answer.results.iter().any(|hit| hit.similarity.is_some());
    let mut header = vec!["rank", "distance", "label", "path"];
    if compared {
        header.insert(2, "cosine");
    }
    table.set_header(header);
    for hit in &answer.results {
        let path = plain_name(&hit.path);
        let path = if hit.same { format!("{path} (the same image)") } else { path };
        let label = plain_name(hit.label.as_deref().unwrap_or_default());
        let mut row = vec![hit.rank.to_string(), hit.distance.to_string(), label, path];
        if compared {
            row.insert(2, hit.similarity.map_or(String::new(), |cosine| format!("{cosine:.3}")));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().take(if compared { 3 } else { 2 }) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
