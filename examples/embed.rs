//! What an app does: open a model, index a folder, search it by an image.
//!
//! `cargo run --release --no-default-features --features model --example embed -- FOLDER IMAGE [MODEL]`
//!
//! The index is kept in `embed.db`: a second run looks at new and changed files only. MODEL
//! is a file that `barbule train` wrote; without it the built-in one for photos of any kind
//! is used. `docs/EMBEDDING.md` says more.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use barbule::device::{Device, DeviceChoice};
use barbule::image::{self, Limits};
use barbule::index::{Index, Searcher, UpdateOptions, update};
use barbule::model::Model;
use barbule::task::Task;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(query)) = (args.next(), args.next()) else {
        return Err("name a folder of images and the image to look for".into());
    };

    // A real GPU if there is one, else all cores.
    let device = Device::open(DeviceChoice::Auto, None)?;
    let model = match args.next() {
        Some(file) => Model::open(&file, &device)?,
        None => Model::general(&device)?,
    };

    let file = Path::new("embed.db");
    // An app raises the flag from another thread to stop; what is done by then is kept.
    let stop = AtomicBool::new(false);
    let progress = |done: usize, total: usize| match total {
        0 => eprint!("\r{done} images found "), // still counting
        _ => eprint!("\r{done} of {total} new images "),
    };
    let task = Task::new(&progress, &stop);
    let report = {
        // Nobody else can write to the index until this is dropped.
        let mut index = Index::open_or_create(file, model.bits(), model.fingerprint())?;
        update(&mut index, &model, &[folder], &UpdateOptions::default(), &task)?
    };
    eprintln!();
    for skipped in &report.skipped {
        eprintln!("skipped: {}", skipped.reason);
    }

    let index = Index::open(file)?;
    // Holds all codes in memory, for as many searches as there are.
    let searcher = Searcher::new(&index, &device)?;
    let code = model.encode(&image::open(&query, &Limits::default())?)?;
    for hit in searcher.search(&index, &code, None, 10)? {
        println!("{:4} bits away: {}", hit.distance, hit.path);
    }
    Ok(())
}
