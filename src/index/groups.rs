/*!
Groups of images that are nearly the same.
*/

use std::collections::HashSet;

use super::snapshot::Snapshot;
use super::{Filter, IndexError};
use crate::rank::{IdSet, Search};
use crate::task::Task;

/// Number of queries per search.
const BATCH: usize = 256;

/// A group of near duplicates: each image is within the radius of another one of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// The images, in the order in which they were indexed.
    pub images: Vec<Member>,
}

/// An image of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its id.
    pub id: i64,
    /// Its path.
    pub path: String,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Hamming distance to the nearest other image of the group, in bits.
    pub distance: u32,
    /// Whether its file has the same content as an earlier one of the group.
    pub copy: bool,
}

impl Snapshot {
    /// Returns all groups of two images or more among those that `filter` lets through, the
    /// largest first. Two images are in one group if a chain of images leads from one to the
    /// other in steps of at most `radius` bits.
    ///
    /// # Errors
    /// If the index is damaged or the work is stopped.
    pub fn duplicates(
        &self,
        radius: u32,
        filter: &Filter,
        task: &Task<'_>,
    ) -> Result<Vec<Group>, IndexError> {
        let (ids, codes) = self.index().codes(task)?;
        if ids != self.ids() {
            return Err(self.index().damaged("it changed while it was open; open it again"));
        }
        let chosen = self.allowed(filter)?.unwrap_or_else(|| IdSet::all(self.len()));
        let rows: Vec<usize> = (0..self.len()).filter(|row| chosen.contains(*row as u32)).collect();
        let search = Search::within(radius).among(&chosen);
        let mut joined = Joined((0..self.len()).collect());
        let mut nearest = vec![u32::MAX; self.len()];
        task.step(0, rows.len())?;
        for (done, some) in rows.chunks(BATCH).enumerate() {
            let found = self.ranker().search(&codes.select(some), &search)?;
            for (row, hits) in some.iter().zip(found) {
                for hit in hits.iter().filter(|hit| hit.id as usize != *row) {
                    joined.join(*row, hit.id as usize);
                    nearest[*row] = nearest[*row].min(hit.distance);
                }
            }
            task.step((done * BATCH + BATCH).min(rows.len()), rows.len())?;
        }
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); self.len()];
        for row in rows.into_iter().filter(|row| nearest[*row] != u32::MAX) {
            let first = joined.first(row);
            groups[first].push(row);
        }
        groups.retain(|rows| rows.len() > 1);
        // The sort is stable: of groups of one size, the one with the image that was indexed first.
        groups.sort_by_key(|rows| std::cmp::Reverse(rows.len()));
        groups.iter().map(|rows| self.group(rows, &nearest)).collect()
    }

    fn group(&self, rows: &[usize], nearest: &[u32]) -> Result<Group, IndexError> {
        let mut contents = HashSet::new();
        let mut images = Vec::new();
        for row in rows {
            let image = self.listed(self.ids()[*row])?;
            // A link takes no space of its own, and its target is no copy of it.
            let link = std::fs::symlink_metadata(&image.path).is_ok_and(|meta| meta.is_symlink());
            let copy = !link && !contents.insert(image.content);
            let (id, distance) = (image.id, nearest[*row]);
            images.push(Member { id, path: image.path, label: image.label, distance, copy });
        }
        Ok(Group { images })
    }
}

/// Disjoint sets, each identified by its least member.
struct Joined(Vec<usize>);

impl Joined {
    fn first(&mut self, mut row: usize) -> usize {
        while self.0[row] != row {
            // Path halving.
            self.0[row] = self.0[self.0[row]];
            row = self.0[row];
        }
        row
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn joined_is_what_a_flood_reaches(pairs in prop::collection::vec((0usize..20, 0usize..20), 0..30)) {
            let mut joined = Joined((0..20).collect());
            pairs.iter().for_each(|(a, b)| joined.join(*a, *b));
            for start in 0..20 {
                let mut reached = vec![start];
                let mut at = 0;
                while at < reached.len() {
                    let here = reached[at];
                    let next = pairs.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
                    let new: Vec<_> = next.filter(|(a, b)| *a == here && !reached.contains(b)).map(|(_, b)| b).collect();
                    for b in new { if !reached.contains(&b) { reached.push(b); } }
                    at += 1;
                }
                prop_assert_eq!(joined.first(start), *reached.iter().min().unwrap());
            }
        }
    }
}
