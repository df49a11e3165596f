//! What an app does: open a model, index a folder, search it by an image.
//!
//! `cargo run --release --example embed -- FOLDER IMAGE [MODEL]`
//!
//! The index is kept in `embed.db`: a second run looks at new and changed files only. MODEL
//! is a file that `barbule train` wrote; without it the built-in one for photos of any kind
//! is used. `docs/EMBEDDING.md` says more.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use barbule::{Collection, Device, DeviceChoice, Model, Task, UpdateOptions};

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
        return Err("name a folder of images and the image to search for".into());
    };

    // The best real GPU, else all cores.
    let device = Device::open(DeviceChoice::Auto, None)?;
    let model = match args.next() {
        Some(file) => Model::open(&file, &device)?,
        None => Model::general(&device)?,
    };
    // Holds all codes in memory; an app keeps it.
    let collection = Collection::open_or_create(Path::new("embed.db"), model, &device)?;

    // An app sets the flag from another thread to stop; what is done by then is kept.
    let stop = AtomicBool::new(false);
    let progress = |done: usize, total: usize| match total {
        0 => eprint!("\r{done} images found "), // still counting
        _ => eprint!("\r{done} of {total} new images "),
    };
    let task = Task::new(&progress, &stop);
    let report = collection.update(&[folder], &UpdateOptions::default(), &task)?;
    eprintln!();
    for skipped in &report.skipped {
        eprintln!("skipped: {}", skipped.reason);
    }

    for hit in collection.search_file(&query, 10)? {
        println!("{:4} bits away: {}", hit.distance, hit.path);
    }
    Ok(())
}
