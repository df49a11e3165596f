/*!
Bringing an index up to date with folders: what is new is encoded, what has changed
is encoded again, what has the content of an indexed image takes its code.
*/

use std::collections::HashMap;
use std::path::PathBuf;

use rayon::prelude::*;

use super::scan::{Candidate, scan};
use super::store::NewImage;
use super::{Index, IndexError, Labels, stored_path};
use crate::encoder::BATCH;
use crate::image::{self, ImageError, Limits};
use crate::model::Model;
use crate::task::Task;

/// How to update.
#[derive(Debug, Clone, Default)]
pub struct UpdateOptions {
    /// Where labels come from.
    pub labels: Labels,
    /// Which images are refused.
    pub limits: Limits,
}

/// A file that did not get into the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why, in a sentence that names the file.
    pub reason: String,
}

/// What an update did, in images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Image files found.
    pub found: usize,
    /// Indexed for the first time.
    pub added: usize,
    /// Encoded again because their content had changed.
    pub changed: usize,
    /// As they were.
    pub unchanged: usize,
    /// Added without encoding, because their content was indexed already.
    pub copied: usize,
    /// Not usable.
    pub skipped: Vec<Skipped>,
}

/// A file that has to be looked into.
struct Work {
    root: i64,
    candidate: Candidate,
    stored: String,
    /// The id under which an earlier content is indexed.
    replaces: Option<i64>,
}

/// A file's content, prepared for the trunk unless its code is known.
struct Prepared {
    content: blake3::Hash,
    code: Option<Vec<u8>>,
    input: Option<Vec<f32>>,
}

/// Brings `index` up to date with all image files under `folders`.
///
/// Each batch is one transaction: stopping or being killed loses at most one.
///
/// # Errors
/// When a folder cannot be read, the model or the database fails, or the work is
/// stopped. Files that cannot be used are no error: they are listed in the result.
pub fn update(
    index: &mut Index,
    model: &Model,
    folders: &[PathBuf],
    options: &UpdateOptions,
    task: &Task<'_>,
) -> Result<Update, IndexError> {
    model.check_hamming()?;
    index.same_model(model.bits(), model.fingerprint())?;
    let mut report = Update::default();
    let work = plan(index, folders, options, &mut report)?;
    task.step(0, work.len())?;
    let mut done = 0;
    for batch in work.chunks(BATCH) {
        encode(index, model, batch, options, &mut report)?;
        done += batch.len();
        task.step(done, work.len())?;
    }
    Ok(report)
}

/// Lists what has to be looked into, and gives unchanged images their labels.
fn plan(
    index: &mut Index,
    folders: &[PathBuf],
    options: &UpdateOptions,
    report: &mut Update,
) -> Result<Vec<Work>, IndexError> {
    let mut work: Vec<Work> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut relabelled = Vec::new();
    for folder in folders {
        let failed = |error: std::io::Error| IndexError::Folder {
            path: folder.clone(),
            reason: error.to_string(),
        };
        // One spelling per folder, so that its images are recognised next time.
        let folder = folder.canonicalize().map_err(failed)?;
        let (candidates, unreadable) = scan(&folder)?;
        let root = index.root(&stored_path(&folder))?;
        report.skipped.extend(unreadable);
        for candidate in candidates {
            let Some(stored) = candidate.path.to_str().map(str::to_owned) else {
                let name = candidate.path.display();
                let reason = format!("{name}: its name is not valid Unicode; rename it");
                report.skipped.push(Skipped { path: candidate.path, reason });
                continue;
            };
            if !seen.insert(stored.clone()) {
                continue; // folders that overlap
            }
            report.found += 1;
            match index.known(&stored)? {
                Some((stamp, row)) if stamp == candidate.stamp => {
                    report.unchanged += 1;
                    let label = options.labels.of(&candidate.path);
                    if options.labels.decides() && label != row.label {
                        relabelled.push((row.id, label));
                    }
                }
                known => {
                    let replaces = known.map(|(_, row)| row.id);
                    work.push(Work { root, candidate, stored, replaces });
                }
            }
        }
    }
    let relabelled: Vec<_> = relabelled.iter().map(|(id, label)| (*id, label.as_deref())).collect();
    if !relabelled.is_empty() {
        index.apply(&[], &[], &relabelled)?;
    }
    Ok(work)
}

/// Encodes one batch and writes it.
fn encode(
    index: &mut Index,
    model: &Model,
    batch: &[Work],
    options: &UpdateOptions,
    report: &mut Update,
) -> Result<(), IndexError> {
    let read: Vec<_> = batch.par_iter().map(|work| image::read(&work.candidate.path)).collect();
    let mut contents = Vec::with_capacity(batch.len());
    // The database is asked from this thread only; decoding is what takes long.
    let mut first_of: HashMap<blake3::Hash, usize> = HashMap::new();
    for (position, bytes) in read.into_iter().enumerate() {
        let looked_up = match bytes {
            Err(error) => Err(error.to_string()),
            Ok(bytes) => {
                let content = blake3::hash(&bytes);
                let code = match index.with_content(&content)?.first() {
                    Some(id) => Some(index.code(*id)?.row_bytes(0)),
                    None => None,
                };
                let twin = *first_of.entry(content).or_insert(position);
                Ok((bytes, content, code, twin))
            }
        };
        contents.push(looked_up);
    }
    let preprocess = model.encoder().preprocess();
    let prepare = |(position, content): (usize, &Result<_, String>)| {
        let (bytes, content, code, twin): &(Vec<u8>, blake3::Hash, Option<Vec<u8>>, usize) =
            content.as_ref().map_err(String::clone)?;
        let (content, code) = (*content, code.clone());
        if code.is_some() || *twin != position {
            return Ok(Prepared { content, code, input: None });
        }
        let path = &batch[position].candidate.path;
        let failed = |error| ImageError::Decode { path: path.clone(), error }.to_string();
        let image = image::decode(bytes, &options.limits).map_err(failed)?;
        Ok(Prepared { content, code: None, input: Some(preprocess.apply(&image)) })
    };
    let prepared: Vec<Result<Prepared, String>> =
        contents.par_iter().enumerate().map(prepare).collect();
    drop(contents);

    let inputs: Vec<f32> =
        prepared.iter().flatten().flat_map(|p| p.input.iter().flatten()).copied().collect();
    let features = model.encoder().features(inputs).map_err(crate::model::ModelError::from)?;
    let codes = model.codes(&features)?;
    let encoded = prepared.iter().flatten().filter(|p| p.input.is_some());
    let fresh: HashMap<blake3::Hash, usize> =
        encoded.enumerate().map(|(row, p)| (p.content, row)).collect();

    let (mut gone, mut new, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    let labels: Vec<_> = batch.iter().map(|w| options.labels.of(&w.candidate.path)).collect();
    for ((work, prepared), label) in batch.iter().zip(&prepared).zip(&labels) {
        let known = |p: &Prepared| {
            p.code.clone().or_else(|| fresh.get(&p.content).map(|row| codes.row_bytes(*row)))
        };
        let outcome = match prepared {
            // A copy of a file in this batch that could not be decoded has no code either.
            Ok(p) => known(p).map(|code| (p, code)).ok_or_else(|| {
                format!("{}: it is a copy of an image that cannot be decoded", work.stored)
            }),
            Err(reason) => Err(reason.clone()),
        };
        // A file that has become unreadable is no longer the image that was indexed.
        gone.extend(work.replaces);
        match outcome {
            Ok((p, code)) => {
                let (root, stamp, content) = (work.root, work.candidate.stamp, p.content);
                let label = label.as_deref();
                new.push(NewImage { root, path: &work.stored, stamp, content, label, code });
                report.changed += usize::from(work.replaces.is_some());
                report.copied += usize::from(work.replaces.is_none() && p.input.is_none());
                report.added += usize::from(work.replaces.is_none());
            }
            Err(reason) => {
                let path = work.candidate.path.clone();
                skipped.push(Skipped { path, reason });
            }
        }
    }
    index.apply(&gone, &new, &[])?;
    report.skipped.extend(skipped);
    Ok(())
}
