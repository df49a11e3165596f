/*!
The answers that only read: the state, searches, pictures, explanations.
*/

use std::collections::BTreeMap;
use std::sync::TryLockError;

use ::image::RgbImage;
use serde_json::json;

use super::app::{App, lock};
use super::call::{Answer, Call, MAX_UPLOAD};
use super::http::Response;
use super::pictures::{Kind, busy, overlay};
use super::problem::Problem;
use super::request::{Ask, MAX_K};
use super::sample::spread;
use crate::explain::{Attention, Share};
use crate::image;
use crate::index::{
    DuplicateOptions, Filter, IndexError, QueryImage, QueryOptions, Search, Snapshot,
};
use crate::task::Task;

impl App {
    pub fn status(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        let catalogue = snapshot.catalogue()?;
        let folders = catalogue.folders();
        let images = |root: &String| folders.get(root.as_str()).copied().unwrap_or_default();
        let roots = catalogue.roots().iter();
        let roots: Vec<_> = roots.map(|r| json!({ "path": r, "images": images(r) })).collect();
        Ok(Response::json(
            200,
            &json!({
                "program": env!("CARGO_PKG_VERSION"), "index": self.index().display().to_string(),
                "images": snapshot.len(), "bits": snapshot.bits(),
                "words": snapshot.words(), "model": self.card(&snapshot)?,
                "roots": roots, "labels": catalogue.labels().len(),
                "device": self.collection.device().to_string(),
                "max_upload_bytes": MAX_UPLOAD, "max_k": MAX_K, "trouble": self.trouble(),
                "editable": self.editable().is_ok(),
            }),
        ))
    }

    pub fn folders(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        Ok(counted("folders", "path", &self.collection.snapshot().catalogue()?.folders()))
    }

    pub fn labels(&self, _: &mut Call<'_, '_>, _: &Ask) -> Answer {
        Ok(counted("labels", "label", &self.collection.snapshot().catalogue()?.labels()))
    }

    /// Returns groups of near duplicates. Takes a while in a large collection.
    pub fn duplicates(&self, _: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        check_folder(&snapshot, ask)?;
        let _one = match self.comparing.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(busy()),
        };
        let options = DuplicateOptions::default().among(filter(ask)).with_limits(self.limits);
        let found = snapshot.duplicates(&options, &Task::unwatched())?;
        Ok(Response::json(200, &found.document()))
    }

    pub fn images(&self, _: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        let ids = snapshot.catalogue()?.ids(&filter(ask));
        let ids = if ask.is_recent()? {
            ids.into_iter().rev().take(ask.k).collect()
        } else {
            // The choice is no secret, so a failure of the random source does not matter.
            spread(&ids, ask.k, getrandom::u64().unwrap_or_default())
        };
        let mut images = Vec::new();
        for id in ids {
            let row = snapshot.image(id)?;
            images.push(json!({ "id": row.id, "path": row.path, "label": row.label }));
        }
        Ok(Response::json(200, &json!({ "images": images })))
    }

    /// Searches for the images nearest to the uploaded one.
    pub fn search(&self, call: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let snapshot = self.collection.snapshot();
        check_folder(&snapshot, ask)?;
        let options = self.query_options(ask)?;
        let _permit = self.uploads.enter(call.request.deadline).ok_or_else(busy)?;
        let query = self.query(&snapshot, &call.image()?, &options)?;
        self.results(&snapshot, "", &query, ask)
    }

    /// Searches for the images nearest to an indexed one, or to a part of it. If its file still has
    /// the indexed content, its values give the hits their order.
    pub fn similar(&self, call: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let (snapshot, options) = (self.collection.snapshot(), self.query_options(ask)?);
        check_folder(&snapshot, ask)?;
        let (id, deadline) = (call.id, call.request.deadline);
        let row = snapshot.image(id)?;
        let needed = options.area.is_some();
        let reads = options.values || needed;
        let bytes = match reads.then(|| self.pictures.file(&snapshot, id, deadline)) {
            Some(Ok(bytes)) => {
                Some(bytes).filter(|bytes| needed || blake3::hash(bytes) == row.content)
            }
            // Otherwise the order of the answer would depend on other requests. A part of an image
            // has no stored code.
            Some(Err(problem)) if problem.status == 503 || needed => return Err(problem),
            Some(Err(_)) | None => None,
        };
        let query = match bytes {
            Some(bytes) => {
                let _permit = self.uploads.enter(deadline).ok_or_else(busy)?;
                self.query(&snapshot, &bytes, &options)?
            }
            None => {
                let query = QueryImage::of_code(snapshot.code(id)?);
                QueryImage { content: Some(row.content), ..query }
            }
        };
        self.results(&snapshot, &row.path, &query, ask)
    }

    /// Returns what a query needs for the order of a request.
    fn query_options(&self, ask: &Ask) -> Result<QueryOptions, Problem> {
        let options = QueryOptions::default().with_limits(self.limits);
        let hamming = ask.is_hamming()?;
        if hamming && self.collection.snapshot().is_words() {
            let sentence = "the codes are words, which have no Hamming distance; leave order out";
            return Err(Problem::new(400, sentence));
        }
        let options = if hamming { options } else { options.with_values() };
        Ok(match ask.crop {
            Some(area) => options.with_area(area),
            None => options,
        })
    }

    fn query(
        &self,
        snapshot: &Snapshot,
        bytes: &[u8],
        options: &QueryOptions,
    ) -> Result<QueryImage, IndexError> {
        QueryImage::of_bytes(bytes, snapshot, options, || snapshot.model())
    }

    /// Searches. The answer is the document of `barbule search --json`.
    fn results(&self, snapshot: &Snapshot, name: &str, query: &QueryImage, ask: &Ask) -> Answer {
        let search = narrowed(query.nearest(ask.k), ask);
        let (index, bits) = (self.index().display().to_string(), snapshot.bits());
        let (order, hits) = (snapshot.order_of(&search), snapshot.search(&search)?);
        let document = json!({
            "query": name, "index": index, "bits": bits, "order": order, "results": hits,
        });
        Ok(Response::json(200, &document))
    }

    pub fn picture(&self, call: &mut Call<'_, '_>, kind: Kind) -> Answer {
        let snapshot = self.collection.snapshot();
        let look = |picture: &RgbImage| self.attention(picture);
        let bytes = self.pictures.of(&snapshot, call.id, kind, call.request.deadline, look)?;
        let kind = if matches!(kind, Kind::Attention(_)) { "image/png" } else { "image/jpeg" };
        Ok(Response::made(kind, bytes))
    }

    pub fn explain(&self, call: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let _permit = self.uploads.enter(call.request.deadline).ok_or_else(busy)?;
        let picture = image::decode(&call.image()?, &self.limits)?;
        let attention = self.attention(&picture)?;
        Ok(Response::made("image/png", overlay(&attention, ask.part)?.into()))
    }

    /// Returns how much each part contributes to the distance of two indexed images.
    pub fn agreement(&self, call: &mut Call<'_, '_>, ask: &Ask) -> Answer {
        let other =
            ask.with.ok_or_else(|| Problem::new(400, "with must be the id of the other image"))?;
        let snapshot = self.collection.snapshot();
        let deadline = call.request.deadline;
        let first = self.pictures.open(&snapshot, call.id, deadline)?;
        let second = self.pictures.open(&snapshot, other, deadline)?;
        let pair = {
            let _one = lock(&self.explaining);
            snapshot.model()?.explain(&first, &second)?
        };
        let last = pair.shares.len().saturating_sub(1);
        let share = |(number, share): (usize, &Share)| {
            // The last share is the whole image.
            let part = (number < last).then_some(number + 1);
            json!({ "part": part, "alone": share.alone, "without": share.without })
        };
        let parts: Vec<_> = pair.shares.iter().enumerate().map(share).collect();
        Ok(Response::json(
            200,
            &json!({ "distance": pair.distance, "bits": pair.bits, "parts": parts }),
        ))
    }

    fn attention(&self, picture: &RgbImage) -> Result<Attention, Problem> {
        let _one = lock(&self.explaining);
        Ok(self.collection.model()?.attention(picture)?)
    }
}

/// Returns the filter of a request.
fn filter(ask: &Ask) -> Filter {
    Filter {
        under: ask.under.iter().cloned().collect(),
        labels: ask.label.iter().cloned().collect(),
        ..Filter::default()
    }
}

/// Adds the filter and the radius of a request to a search.
fn narrowed(search: Search, ask: &Ask) -> Search {
    let search = search.filtered(filter(ask));
    match ask.radius {
        Some(radius) => search.within(radius),
        None => search,
    }
}

/// Fails if the request has a folder in which no image is indexed.
fn check_folder(snapshot: &Snapshot, ask: &Ask) -> Result<(), Problem> {
    let Some(under) = &ask.under else { return Ok(()) };
    let in_folder = Filter { under: vec![under.clone()], ..Filter::default() };
    if snapshot.catalogue()?.ids(&in_folder).is_empty() {
        return Err(Problem::new(400, format!("no indexed image is under {under}")));
    }
    Ok(())
}

/// Returns a list of names with their numbers of images.
fn counted(list: &str, name: &str, counts: &BTreeMap<&str, usize>) -> Response {
    let items = counts.iter().map(|(key, images)| json!({ name: key, "images": images }));
    Response::json(200, &json!({ list: items.collect::<Vec<_>>() }))
}
