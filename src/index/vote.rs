/*!
What an image is, by the labels of those most like it.
*/

use std::collections::HashMap;

use super::{Filter, Found, Index, IndexError, Query, Searcher};
use crate::code::BinaryCodes;
use crate::rank::IdSet;

/// Labelled images on which the largest distance that says something is found out.
const SAMPLED: usize = 500;
/// Share of right nearest neighbours that lie within it.
const WITHIN: f64 = 0.95;

/// How near is near enough, found out on an index's own labelled images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// The largest distance that says something, in bits.
    pub radius: u32,
    /// Share of the images that were tried whose label the others' vote gives.
    pub right: f64,
    /// Share that it gives another label; for the rest it says "unknown".
    pub wrong: f64,
    /// How many were tried.
    pub tried: usize,
}

/// What the neighbours say.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    /// The label with the greatest share; `None` when no labelled image is near enough.
    pub label: Option<String>,
    /// Its share of the votes, 0 to 1.
    pub confidence: f64,
    /// All labels with their shares, the greatest first.
    pub shares: Vec<(String, f64)>,
    /// Those who voted, the nearest first.
    pub neighbours: Vec<Found>,
}

impl Vote {
    /// Of neighbours in the order of their distances: a vote weighs `1 − d / (radius + 1)`,
    /// so that one at the edge says little.
    fn new(neighbours: Vec<Found>, radius: u32) -> Self {
        let mut weights: Vec<(String, f64)> = Vec::new();
        for found in &neighbours {
            let Some(label) = &found.label else { continue };
            let weight = 1.0 - f64::from(found.distance) / (f64::from(radius) + 1.0);
            match weights.iter_mut().find(|(known, _)| known == label) {
                Some((_, sum)) => *sum += weight,
                None => weights.push((label.clone(), weight)),
            }
        }
        let all: f64 = weights.iter().map(|(_, weight)| weight).sum();
        weights.iter_mut().for_each(|(_, weight)| *weight /= all);
        // Stable: of equals, the one with the nearer neighbour.
        weights.sort_by(|a, b| b.1.total_cmp(&a.1));
        let label = weights.first().map(|(label, _)| label.clone());
        let confidence = weights.first().map_or(0.0, |(_, share)| *share);
        Self { label, confidence, shares: weights, neighbours }
    }
}

/// Images with a label.
const LABELLED: Filter =
    Filter { under: Vec::new(), labels: Vec::new(), not: Vec::new(), labelled: true };

impl Searcher {
    /// What the `k` nearest labelled images within `radius` say that a query is; the query's
    /// own content does not vote.
    ///
    /// # Errors
    /// When the lengths differ, the index is damaged or the device fails.
    pub fn vote(
        &self,
        index: &Index,
        code: &BinaryCodes,
        content: Option<&blake3::Hash>,
        k: usize,
        radius: u32,
    ) -> Result<Vote, IndexError> {
        let labelled = self.positions(&index.ids(&LABELLED)?);
        self.vote_among(index, code, content, (k, radius), &labelled)
    }

    fn vote_among(
        &self,
        index: &Index,
        code: &BinaryCodes,
        content: Option<&blake3::Hash>,
        (k, radius): (usize, u32),
        labelled: &IdSet,
    ) -> Result<Vote, IndexError> {
        let contents = content.map(std::slice::from_ref).unwrap_or_default();
        // As many more as are the query itself.
        let own = content.map(|content| index.with_content(content)).transpose()?;
        let more = k.saturating_add(own.map_or(0, |own| own.len()));
        let query = Query { contents, radius: Some(radius), ..Query::nearest(code, more) };
        let mut found = self.find_among(index, &query, Some(labelled))?;
        found.retain(|found| !found.same);
        found.truncate(k);
        Ok(Vote::new(found, radius))
    }

    /// How far the labelled images of an index reach: the distance within which lie 95 of
    /// 100 nearest neighbours that have the right label, and what a vote of `k` within it gives.
    /// `None` when no two images share a label.
    ///
    /// # Errors
    /// As [`Searcher::vote`].
    pub fn reach(&self, index: &Index, k: usize) -> Result<Option<Reach>, IndexError> {
        let labelled = index.ids(&LABELLED)?;
        let among = self.positions(&labelled);
        let apart = labelled.len().div_ceil(SAMPLED).max(1);
        let bits = u32::try_from(index.bits()).unwrap_or(u32::MAX);
        let mut votes: HashMap<i64, (Option<String>, Vec<Found>)> = HashMap::new();
        let mut distances = Vec::new();
        for id in labelled.iter().step_by(apart) {
            let image = index.image(*id)?;
            let (code, content) = (index.code(*id)?, Some(&image.content));
            let vote = self.vote_among(index, &code, content, (k, bits), &among)?;
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
            neighbours.retain(|found| found.distance <= radius);
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

    fn found(label: &str, distance: u32) -> Found {
        Found {
            rank: 1,
            path: String::new(),
            distance,
            id: 1,
            label: Some(label.to_owned()),
            same: false,
            similarity: None,
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
