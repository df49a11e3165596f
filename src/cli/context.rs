/*!
Code shared by all commands: global options, device selection, progress bars and printing.
*/

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use clap::ArgAction;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::filter::LevelFilter;

use super::advice;
use crate::device::{Device, DeviceChoice};
use crate::image::Limits;
use crate::index::Index;
use crate::model::Model;
use crate::task::Task;
use crate::train::Unreadable;

/// The remark when the built-in model is used.
pub const BUILT_IN: &str =
    "using the built-in general model, 256 bits (choose another one with --model)";

/// Global options.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Compute device: auto, gpu, vulkan, metal, dx12 or cpu
    ///
    /// auto selects the best hardware GPU, or the CPU if there is none. gpu allows any graphics
    /// API; vulkan, metal and dx12 allow only that API. Without a hardware GPU, these four use a
    /// software adapter if one is installed.
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    device: DeviceChoice,
    /// Graphics adapter: its number or part of its name, as listed by `barbule doctor`
    #[arg(long, global = true, value_name = "N|NAME")]
    adapter: Option<String>,
    /// Print one JSON document on stdout, and nothing else
    #[arg(long, global = true)]
    json: bool,
    /// Print only results, warnings and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Log more to stderr: -v for info, -vv for debug
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Refuse images larger than N megapixels
    #[arg(long, global = true, default_value_t = 256, value_name = "N")]
    max_megapixels: u64,
}

/// The resolved global options, and the flag set by Ctrl-C.
#[derive(Debug)]
pub struct Context {
    device: DeviceChoice,
    adapter: Option<String>,
    /// Whether results are printed as JSON.
    pub json: bool,
    quiet: bool,
    /// Limits above which images are refused.
    pub limits: Limits,
    stop: Arc<AtomicBool>,
}

impl Context {
    pub fn new(global: Global) -> Result<Self> {
        let level = match global.verbose {
            0 => LevelFilter::ERROR,
            1 => LevelFilter::INFO,
            _ => LevelFilter::DEBUG,
        };
        let level = if global.quiet { LevelFilter::OFF } else { level };
        tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).init();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        // The first Ctrl-C stops the work after the current step, the second exits at once.
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(1);
            }
        })
        .context("cannot install a handler for Ctrl-C")?;
        Ok(Self {
            device: global.device,
            adapter: global.adapter,
            json: global.json,
            quiet: global.quiet,
            limits: Limits { max_pixels: global.max_megapixels.saturating_mul(1_000_000) },
            stop,
        })
    }

    /// Opens the chosen device and reports its name on stderr.
    pub fn device(&self) -> Result<Device> {
        let device = Device::open(self.device, self.adapter.as_deref())?;
        self.say(format_args!("computing on {device}"));
        Ok(device)
    }

    /// Opens the devices of `--devices` and reports their names on stderr. The first one leads.
    pub fn devices(&self, names: &[String]) -> Result<Vec<Device>> {
        if self.adapter.is_some() {
            bail!("--devices already selects the adapters; leave --adapter out");
        }
        if self.device == DeviceChoice::Cpu {
            bail!("--devices already selects the devices, including cpu; leave --device cpu out");
        }
        let mut devices: Vec<Device> = Vec::new();
        for name in names {
            let device = if name.eq_ignore_ascii_case("cpu") {
                Device::Cpu
            } else {
                Device::open(self.device, Some(name))?
            };
            if devices.iter().any(|other| other.same(&device)) {
                bail!("--devices {} names {device} twice; name each device once", names.join(","));
            }
            devices.push(device);
        }
        let names: Vec<String> = devices.iter().map(Device::to_string).collect();
        self.say(format_args!("computing on {}", names.join(" and ")));
        Ok(devices)
    }

    /// Opens the model in `file`, or the one that made the index in `file`. Without a file, opens
    /// the built-in general model and reports that on stderr.
    ///
    /// # Errors
    /// If the model cannot be opened.
    pub fn model(&self, file: Option<&Path>, device: &Device) -> Result<Model> {
        if let Some(file) = file.filter(|file| Index::is_at(file)) {
            return Ok(Index::open(file)?.open_model(device)?);
        }
        if let Some(file) = file {
            return Ok(Model::open(file, device)?);
        }
        self.say(BUILT_IN);
        Ok(Model::general(device)?)
    }

    /// Returns whether Ctrl-C was pressed.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Returns the values of `--device` and `--adapter`.
    pub fn choice(&self) -> (DeviceChoice, Option<&str>) {
        (self.device, self.adapter.as_deref())
    }

    /// Returns the flag set by Ctrl-C.
    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Prints a remark on stderr, except with `-q`.
    pub fn say(&self, text: impl Display) {
        if !self.quiet {
            remark(format_args!("{text}"));
        }
    }

    /// Prints a warning on stderr, even with `-q`.
    pub fn warn(&self, text: impl Display) {
        remark(format_args!("warning: {text}"));
    }

    /// Prints a warning for each skipped image, and returns their number.
    pub fn warn_unreadable(&self, unreadable: &[Unreadable]) -> usize {
        for image in unreadable {
            self.warn(format_args!("skipped: {}", advice::told(&image.error)));
        }
        unreadable.len()
    }

    /// Runs long work with a progress bar on stderr. The bar is shown only on a terminal.
    pub fn with_progress<T>(&self, what: &str, work: impl FnOnce(&Task<'_>) -> T) -> T {
        self.with_notes(what, |task, _| work(task))
    }

    /// Like [`Context::with_progress`], for work that reports notes. A note is shown in front of
    /// the bar, or as a line of its own if there is no bar.
    pub fn with_notes<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Task<'_>, &dyn Fn(String)) -> T,
    ) -> T {
        let bar = ProgressBar::new(0);
        let shown = !self.quiet && io::stderr().is_terminal();
        bar.set_draw_target(if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        // A spinner while the total is unknown.
        let style = |known: bool| {
            let template = if known {
                "{msg} {wide_bar} {pos}/{len} · {per_sec} · {eta} left"
            } else {
                "{msg} {spinner} {pos} found · {elapsed}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
        };
        style(true);
        bar.set_message(what.to_owned());
        let was_known = AtomicBool::new(true);
        let progress = |done: usize, total: usize| {
            let known = total > 0;
            if was_known.swap(known, Ordering::Relaxed) != known {
                style(known);
                bar.reset_eta();
            }
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        };
        let note = |text: String| {
            if shown { bar.set_message(text) } else { self.say(text) }
        };
        let result = work(&Task::new(&progress, &self.stop), &note);
        bar.finish_and_clear();
        result
    }

    /// Prints a result to stdout, with the control characters of names escaped.
    pub fn print(&self, text: impl Display) -> Result<()> {
        print(&plain(&text.to_string()))
    }

    /// Prints paths to stdout, each followed by a zero byte, for `xargs -0`.
    pub fn print_paths0<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut out = io::stdout().lock();
        for path in paths {
            out.write_all(path.as_bytes())?;
            out.write_all(&[0])?;
        }
        Ok(out.flush()?)
    }

    /// Prints the JSON document of a command to stdout.
    pub fn print_json(&self, document: &impl serde::Serialize) -> Result<()> {
        print(&serde_json::to_string_pretty(document)?)
    }
}

fn print(text: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{text}").context("cannot write to stdout")
}

/// Writes a line to stderr. Ignores a closed pipe (`barbule … 2>&1 | head`), on which `eprintln!`
/// would panic.
pub fn remark(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", plain(&text.to_string()));
}

/// Escapes the control characters of a text, and those that change the direction of writing. Names
/// of files can contain sequences that move the terminal's cursor or clear the screen, or characters
/// that make `gpj.exe` look like `exe.jpg`. Line breaks and tabs stay.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() || DIRECTIONS.contains(&c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// Characters that change the direction of writing: marks, embeddings, overrides, isolates.
const DIRECTIONS: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// Like [`plain`], for a name printed on one line: line breaks and tabs are escaped too.
pub fn plain_name(name: &str) -> String {
    plain(name).replace('\n', "\\n").replace('\t', "\\t")
}

/// Returns the default index file: `barbule.db` in the platform's data folder.
pub fn default_index() -> Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "barbule")
        .context("found no data folder for this user; name the index with --index")?;
    Ok(folders.data_dir().join("barbule.db"))
}

/// Parses a number of bits on the command line.
pub fn bits(text: &str) -> Result<usize, String> {
    let bits = text.parse().map_err(|_| "not a number".to_owned())?;
    crate::code::BinaryCodes::new(bits).map(|codes| codes.bits()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2J\rb\nc ü"), "a\\u{1b}[2J\\rb\nc ü");
        assert_eq!(plain_name("a\nb\tc"), "a\\nb\\tc");
    }
}
