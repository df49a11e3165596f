/*!
The label of an image, by a vote of its labelled neighbours.
*/

use std::collections::HashMap;

use super::search::{Hit, Search};
use super::snapshot::Snapshot;
use super::{Filter, IndexError};
use crate::code::Code;
use crate::rank::IdSet;

/// Maximum number of labelled images on which the radius is measured.
const SAMPLED: usize = 500;
/// Share of right nearest neighbours within the radius.
const WITHIN: f64 = 0.95;

/// The radius of a vote, measured on an index's own labelled images.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Reach {
    /// The radius: see [`Hit::distance`].
    pub radius: u32,
    /// Share of the tried images that get their own label.
    pub right: f64,
    /// Share that get another label; the rest get none.
    pub wrong: f64,
    /// Number of tried images.
    pub tried: usize,
}

/// The result of a vote.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Vote {
    /// The label with the greatest share; `None` if no labelled image is near enough.
    pub label: Option<String>,
    /// Its share of the votes, 0 to 1.
    pub confidence: f64,
    /// All labels with their shares, the greatest first.
    pub shares: Vec<(String, f64)>,
    /// The voters, nearest first.
    pub neighbours: Vec<Hit>,
}

impl Vote {
    /// Counts the votes of neighbours in the order of their distances. A vote at distance d weighs
    /// `1 − d / (radius + 1)`.
    fn new(neighbours: Vec<Hit>, radius: u32) -> Self {
        let mut weights: Vec<(String, f64)> = Vec::new();
        for hit in &neighbours {
            let Some(label) = &hit.label else { continue };
            let weight = 1.0 - f64::from(hit.distance) / (f64::from(radius) + 1.0);
            match weights.iter_mut().find(|(known, _)| known == label) {
                Some((_, sum)) => *sum += weight,
                None => weights.push((label.clone(), weight)),
            }
        }
        let all: f64 = weights.iter().map(|(_, weight)| weight).sum();
        weights.iter_mut().for_each(|(_, weight)| *weight /= all);
        // The sort is stable: of equal shares, the one with the nearer neighbour.
        weights.sort_by(|a, b| b.1.total_cmp(&a.1));
        let label = weights.first().map(|(label, _)| label.clone());
        let confidence = weights.first().map_or(0.0, |(_, share)| *share);
        Self { label, confidence, shares: weights, neighbours }
    }
}

/// Images with a label.
const LABELLED: Filter =
    Filter { under: Vec::new(), labels: Vec::new(), not: Vec::new(), labelled: true };

impl Snapshot {
    /// Lets the `k` nearest labelled images within `radius` vote on the label of a code. Images
    /// with the content `own`, the query itself, do not vote.
    ///
    /// # Errors
    /// If the lengths differ, or the index is damaged.
    pub fn vote(
        &self,
        code: &Code,
        own: Option<&blake3::Hash>,
        k: usize,
        radius: u32,
    ) -> Result<Vote, IndexError> {
        self.vote_among(code, own, k, radius, &self.labelled()?)
    }

    fn labelled(&self) -> Result<IdSet, IndexError> {
        Ok(self.allowed(&LABELLED)?.unwrap_or_else(|| IdSet::all(self.len())))
    }

    fn vote_among(
        &self,
        code: &Code,
        own: Option<&blake3::Hash>,
        k: usize,
        radius: u32,
        labelled: &IdSet,
    ) -> Result<Vote, IndexError> {
        let own = own.map(|content| self.index().with_content(content)).transpose()?;
        let own = own.unwrap_or_default();
        // The query's own images are found too.
        let search = Search::nearest(code, k.saturating_add(own.len())).within(radius);
        let search = search.with_whole_images();
        let mut hits = self.search_among(&search, own, Some(labelled))?;
        hits.retain(|hit| !hit.same);
        hits.truncate(k);
        Ok(Vote::new(hits, radius))
    }

    /// Measures a radius on the index's own labelled images: the distance within which 95 of 100
    /// nearest neighbours with the right label lie, and the result of a vote of `k` images within
    /// it. `None` if no image has a nearest neighbour with its label.
    ///
    /// # Errors
    /// As [`Snapshot::vote`].
    pub fn reach(&self, k: usize) -> Result<Option<Reach>, IndexError> {
        let among = self.labelled()?;
        let rows = (0..self.len()).filter(|row| among.contains(*row as u32));
        let labelled: Vec<i64> = rows.map(|row| self.ids()[row]).collect();
        let apart = labelled.len().div_ceil(SAMPLED).max(1);
        let farthest = self.ranking().farthest();
        let mut votes: HashMap<i64, (Option<String>, Vec<Hit>)> = HashMap::new();
        let mut distances = Vec::new();
        for id in labelled.iter().step_by(apart) {
            let (image, code) = (self.listed(*id)?, self.code(*id)?);
            let vote = self.vote_among(&code, Some(&image.content), k, farthest, &among)?;
            let nearest = vote.neighbours.first();
            distances.extend(nearest.filter(|n| n.label == image.label).map(|n| n.distance));
            votes.insert(*id, (image.label, vote.neighbours));
        }
        distances.sort_unstable();
        let last = (distances.len() as f64 * WITHIN).ceil() as usize;
        let Some(radius) = distances.get(last.saturating_sub(1)).copied() else { return Ok(None) };
        let tried = votes.len();
        let (mut right, mut wrong) = (0, 0);
        for (label, mut neighbours) in votes.into_values() {
            neighbours.retain(|hit| hit.distance <= radius);
            let said = Vote::new(neighbours, radius).label;
            right += usize::from(said.is_some() && said == label);
            wrong += usize::from(said.is_some() && said != label);
        }
        let share = |count: usize| count as f64 / tried as f64;
        Ok(Some(Reach { radius, right: share(right), wrong: share(wrong), tried }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(label: &str, distance: u32) -> Hit {
        Hit {
            rank: 1,
            path: String::new(),
            distance,
            id: 1,
            label: Some(label.to_owned()),
            same: false,
            gone: false,
            similarity: None,
            score: None,
            region: None,
        }
    }

    #[test]
    fn the_nearer_says_more() {
        let vote = Vote::new(vec![found("owl", 0), found("jay", 6), found("jay", 9)], 9);
        // 1 against 0.4 + 0.1.
        assert_eq!(vote.label.as_deref(), Some("owl"));
        assert!((vote.confidence - 1.0 / 1.5).abs() < 1e-9, "{vote:?}");
        let vote = Vote::new(vec![found("owl", 5), found("jay", 6), found("jay", 6)], 9);
        assert_eq!(vote.label.as_deref(), Some("jay"));
        assert_eq!(Vote::new(Vec::new(), 9).label, None);
    }
}
