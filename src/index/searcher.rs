/*!
An index in memory: exact search, among all images or some.
*/

use std::sync::Arc;

use super::{Filter, ImageRow, Index, IndexError};
use crate::code::BinaryCodes;
use crate::device::Device;
use crate::rank::{Hit, IdSet, RankError, Ranker, Search};
use crate::task::Task;

/// An index in memory, ready to be searched.
#[derive(Debug)]
pub struct Searcher {
    pub(super) ranker: Ranker,
    /// Image id of each code, ascending.
    pub(super) ids: Vec<i64>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The code of an image; or of several, and then what is near to all of them is looked
    /// for: images are ranked by the sum of their distances.
    pub codes: &'a BinaryCodes,
    /// The contents (BLAKE3 of the file) that are the query itself.
    pub contents: &'a [blake3::Hash],
    /// How many images at most.
    pub k: usize,
    /// The largest distance that counts, in bits; of several codes, the mean distance.
    pub radius: Option<u32>,
    /// Which images may be found.
    pub filter: &'a Filter,
    /// How the nearest are put into a finer order, if at all.
    pub rerank: Option<Rerank<'a>>,
}

/// A finer order of the nearest images: by the cosine of their features.
#[derive(Debug, Clone, Copy)]
pub struct Rerank<'a> {
    /// How many of the nearest are compared so.
    pub candidates: usize,
    /// The query's features; for several images, the sum of features of unit length.
    pub features: &'a [f32],
}

impl<'a> Query<'a> {
    /// The `k` nearest of all images.
    pub fn nearest(codes: &'a BinaryCodes, k: usize) -> Self {
        const ALL: &Filter =
            &Filter { under: Vec::new(), labels: Vec::new(), not: Vec::new(), labelled: false };
        Self { codes, contents: &[], k, radius: None, filter: ALL, rerank: None }
    }
}

/// One found image.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// From 1.
    pub rank: usize,
    /// Where it was when it was indexed.
    pub path: String,
    /// Hamming distance, in bits; of several codes, the sum of the distances.
    pub distance: u32,
    /// Its id in the index.
    pub id: i64,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Whether it has the very content of the query.
    pub same: bool,
    /// Cosine of its features and the query's, where they were compared.
    pub similarity: Option<f32>,
}

impl Searcher {
    /// Reads all codes of an index and puts them on the device.
    ///
    /// # Errors
    /// When the index is damaged or the device fails.
    pub fn new(index: &Index, device: &Device) -> Result<Self, IndexError> {
        Self::load(index, device, &Task::unwatched())
    }

    /// As [`Searcher::new`], watched: a hundred million codes take seconds. The steps of
    /// `task` are images.
    ///
    /// # Errors
    /// Also when the work is stopped.
    pub fn load(index: &Index, device: &Device, task: &Task<'_>) -> Result<Self, IndexError> {
        let (ids, codes) = index.codes(task)?;
        let ranker = Ranker::new(device, Arc::new(codes))?;
        Ok(Self { ranker, ids })
    }

    /// For programs that search for long: see [`Ranker::expect_many`].
    pub fn expect_many(&self) -> bool {
        self.ranker.expect_many()
    }

    /// Why searches run on the CPU although a GPU was asked for, if they do.
    pub fn failure(&self) -> Option<&str> {
        self.ranker.failure()
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The `k` nearest images of one code (the first of `query`), in the order of
    /// (distance, id); images whose content is `content` (a BLAKE3 hash) come first
    /// and are marked.
    ///
    /// # Errors
    /// When the lengths differ, the index is damaged or the device fails.
    pub fn search(
        &self,
        index: &Index,
        query: &BinaryCodes,
        content: Option<&blake3::Hash>,
        k: usize,
    ) -> Result<Vec<Found>, IndexError> {
        let contents = content.map(std::slice::from_ref).unwrap_or_default();
        let first = query.select(&[0][..query.len().min(1)]);
        self.find(index, &Query { contents, ..Query::nearest(&first, k) })
    }

    /// What a query finds: images of its own contents first and marked, then the others in
    /// the order of (distance, id), or as [`Rerank`] says.
    ///
    /// # Errors
    /// When the lengths differ, the index is damaged, the device fails, or features are asked
    /// for and not kept.
    pub fn find(&self, index: &Index, query: &Query<'_>) -> Result<Vec<Found>, IndexError> {
        let allowed = match query.filter.is_empty() {
            true => None,
            false => Some(self.positions(&index.ids(query.filter)?)),
        };
        self.find_among(index, query, allowed.as_ref())
    }

    /// As [`Searcher::find`], among images whose places are known.
    pub(super) fn find_among(
        &self,
        index: &Index,
        query: &Query<'_>,
        allowed: Option<&IdSet>,
    ) -> Result<Vec<Found>, IndexError> {
        let mut own = Vec::new();
        for content in query.contents {
            own.extend(index.with_content(content)?);
        }
        own.sort_unstable();
        own.dedup();
        if let Some(allowed) = allowed {
            own.retain(|id| self.position(*id).is_some_and(|at| allowed.contains(at)));
        }
        let k = query.rerank.map_or(query.k, |rerank| rerank.candidates.max(query.k));
        // The query's own images are found too, and come first anyway.
        let hits = self.hits(query, k.saturating_add(own.len()), allowed)?;
        let id_of = |hit: &Hit| self.ids.get(hit.id as usize).copied().unwrap_or_default();
        // Others at the same distance may have smaller ids, and of several queries one may be far
        // from the others.
        let first = own.iter().take(query.k).map(|id| {
            let code = index.code(*id)?;
            let to = |row| BinaryCodes::distance(query.codes.row(row), code.row(0));
            Ok((*id, (0..query.codes.len()).map(to).sum(), None, true))
        });
        let first = first.collect::<Result<Vec<_>, IndexError>>()?;
        let rest = hits.iter().map(|hit| (id_of(hit), hit.distance));
        let rest = rest.filter(|(id, _)| own.binary_search(id).is_err()).take(k);
        let rest = match query.rerank {
            None => rest.map(|(id, distance)| (id, distance, None, false)).collect(),
            Some(rerank) => {
                let mut rest = rest
                    .map(|(id, distance)| {
                        Ok((id, distance, Some(cosine(index, id, &rerank)?), false))
                    })
                    .collect::<Result<Vec<_>, IndexError>>()?;
                // The order of (distance, id) decides between equals: the sort is stable.
                rest.sort_by(|a, b| b.2.unwrap_or(0.0).total_cmp(&a.2.unwrap_or(0.0)));
                rest
            }
        };
        let ranked = (1..).zip(first.into_iter().chain(rest)).take(query.k);
        ranked
            .map(|(rank, (id, distance, similarity, same))| {
                let ImageRow { path, label, .. } = index.image(id)?;
                Ok(Found { rank, path, distance, id, label, same, similarity })
            })
            .collect()
    }

    /// The nearest codes; of several queries, by the sum of their distances.
    fn hits(
        &self,
        query: &Query<'_>,
        k: usize,
        allowed: Option<&IdSet>,
    ) -> Result<Vec<Hit>, RankError> {
        let several = query.codes.len();
        if several <= 1 {
            let search = Search { k: Some(k), radius: query.radius, allowed };
            let found = self.ranker.search(query.codes, &search)?;
            return Ok(found.into_iter().next().unwrap_or_default());
        }
        let search = Search { k: Some(self.len()), radius: None, allowed };
        let mut sums = vec![0u32; self.len()];
        let mut ranked = Vec::new();
        for row in 0..several {
            ranked =
                self.ranker.search(&query.codes.select(&[row]), &search)?.pop().unwrap_or_default();
            for hit in &ranked {
                sums[hit.id as usize] += hit.distance;
            }
        }
        // Each finds the same images, all that are allowed.
        let most = query.radius.map(|radius| u64::from(radius) * several as u64);
        let mut hits: Vec<Hit> = ranked
            .into_iter()
            .map(|hit| Hit { distance: sums[hit.id as usize], id: hit.id })
            .filter(|hit| most.is_none_or(|most| u64::from(hit.distance) <= most))
            .collect();
        hits.sort_unstable();
        hits.truncate(k);
        Ok(hits)
    }

    /// Where the image `id` is among the codes.
    pub(super) fn position(&self, id: i64) -> Option<u32> {
        self.ids.binary_search(&id).ok().and_then(|at| u32::try_from(at).ok())
    }

    /// Where some images are, those that there are.
    pub(super) fn positions(&self, ids: &[i64]) -> IdSet {
        IdSet::of(self.len(), ids.iter().filter_map(|id| self.position(*id)))
    }
}

fn cosine(index: &Index, id: i64, rerank: &Rerank<'_>) -> Result<f32, IndexError> {
    let Some(own) = index.features(id)? else {
        return Err(IndexError::NoFeatures(index.path().to_owned()));
    };
    let norm = rerank.features.iter().map(|x| x * x).sum::<f32>().sqrt();
    let product: f32 = own.iter().zip(rerank.features).map(|(a, b)| a * b).sum();
    Ok(if norm > 0.0 { product / norm } else { 0.0 })
}
