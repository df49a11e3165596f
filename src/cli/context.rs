/*!
What every command shares: the options that all of them take, the device, progress,
and how to print.
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

use crate::device::{Device, DeviceChoice};
use crate::image::Limits;
use crate::model::Model;
use crate::task::Task;
use crate::train::Unreadable;

/// The remark when the built-in model is used.
pub const BUILT_IN: &str =
    "using the built-in general model, of 256 bits (--model names one of your own)";

/// Options of every command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Where to compute: auto, gpu, vulkan, metal, dx12 or cpu
    ///
    /// auto takes the best real GPU, else the CPU. gpu, vulkan, metal and dx12 also
    /// take a software adapter if there is no real GPU.
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    device: DeviceChoice,
    /// The graphics adapter: its number or a part of its name, as `barbule doctor` lists them
    #[arg(long, global = true, value_name = "N|NAME")]
    adapter: Option<String>,
    /// Print one JSON document on stdout, and nothing else there
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more; twice: much more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Refuse images of more megapixels than this
    #[arg(long, global = true, default_value_t = 256, value_name = "N")]
    max_megapixels: u64,
}

/// The resolved options, and the flag that Ctrl-C raises.
#[derive(Debug)]
pub struct Context {
    device: DeviceChoice,
    adapter: Option<String>,
    /// Whether results are printed as JSON.
    pub json: bool,
    quiet: bool,
    /// Which images are refused.
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
        // The first Ctrl-C ends the work after its present step, the second at once.
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(1);
            }
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(Self {
            device: global.device,
            adapter: global.adapter,
            json: global.json,
            quiet: global.quiet,
            limits: Limits { max_pixels: global.max_megapixels.saturating_mul(1_000_000) },
            stop,
        })
    }

    /// Opens the chosen device and says which it is.
    pub fn device(&self) -> Result<Device> {
        let device = Device::open(self.device, self.adapter.as_deref())?;
        self.say(format_args!("computing on {device}"));
        Ok(device)
    }

    /// Opens the devices of `--devices`, the first of which leads, and says which they are.
    pub fn devices(&self, names: &[String]) -> Result<Vec<Device>> {
        if self.adapter.is_some() {
            bail!("--devices names adapters itself; leave --adapter out");
        }
        if self.device == DeviceChoice::Cpu {
            bail!("--devices names devices itself, cpu among them; leave --device cpu out");
        }
        let mut devices: Vec<Device> = Vec::new();
        for name in names {
            let device = match name.eq_ignore_ascii_case("cpu") {
                true => Device::Cpu,
                false => Device::open(self.device, Some(name))?,
            };
            if devices.iter().any(|other| other.same(&device)) {
                bail!("--devices {} names {device} twice; name every device once", names.join(","));
            }
            devices.push(device);
        }
        let names: Vec<String> = devices.iter().map(Device::to_string).collect();
        self.say(format_args!("computing on {}", names.join(" and ")));
        Ok(devices)
    }

    /// Opens the model in `file`, or else the built-in general one, which is said; refuses
    /// one whose codes no Hamming distance compares.
    pub fn model(&self, file: Option<&Path>, device: &Device) -> Result<Model> {
        if let Some(file) = file {
            let model = Model::open(file, device)?;
            model.check_hamming()?;
            return Ok(model);
        }
        self.say(BUILT_IN);
        Ok(Model::general(device)?)
    }

    /// Whether Ctrl-C was pressed.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The choice and the adapter as they were given.
    pub fn choice(&self) -> (DeviceChoice, Option<&str>) {
        (self.device, self.adapter.as_deref())
    }

    /// What Ctrl-C raises.
    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// A remark on stderr.
    pub fn say(&self, text: impl Display) {
        if !self.quiet {
            remark(format_args!("{text}"));
        }
    }

    /// A remark on stderr that is shown even with `-q`.
    pub fn warn(&self, text: impl Display) {
        remark(format_args!("warning: {text}"));
    }

    /// Names images that were left out; how many.
    pub fn warn_unreadable(&self, unreadable: &[Unreadable]) -> usize {
        for image in unreadable {
            self.warn(format_args!("skipped: {}", image.error));
        }
        unreadable.len()
    }

    /// Runs long work under a progress bar on stderr, shown only on a terminal.
    pub fn with_progress<T>(&self, what: &str, work: impl FnOnce(&Task<'_>) -> T) -> T {
        self.with_notes(what, |task, _| work(task))
    }

    /// As [`Context::with_progress`], for work that says how it gets on: each note
    /// stands before the bar, or is a line of its own where there is none.
    pub fn with_notes<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Task<'_>, &dyn Fn(String)) -> T,
    ) -> T {
        let bar = ProgressBar::new(0);
        let shown = !self.quiet && io::stderr().is_terminal();
        bar.set_draw_target(match shown {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        // Without a bar as long as nobody knows how long it would be.
        let style = |known: bool| {
            let template = match known {
                true => "{msg} {wide_bar} {pos}/{len} · {per_sec} · {eta} left",
                false => "{msg} {spinner} {pos} found · {elapsed}",
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
        let note = |text: String| match shown {
            true => bar.set_message(text),
            false => self.say(text),
        };
        let result = work(&Task::new(&progress, &self.stop), &note);
        bar.finish_and_clear();
        result
    }

    /// Prints a result to stdout.
    pub fn print(&self, text: impl Display) -> Result<()> {
        writeln!(io::stdout().lock(), "{text}").context("cannot write to stdout")
    }

    /// Prints the one JSON document of a command to stdout.
    pub fn print_json(&self, document: &impl serde::Serialize) -> Result<()> {
        self.print(serde_json::to_string_pretty(document)?)
    }
}

/// Writes a line to stderr. Nobody may be there to read it (`barbule … 2>&1 | head`),
/// which must not stop the work as it would with `eprintln!`.
pub fn remark(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", plain(&text.to_string()));
}

/// A text with names of files in it, as it may be shown: a name can hold what moves a terminal's
/// cursor, or clears it. Line breaks stay.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// The same for a name that has a line to itself.
pub fn plain_name(name: &str) -> String {
    plain(name).replace('\n', "\\n").replace('\t', "\\t")
}

/// The index that is used when none is named: in the platform's data folder.
pub fn default_index() -> Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "barbule")
        .context("this user has no data folder; name the index with --index")?;
    Ok(folders.data_dir().join("barbule.db"))
}

/// Bits of a code on the command line.
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
