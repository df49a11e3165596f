/*!
The codes of a snapshot on a device: signs, compared by Hamming distance, or words, compared by the
distances of their sums.
*/

use std::sync::Arc;

use super::IndexError;
use super::search::{Order, Search};
use crate::code::{BinaryCodes, Code};
use crate::device::Device;
use crate::hash::{Asymmetric, Codebooks, FeatureError, HashError, WordScale};
use crate::rank::{self, IdSet, Neighbour, Ranker, ScoredNeighbour, WordRanker, WordTable};

/// Distances of word codes are given in this fraction of a squared distance.
pub(super) const PARTS: f64 = 1000.0;

/// The codes of an index, ready to be searched.
#[derive(Debug)]
pub(super) enum Ranking {
    Signs(Ranker),
    Words(Words),
}

/// Word codes.
#[derive(Debug)]
pub(super) struct Words {
    scale: WordScale,
    ranker: WordRanker,
    /// Mean squared length of the codes' sums.
    mean: f64,
}

/// A found code, by its position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    pub id: u32,
    pub distance: u32,
    pub score: Option<f32>,
    /// The region whose code it is, by its position; `None` for the code of the whole image.
    pub region: Option<u32>,
}

/// A query, ready to be compared with codes.
pub(super) enum Query<'a> {
    Signs { search: &'a Search, ranker: &'a Ranker, tables: Option<Asymmetric> },
    Words { search: &'a Search, words: &'a Words, target: Target },
}

/// The vectors of one query or of several together: the sum of their squared distances to x is
/// `count · ‖mean − x‖² + spread`.
pub(super) struct Target {
    mean: Vec<f32>,
    count: f64,
    spread: f64,
    table: WordTable,
}

impl Ranking {
    /// Puts codes on a device. They are words if there are codebooks.
    pub fn new(
        device: &Device,
        codes: BinaryCodes,
        codebooks: Option<&Codebooks>,
    ) -> Result<Self, IndexError> {
        let codes = Arc::new(codes);
        let Some(codebooks) = codebooks else {
            return Ok(Self::Signs(Ranker::new(device, codes)?));
        };
        let scale = WordScale::new(codebooks.clone());
        let lengths = scale.lengths(&codes);
        let sum = lengths.iter().map(|length| scale.squared(*length)).sum::<f64>();
        let mean = sum / codes.len().max(1) as f64;
        let ranker = WordRanker::new(device, codes, lengths)?;
        Ok(Self::Words(Words { scale, ranker, mean }))
    }

    /// Prepares a search.
    pub fn query<'a>(&'a self, search: &'a Search) -> Result<Query<'a>, IndexError> {
        Ok(match self {
            Self::Signs(ranker) => Query::Signs { search, ranker, tables: search.tables()? },
            Self::Words(words) => Query::Words { search, words, target: words.target_of(search)? },
        })
    }

    /// Returns the nearest codes to each of `codes`, by (distance, id) and within the limits of
    /// `search`.
    pub fn nearest(
        &self,
        codes: &BinaryCodes,
        search: &rank::Search<'_>,
    ) -> Result<Vec<Vec<Neighbour>>, IndexError> {
        let words = match self {
            Self::Signs(ranker) => return Ok(ranker.search(codes, search)?),
            Self::Words(words) => words,
        };
        let one = |code: Code| words.target(&words.scale.sum(&code)?, 1);
        let targets = codes.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        let tables: Vec<_> = targets.iter().map(|target| target.table.clone()).collect();
        let k = search.k.unwrap_or(usize::MAX);
        let found = words.ranker.search_many(&tables, k, search.allowed)?;
        let neighbours = |(target, hits): (&Target, Vec<ScoredNeighbour>)| {
            let near = hits.into_iter().map(|hit| words.near(target, hit));
            let near = near.take_while(|near| search.radius.is_none_or(|r| near.distance <= r));
            near.map(|near| Neighbour { distance: near.distance, id: near.id }).collect()
        };
        Ok(targets.iter().zip(found).map(neighbours).collect())
    }

    /// Returns a distance within which near duplicates are: three quarters of the distance of
    /// images that have nothing in common.
    pub fn alike(&self) -> u32 {
        match self {
            // Half of all bits differ between unrelated images.
            Self::Signs(ranker) => u32::try_from(ranker.bits() * 3 / 8).unwrap_or(u32::MAX),
            // The squared distance of unrelated sums is twice their squared length.
            Self::Words(words) => (words.mean * 1.5 * PARTS) as u32,
        }
    }

    /// Returns a distance that no code exceeds.
    pub fn farthest(&self) -> u32 {
        match self {
            Self::Signs(ranker) => u32::try_from(ranker.bits()).unwrap_or(u32::MAX),
            Self::Words(_) => u32::MAX,
        }
    }

    /// Prepares for many searches: see [`Ranker::expect_many`]. Words need no preparation.
    pub fn expect_many(&self) {
        if let Self::Signs(ranker) = self {
            ranker.expect_many();
        }
    }

    /// The reason if searches run on the CPU although a GPU was requested.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Signs(ranker) => ranker.failure(),
            Self::Words(words) => words.ranker.failure(),
        }
    }

    /// Words per code; `None` if codes are signs.
    pub fn words(&self) -> Option<usize> {
        match self {
            Self::Signs(_) => None,
            Self::Words(words) => Some(words.scale.codebooks().count()),
        }
    }
}

impl Query<'_> {
    /// Number of nearest images to look at: the hits, and the candidates of a finer order. That of
    /// words has none.
    pub fn depth(&self) -> usize {
        match self {
            Self::Words { search, .. } if !matches!(search.order(), Order::Cosine { .. }) => {
                search.k()
            }
            Self::Signs { search, .. } | Self::Words { search, .. } => search.depth(),
        }
    }

    /// Returns the `k` nearest codes, of several queries by the sum of their distances: signs in
    /// the order of (distance, id), words in that of (−score, id).
    pub fn nearest(&self, k: usize, allowed: Option<&IdSet>) -> Result<Vec<Near>, IndexError> {
        match self {
            Self::Signs { search, ranker, .. } => {
                let found = nearest_signs(ranker, search, k, allowed)?;
                let near =
                    |Neighbour { distance, id }| Near { id, distance, score: None, region: None };
                Ok(found.into_iter().map(near).collect())
            }
            Self::Words { search, words, target } => {
                let hits = words.ranker.search(&target.table, k, allowed)?;
                let most = search.radius().map(|radius| f64::from(radius) * target.count);
                let near = hits.into_iter().map(|hit| words.near(target, hit));
                let is_near =
                    |near: &Near| most.is_none_or(|most| f64::from(near.distance) <= most);
                Ok(near.take_while(is_near).collect())
            }
        }
    }

    /// Returns the distance and the score of a code; signs have a score if the search has values.
    pub fn compare(&self, code: &Code) -> Result<(u32, Option<f32>), IndexError> {
        match self {
            Self::Signs { search, tables, .. } => {
                let score = tables.as_ref().map(|tables| tables.score(code)).transpose()?;
                Ok((search.distance_to(code)?, score))
            }
            Self::Words { words, target, .. } => {
                let score = words.scale.score(&target.table, code)?;
                let near = words.near(target, ScoredNeighbour { score, id: 0 });
                Ok((near.distance, near.score))
            }
        }
    }

    /// The tables by which the nearest signs are ordered, if the search has values, and the signs.
    pub fn tables(&self) -> Option<(&Asymmetric, &Ranker)> {
        match self {
            Self::Signs { tables, ranker, .. } => tables.as_ref().map(|tables| (tables, *ranker)),
            Self::Words { .. } => None,
        }
    }
}

impl Words {
    /// The vectors of a search: the values of its images, or else the sums of their words.
    fn target_of(&self, search: &Search) -> Result<Target, IndexError> {
        let count = search.codes().len();
        if let Order::Asymmetric { values, .. } = search.order() {
            return self.target(values, count);
        }
        let mut sums = Vec::new();
        for code in search.codes().iter() {
            sums.extend(self.scale.sum(&code)?);
        }
        self.target(&sums, count)
    }

    /// `vectors` are `count` rows.
    fn target(&self, vectors: &[f32], count: usize) -> Result<Target, IndexError> {
        let dim = self.scale.codebooks().dim();
        if count == 0 || vectors.len() != count * dim {
            let (expected, found) = (dim, vectors.len() / count.max(1));
            return Err(HashError::from(FeatureError::Dim { expected, found }).into());
        }
        let mut mean = vec![0f64; dim];
        for row in vectors.chunks_exact(dim) {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let mean: Vec<f32> = mean.iter().map(|sum| (sum / count as f64) as f32).collect();
        let off = |(value, mean): (&f32, &f32)| (f64::from(*value) - f64::from(*mean)).powi(2);
        let spread = |row: &[f32]| row.iter().zip(&mean).map(off).sum::<f64>();
        let spread = vectors.chunks_exact(dim).map(spread).sum();
        let table = self.scale.table(&mean)?;
        Ok(Target { mean, count: count as f64, spread, table })
    }

    /// Turns the score in steps into a distance and a score.
    fn near(&self, target: &Target, hit: ScoredNeighbour) -> Near {
        let one = self.scale.squared_distance(&target.mean, hit.score);
        let squared = target.count * one + target.spread;
        let score = Some((target.count - squared / 2.0) as f32);
        Near { id: hit.id, distance: (squared * PARTS).round() as u32, score, region: None }
    }
}

/// Returns the nearest codes by Hamming distance; of several queries, by the sum of their
/// distances.
fn nearest_signs(
    ranker: &Ranker,
    search: &Search,
    k: usize,
    allowed: Option<&IdSet>,
) -> Result<Vec<Neighbour>, IndexError> {
    let several = search.codes().len();
    if several <= 1 {
        let wanted = rank::Search { k: Some(k), radius: search.radius(), allowed };
        let found = ranker.search(search.codes(), &wanted)?;
        return Ok(found.into_iter().next().unwrap_or_default());
    }
    let all = rank::Search { k: Some(ranker.len()), radius: None, allowed };
    let mut sums = vec![0u32; ranker.len()];
    let mut ranked = Vec::new();
    for code in search.codes().iter() {
        ranked = ranker.search_one(&code, &all)?;
        for neighbour in &ranked {
            sums[neighbour.id as usize] += neighbour.distance;
        }
    }
    // Each query finds the same images, all that are allowed.
    let most = search.radius().map(|radius| u64::from(radius) * several as u64);
    let mut summed: Vec<Neighbour> = ranked
        .into_iter()
        .map(|one| Neighbour { distance: sums[one.id as usize], id: one.id })
        .filter(|one| most.is_none_or(|most| u64::from(one.distance) <= most))
        .collect();
    summed.sort_unstable();
    summed.truncate(k);
    Ok(summed)
}
