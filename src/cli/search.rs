/*!
`barbule search`: the indexed images nearest to an image or a code.
*/

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueHint;

use super::answer::{Answer, OutputArgs, Seconds};
use super::query::{
    FileQuery, FilterArgs, IndexArgs, LocalQueries, Queries, RemoteQueries, collection,
    warn_unmatched,
};
use super::server::{SearchArgs, use_approximate};
use super::{Context, answer, gallery, list};
use crate::code::{BinaryCodes, Code};
use crate::engine::postgres::{Address, Remote};
use crate::index::{Hit, QueryImage, Search};

/// Find the indexed images most similar to an image
///
/// Hits are sorted by Hamming distance, then by the order in which they were indexed. If the image
/// itself is indexed, it comes first.
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
    /// The query images, indexed or not; each is searched separately. `-` reads paths from stdin,
    /// one per line
    #[arg(required_unless_present = "code", value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    images: Vec<PathBuf>,
    /// A query code, as `barbule encode` prints it; may be given several times
    #[arg(long, value_name = "HEX", conflicts_with = "images")]
    code: Vec<String>,
    /// Search for images near all queries, ranked by the sum of their distances
    #[arg(long)]
    together: bool,
    /// Maximum number of hits
    #[arg(short, default_value_t = 10, value_name = "K")]
    k: usize,
    /// Maximum distance of the hits, in bits; with --together, of the mean distance
    #[arg(long, value_name = "R")]
    radius: Option<u32>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Rerank the N nearest by the cosine of their features, which is finer than the distance of
    /// codes; needs an index made with --keep-features
    #[arg(long, value_name = "N")]
    rerank: Option<usize>,
    #[command(flatten)]
    index: IndexArgs,
    #[command(flatten)]
    elsewhere: SearchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    ensure!(args.rerank != Some(0), "--rerank must be at least 1");
    match &args.elsewhere.engine {
        Some(address) => search_server(context, args, address),
        None => search_index(context, args),
    }
}

fn search_index(context: &Context, args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let collection = collection(context, args.index.index.as_deref())?;
    let name = collection.path().display().to_string();
    if args.rerank.is_some() && !collection.snapshot().index().keeps_features()? {
        bail!("{name} has no stored features; run `barbule index --keep-features` first");
    }
    let opened = begun.elapsed();
    let named = args.index.model.as_deref();
    let queries = LocalQueries::new(context, collection, named, args.rerank.is_some())?;
    let asked = args.asked(&queries)?;
    let encoded = begun.elapsed();
    let collection = queries.collection();
    if collection.is_empty() {
        context.warn(format_args!("{name} holds no images"));
    } else if args.filter.names_any() {
        let filter = args.filter.filter()?;
        warn_unmatched(context, &filter, collection.snapshot().catalogue()?);
    }
    let mut answers = args.answers(&asked, &name, |search| Ok(collection.search(search)?))?;
    let ranked = begun.elapsed();
    if let Some(reason) = collection.snapshot().failure() {
        context.warn(format_args!("searched on the CPU instead: {reason}"));
    }
    let seconds = Seconds {
        opening: opened.as_secs_f64(),
        encoding: (encoded - opened).as_secs_f64(),
        ranking: (ranked - encoded).as_secs_f64(),
    };
    args.report(context, &mut answers, seconds)?;
    Ok(ExitCode::SUCCESS)
}

fn search_server(context: &Context, args: &Args, address: &str) -> Result<ExitCode> {
    let SearchArgs { server, approximate, explain_sql, timeout, .. } = &args.elsewhere;
    let begun = Instant::now();
    let connecting = server.connecting(Duration::from_secs(*timeout));
    let address = Address::parse(address, &connecting)?;
    let mut remote = Remote::open(address, server.table.clone(), &connecting)?;
    if *approximate {
        use_approximate(context, &mut remote)?;
    }
    let opened = begun.elapsed();
    let device = context.device()?;
    let queries = RemoteQueries::new(context, &device, &remote, args.index.model.as_deref())?;
    let asked = args.asked(&queries)?;
    let encoded = begun.elapsed();
    if *explain_sql {
        args.answers(&asked, &remote.place(), |search| {
            let explained = remote.explain(search)?;
            context.print(format_args!("{};\n\n{}\n", explained.sql, explained.plan))?;
            Ok(Vec::new())
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = remote.place();
    if remote.head().images == 0 {
        context.warn(format_args!("{place} holds no images"));
    }
    let mut answers = args.answers(&asked, &place, |search| Ok(remote.find(search)?))?;
    let ranked = begun.elapsed();
    let seconds = Seconds {
        opening: opened.as_secs_f64(),
        encoding: (encoded - opened).as_secs_f64(),
        ranking: (ranked - encoded).as_secs_f64(),
    };
    args.report(context, &mut answers, seconds)?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// Returns the queries: the images, or the codes of `--code`.
    fn asked(&self, queries: &dyn Queries) -> Result<Vec<FileQuery>> {
        if self.code.is_empty() {
            let query = |file: &PathBuf| {
                let image = queries.of_file(file)?;
                Ok(FileQuery { name: file.display().to_string(), image })
            };
            return files(&self.images)?.iter().map(query).collect();
        }
        if self.rerank.is_some() {
            bail!("--rerank needs the features of an image and cannot be used with --code");
        }
        let query = |text: &String| {
            let code = Code::from_hex(queries.bits(), text);
            let code = code.with_context(|| format!("--code {text}"))?;
            let image = QueryImage { code, content: None, features: None };
            Ok(FileQuery { name: text.clone(), image })
        };
        self.code.iter().map(query).collect()
    }

    /// Runs `find` for each query, or once for all of them with `--together`.
    fn answers(
        &self,
        asked: &[FileQuery],
        index: &str,
        mut find: impl FnMut(&Search) -> Result<Vec<Hit>>,
    ) -> Result<Vec<Answer>> {
        let groups = if self.together { asked.len().max(1) } else { 1 };
        let mut answers = Vec::new();
        for group in asked.chunks(groups) {
            let search = self.search(group)?;
            let names: Vec<&str> = group.iter().map(|query| query.name.as_str()).collect();
            answers.push(Answer {
                query: names.join(" + "),
                index: index.to_owned(),
                bits: search.codes().bits(),
                results: find(&search)?,
                seconds: None,
            });
        }
        Ok(answers)
    }

    /// Builds the search for one query, or for several together; `group` is not empty.
    fn search(&self, group: &[FileQuery]) -> Result<Search> {
        let (mut codes, mut features) = (None::<BinaryCodes>, Vec::<f32>::new());
        for FileQuery { image, .. } in group {
            codes.get_or_insert(BinaryCodes::new(image.code.bits())?).push(&image.code)?;
            if let Some(own) = &image.features {
                features.resize(own.len(), 0.0);
                features.iter_mut().zip(own).for_each(|(sum, x)| *sum += x);
            }
        }
        let codes = codes.context("no query image")?;
        let mut search = Search::nearest_to_all(codes, self.k).filtered(self.filter.filter()?);
        for content in group.iter().filter_map(|query| query.image.content) {
            search = search.marking(content);
        }
        if let Some(radius) = self.radius {
            search = search.within(radius);
        }
        if let Some(candidates) = self.rerank {
            search = search.rerank(candidates, features);
        }
        Ok(search)
    }

    /// Prints the answers, and the timings with `--timings`.
    fn report(&self, context: &Context, answers: &mut [Answer], seconds: Seconds) -> Result<()> {
        if self.output.timings {
            answers.iter_mut().for_each(|answer| answer.seconds = Some(seconds));
            let Seconds { opening, encoding, ranking } = seconds;
            context.say(format_args!(
                "opening {:.1} ms, encoding {:.1} ms, ranking {:.1} ms",
                opening * 1e3,
                encoding * 1e3,
                ranking * 1e3
            ));
        }
        if let Some(file) = &self.output.html {
            let page = gallery::render(answers, &context.limits)?;
            crate::file::write_whole(file, |out| out.write_all(page.as_bytes()))
                .with_context(|| format!("cannot write {}", file.display()))?;
            context.say(format_args!("page written to {}", file.display()));
        }
        answer::print(context, &self.output, answers)
    }
}

/// Returns the named images; `-` is replaced by those on stdin.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for file in named {
        if file != Path::new("-") {
            files.push(file.clone());
            continue;
        }
        let text = list::text(std::io::stdin().lock());
        let text = text.context("cannot read the paths on stdin")?;
        for line in list::paths(&text) {
            // File managers copy paths as URLs and in quotes.
            let line = line.trim().trim_matches(['"', '\'']);
            let line = line.strip_prefix("file://").unwrap_or(line);
            files.extend((!line.is_empty()).then(|| PathBuf::from(line)));
        }
    }
    ensure!(!files.is_empty(), "no paths on stdin; write one per line");
    Ok(files)
}
