/*!
The answers of a search, and how they are printed.
*/

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueHint;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::Context;
use super::context::plain_name;
use crate::image::{self, Area, Rect};
use crate::index::{Hit, Region};

/// The output options of a search.
#[derive(Debug, clap::Args)]
pub struct OutputArgs {
    /// Print only paths, each followed by a zero byte, for `xargs -0`
    #[arg(long, conflicts_with = "json")]
    pub paths0: bool,
    /// Write a self-contained HTML page with pictures of the hits
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
    /// Show the hits in the terminal (kitty, iTerm2 and sixel pictures, else coloured blocks)
    #[arg(long, conflicts_with_all = ["json", "paths0"])]
    pub preview: bool,
    /// Print the time of opening, encoding and ranking
    #[arg(long)]
    pub timings: bool,
}

/// The published fields of `search --json`.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub query: String,
    pub index: String,
    pub bits: usize,
    /// The order of the hits: see [`Snapshot::order_of`](crate::index::Snapshot::order_of).
    pub order: &'static str,
    /// The part of the query that was searched for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub crop: Option<Area>,
    pub results: Vec<Hit>,
    /// True if codes are words.
    #[serde(skip)]
    pub words: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Seconds>,
}

fn as_text<S: serde::Serializer>(area: &Option<Area>, to: S) -> Result<S::Ok, S::Error> {
    area.map(|area| area.to_string()).serialize(to)
}

impl Answer {
    /// Describes the distance of a hit.
    pub fn distance(&self, hit: &Hit) -> String {
        if self.words {
            format!("distance {}", hit.distance)
        } else {
            format!("{} bits", hit.distance)
        }
    }
}

/// Time of the steps of a search.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Seconds {
    /// Reading the index and loading its codes onto the device, or connecting to a server.
    pub opening: f64,
    /// Encoding the queries, including opening the model.
    pub encoding: f64,
    /// Searching, and reading the rows of the hits.
    pub ranking: f64,
}

/// Prints answers: as JSON, as paths, as pictures or as tables.
pub fn print(context: &Context, args: &OutputArgs, answers: &[Answer]) -> Result<()> {
    if context.json {
        return match answers {
            [answer] => context.print_json(answer),
            answers => context.print_json(&answers),
        };
    }
    if args.paths0 {
        let hits = answers.iter().flat_map(|answer| &answer.results);
        return context.print_paths0(hits.map(|hit| hit.path.as_str()));
    }
    for answer in answers {
        if answers.len() > 1 {
            context.print(plain_name(&answer.query))?;
        }
        if args.preview {
            preview(context, answer)?;
        } else {
            context.print(table(answer))?;
        }
    }
    Ok(())
}

/// Environment variables set by terminals that support kitty's image protocol, and sixel.
///
/// Terminals are not queried: one that does not answer would block the program.
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

/// Returns whether one of these variables is set and contains its text.
fn is_terminal_of(marks: &[(&str, &str)]) -> bool {
    marks.iter().any(|(name, part)| std::env::var(name).is_ok_and(|value| value.contains(part)))
}

/// Shows each hit as a picture in the terminal.
fn preview(context: &Context, answer: &Answer) -> Result<()> {
    // A file or pipe must not get escape sequences.
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
        context.print(format_args!("{}. {path}, {}", hit.rank, answer.distance(hit)))?;
        match image::open(Path::new(&hit.path), &context.limits) {
            Ok(picture) => {
                let picture = ::image::DynamicImage::ImageRgb8(picture).thumbnail(640, 640);
                match viuer::print(&picture, &config) {
                    // Unchanged, so that the caller recognises a closed pipe.
                    Err(viuer::ViuError::Io(error)) => return Err(error.into()),
                    shown => drop(shown.context("cannot show a picture in this terminal")?),
                }
            }
            Err(error) => context.warn(error),
        }
    }
    Ok(())
}

fn table(answer: &Answer) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // No search has both.
    let finer = |hit: &Hit| hit.score.or(hit.similarity);
    let name =
        if answer.results.iter().any(|hit| hit.score.is_some()) { "score" } else { "cosine" };
    let compared = answer.results.iter().any(|hit| finer(hit).is_some());
    let mut header = vec!["rank", "distance", "label", "path"];
    if compared {
        header.insert(2, name);
    }
    table.set_header(header);
    for hit in &answer.results {
        let path = plain_name(&hit.path);
        let path = if hit.same { format!("{path} (the same image)") } else { path };
        let path = if hit.gone { format!("{path} (not there now)") } else { path };
        let path = match &hit.region {
            Some(Region { rect: Rect { x, y, width, height }, .. }) => {
                format!("{path} (at {x},{y},{width},{height})")
            }
            None => path,
        };
        let label = plain_name(hit.label.as_deref().unwrap_or_default());
        let mut row = vec![hit.rank.to_string(), hit.distance.to_string(), label, path];
        if compared {
            row.insert(2, finer(hit).map_or(String::new(), |number| format!("{number:.3}")));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().take(if compared { 3 } else { 2 }) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
