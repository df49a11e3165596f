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
use crate::image::Area;
use crate::index::{CANDIDATES, Hit, QueryImage, QueryOptions, Search};

/// Find the indexed images most similar to an image
///
/// Finds the images with the smallest Hamming distance: the number of bits in which their codes
/// differ from the query's. The nearest of them are then sorted by their score, which also knows
/// how sure the model is of each bit of the query (see --order). If the image itself is indexed, it
/// comes first.
///
/// If the codes are words (`barbule train lda-words` and others), all images are sorted by the
/// distance between the query's values and the words of the image. Their distance is a thousand
/// times the squared one.
///
/// The exit status is 0 even if nothing was found.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule search cat.jpg -k 10\n         \
                        barbule search party.jpg --crop 40%,10%,20%,30%\n         \
                        barbule search bird.jpg --under ~/Pictures/2024 --html found.html\n         \
                        barbule search front.jpg side.jpg --together --rerank 200\n         \
                        barbule search ~/Pictures/cat.jpg --order hamming --timings\n         \
                        barbule search cat.jpg --radius 40 --paths0 | xargs -0 cp -t cats/\n         \
                        barbule search --code 0f3a5577c2d1 --index birds.db\n         \
                        barbule search cat.jpg --engine postgres://me@db.example/photos")]
pub struct Args {
    /// The query images, indexed or not; each is searched separately. `-` reads paths from stdin,
    /// one per line
    #[arg(required_unless_present = "code", value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    images: Vec<PathBuf>,
    /// Search for a part of the image only: left, top, width and height in pixels of the upright
    /// picture, or in percent of its sides; with several images, of each
    #[arg(long, value_name = "X,Y,W,H", conflicts_with = "code")]
    crop: Option<Area>,
    /// A query code, as `barbule encode` prints it; may be given several times
    #[arg(long, value_name = "HEX", conflicts_with = "images")]
    code: Vec<String>,
    /// Search for images near all queries, by the sums of their distances and scores
    #[arg(long)]
    together: bool,
    /// Maximum number of hits
    #[arg(short, default_value_t = 10, value_name = "K")]
    k: usize,
    /// Maximum distance of the hits, in bits (of words, see above); with --together, of the mean
    /// distance
    #[arg(long, value_name = "R")]
    radius: Option<u32>,
    #[command(flatten)]
    filter: FilterArgs,
    /// The order of the nearest images [default: asymmetric; with --code: hamming]
    #[arg(long, value_enum, conflicts_with = "rerank")]
    order: Option<By>,
    /// Number of nearest images that --order sorts; those behind them follow by Hamming distance
    /// [default: 1000]
    #[arg(long, value_name = "R", conflicts_with = "rerank")]
    candidates: Option<usize>,
    /// The same as --order cosine --candidates N
    #[arg(long, value_name = "N")]
    rerank: Option<usize>,
    #[command(flatten)]
    index: IndexArgs,
    #[command(flatten)]
    elsewhere: SearchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The orders of hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// By the score of a code: the cosine of the query's values, from which its own code keeps
    /// only the signs, and the code; at most 1. An indexed image is encoded again for them, and
    /// the order is hamming if it or the model is missing. The score of several images --together
    /// is the sum of theirs
    Asymmetric,
    /// By Hamming distance, then in the order in which they were indexed. An indexed image is
    /// searched for without the model, which is the fastest
    Hamming,
    /// By the cosine of the features, from which codes are computed; needs an index made with
    /// --keep-features
    Cosine,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Asymmetric => "asymmetric",
            Self::Hamming => "hamming",
            Self::Cosine => "cosine",
        }
    }
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    args.check()?;
    match &args.elsewhere.engine {
        Some(address) => search_server(context, args, address),
        None => search_index(context, args),
    }
}

fn search_index(context: &Context, args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let collection = collection(context, args.index.index.as_deref())?;
    let name = collection.path().display().to_string();
    if args.order() == By::Cosine && !collection.snapshot().index().keeps_features() {
        bail!("{name} has no stored features; run `barbule index --keep-features` first");
    }
    if collection.snapshot().is_words() {
        args.check_words(&name)?;
    }
    let opened = begun.elapsed();
    let named = args.index.model.as_deref();
    let queries = LocalQueries::new(context, collection, named, args.query_options())?;
    let asked = args.asked(&queries)?;
    let encoded = begun.elapsed();
    let collection = queries.collection();
    if collection.is_empty() {
        context.warn(format_args!("{name} holds no images"));
    } else if args.filter.names_any() {
        let filter = args.filter.filter()?;
        warn_unmatched(context, &filter, collection.snapshot().catalogue()?);
    }
    let snapshot = collection.snapshot();
    let mut answers = args.answers(&asked, &name, snapshot.is_words(), |search| {
        Ok((snapshot.order_of(search), snapshot.search(search)?))
    })?;
    let ranked = begun.elapsed();
    if let Some(reason) = snapshot.failure() {
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
    let named = args.index.model.as_deref();
    let queries = RemoteQueries::new(context, &device, &remote, named, args.query_options())?;
    let asked = args.asked(&queries)?;
    let encoded = begun.elapsed();
    if *explain_sql {
        args.answers(&asked, &remote.place(), false, |search| {
            let explained = remote.explain(search)?;
            context.print(format_args!("{};\n\n{}\n", explained.sql, explained.plan))?;
            Ok((search.order().name(), Vec::new()))
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = remote.place();
    if remote.head().images == 0 {
        context.warn(format_args!("{place} holds no images"));
    }
    let find = |search: &Search| Ok((search.order().name(), remote.find(search)?));
    let mut answers = args.answers(&asked, &place, false, find)?;
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
    fn check(&self) -> Result<()> {
        ensure!(self.rerank != Some(0), "--rerank must be at least 1");
        ensure!(self.candidates != Some(0), "--candidates must be at least 1");
        let (order, code) = (self.order(), !self.code.is_empty());
        if code && self.rerank.is_some() {
            bail!("--rerank needs the features of an image and cannot be used with --code");
        }
        if code && order != By::Hamming {
            bail!("--order {} needs an image and cannot be used with --code", order.name());
        }
        if order == By::Hamming && self.candidates.is_some() {
            bail!("--candidates sorts by scores and cannot be used with --order hamming or --code");
        }
        if order == By::Cosine && self.elsewhere.engine.is_some() {
            bail!("--order cosine needs features, which a server does not store");
        }
        Ok(())
    }

    /// Checks the options of a search among words.
    fn check_words(&self, index: &str) -> Result<()> {
        if self.order == Some(By::Hamming) {
            bail!(
                "the codes of {index} are words, which have no Hamming distance; leave --order out"
            );
        }
        if self.order() != By::Cosine && self.candidates.is_some() {
            bail!(
                "the codes of {index} are words, by which all images are ordered; leave --candidates out"
            );
        }
        Ok(())
    }

    fn order(&self) -> By {
        match self.order {
            _ if self.rerank.is_some() => By::Cosine,
            Some(order) => order,
            None if self.code.is_empty() => By::Asymmetric,
            None => By::Hamming,
        }
    }

    /// Returns what the queries need for the order.
    fn query_options(&self) -> QueryOptions {
        let options = match self.order() {
            By::Asymmetric => QueryOptions::default().with_values(),
            By::Hamming => QueryOptions::default(),
            By::Cosine => QueryOptions::default().with_features(),
        };
        match self.crop {
            Some(area) => options.with_area(area),
            None => options,
        }
    }

    /// Returns the queries: the images, or the codes of `--code`.
    fn asked(&self, queries: &dyn Queries) -> Result<Vec<FileQuery>> {
        if self.code.is_empty() {
            let query = |file: &PathBuf| {
                let image = queries.of_file(file)?;
                Ok(FileQuery { name: file.display().to_string(), image })
            };
            return files(&self.images)?.iter().map(query).collect();
        }
        let query = |text: &String| {
            let code = Code::from_hex(queries.bits(), text);
            let code = code.with_context(|| format!("--code {text}"))?;
            Ok(FileQuery { name: text.clone(), image: QueryImage::of_code(code) })
        };
        self.code.iter().map(query).collect()
    }

    /// Runs `find` for each query, or once for all of them with `--together`. It returns the name
    /// of the order and the hits.
    fn answers(
        &self,
        asked: &[FileQuery],
        index: &str,
        words: bool,
        mut find: impl FnMut(&Search) -> Result<(&'static str, Vec<Hit>)>,
    ) -> Result<Vec<Answer>> {
        let groups = if self.together { asked.len().max(1) } else { 1 };
        let mut answers = Vec::new();
        for group in asked.chunks(groups) {
            let search = self.search(group)?;
            let (order, results) = find(&search)?;
            let names: Vec<&str> = group.iter().map(|query| query.name.as_str()).collect();
            answers.push(Answer {
                query: names.join(" + "),
                index: index.to_owned(),
                bits: search.codes().bits(),
                order,
                crop: self.crop,
                results,
                words,
                seconds: None,
            });
        }
        Ok(answers)
    }

    /// Builds the search for one query, or for several together; `group` is not empty.
    fn search(&self, group: &[FileQuery]) -> Result<Search> {
        let mut codes = None::<BinaryCodes>;
        for FileQuery { image, .. } in group {
            codes.get_or_insert(BinaryCodes::new(image.code.bits())?).push(&image.code)?;
        }
        let codes = codes.context("no query image")?;
        let mut search = Search::nearest_to_all(codes, self.k).filtered(self.filter.filter()?);
        for content in group.iter().filter_map(|query| query.image.content) {
            search = search.marking(content);
        }
        if let Some(radius) = self.radius {
            search = search.within(radius);
        }
        Ok(self.ordered(search, group))
    }

    /// Sets the order of a search. It stays the one by distances if the values of an image of
    /// `group` are not known.
    fn ordered(&self, search: Search, group: &[FileQuery]) -> Search {
        let candidates = self.rerank.or(self.candidates).unwrap_or(CANDIDATES);
        match self.order() {
            By::Hamming => search,
            By::Asymmetric => {
                let values: Option<Vec<&[f32]>> =
                    group.iter().map(|query| query.image.values.as_deref()).collect();
                match values {
                    Some(values) => search.by_values(candidates, values.concat()),
                    None => search,
                }
            }
            By::Cosine => {
                let mut features = Vec::<f32>::new();
                for own in group.iter().filter_map(|query| query.image.features.as_ref()) {
                    features.resize(own.len(), 0.0);
                    features.iter_mut().zip(own).for_each(|(sum, x)| *sum += x);
                }
                search.by_features(candidates, features)
            }
        }
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
