/*!
Groups of images that are nearly the same.

Candidates are images with near codes. Codes of different pictures of one kind are near, too, so the
looks of candidates decide. A group is held by one image, its original, and not by chains.
*/

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use file_id::FileId;
use rayon::prelude::*;

use super::files::KnownImage;
use super::living::{Here, Living};
use super::picture::Picture;
use super::snapshot::Snapshot;
use super::{Filter, IndexError};
use crate::image::{self, Limits};
use crate::rank::{IdSet, Neighbour, Search};
use crate::task::Task;

/// Number of queries per search.
const BATCH: usize = 256;
/// Maximum number of candidates per image: its nearest.
const CANDIDATES: usize = 256;

/// Options of a search for near duplicates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DuplicateOptions {
    /// Maximum distance of candidates (see [`Hit::distance`](super::Hit::distance)); `None` for
    /// three quarters of that of unrelated images: three eighths of the bits.
    pub radius: Option<u32>,
    /// The images among which to search.
    pub filter: Filter,
    /// Whether all candidates are near duplicates, whatever they look like.
    pub by_code: bool,
    /// Larger images are not decoded, and so not compared.
    pub limits: Limits,
}

impl DuplicateOptions {
    /// Sets the maximum distance of candidates.
    pub fn within(self, radius: u32) -> Self {
        Self { radius: Some(radius), ..self }
    }

    /// Searches among the images that `filter` lets through.
    pub fn among(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// Groups all images with near codes, whatever they look like.
    pub fn by_code(self) -> Self {
        Self { by_code: true, ..self }
    }

    /// Sets the limits above which images are not decoded.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}

/// The near duplicates of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Duplicates {
    /// The maximum distance of candidates: see [`Hit::distance`](super::Hit::distance).
    pub radius: u32,
    /// The groups, the largest first.
    pub groups: Vec<Group>,
    /// Number of candidates whose files are not there now.
    pub gone: usize,
    /// Number of candidates whose files have another content than the one indexed. They are in no
    /// group.
    pub changed: usize,
    /// Number of candidates that could not be compared, because their look is not kept and their
    /// file cannot be read. They are in a group only with files of the same content.
    pub unseen: usize,
}

impl Duplicates {
    /// The document of `duplicates --json` and of the page, without the index: radius, groups and
    /// counts.
    #[cfg(any(feature = "cli", feature = "serve"))]
    pub(crate) fn document(&self) -> serde_json::Value {
        let member = |image: &Member| {
            serde_json::json!({
                "id": image.id, "path": image.path, "label": image.label,
                "distance": image.distance, "copy": image.role == Role::Copy, "role": image.role,
                "width": image.size.map(|(width, _)| width),
                "height": image.size.map(|(_, height)| height), "bytes": image.bytes,
            })
        };
        let group = |group: &Group| group.images.iter().map(member).collect::<Vec<_>>();
        serde_json::json!({
            "radius": self.radius, "groups": self.groups.iter().map(group).collect::<Vec<_>>(),
            "gone": self.gone, "changed": self.changed, "unseen": self.unseen,
        })
    }

    /// The files that could be removed so that one of each group remains: copies, and near
    /// duplicates unless `exact` is set.
    pub fn removable(&self, exact: bool) -> impl Iterator<Item = &Member> {
        let images = self.groups.iter().flat_map(|group| &group.images);
        images.filter(move |image| match image.role {
            Role::Copy => true,
            Role::Near => !exact,
            _ => false,
        })
    }
}

/// A group of near duplicates: two files or more, each nearly the same as the original.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// The original, then the others by distance. Paths that lead to the same file as another one,
    /// and files that are gone, come last.
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
    /// Distance to the original: see [`Hit::distance`](super::Hit::distance).
    pub distance: u32,
    /// Its part in the group.
    pub role: Role,
    /// Width and height in pixels, if they are known.
    pub size: Option<(u32, u32)>,
    /// Size of the file in bytes; 0 if it is gone.
    pub bytes: u64,
}

/// The part of an image in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// The best file of the group: the one with the most pixels; of these the largest file, which is
    /// the least compressed; of these the oldest; of these the one that was indexed first.
    Original,
    /// A file with the content of another one of the group, which comes before it.
    Copy,
    /// A file that looks nearly the same.
    Near,
    /// Another path to a file of the group, by links: removing it frees nothing, and may remove the
    /// file.
    SameFile,
    /// The file is not there now.
    Gone,
}

impl Snapshot {
    /// Returns all groups of near duplicates among the images that `options` selects.
    ///
    /// The steps of `task` are images.
    ///
    /// # Errors
    /// If the index is damaged or the work is stopped.
    pub fn duplicates(
        &self,
        options: &DuplicateOptions,
        task: &Task<'_>,
    ) -> Result<Duplicates, IndexError> {
        let (ids, codes) = self.index().codes(task)?;
        let known = self.index().known()?;
        if ids != self.ids() || !known.iter().map(|image| image.id).eq(ids.iter().copied()) {
            return Err(self.index().damaged("it changed while it was open; open it again"));
        }
        let radius = options.radius.unwrap_or_else(|| self.ranking().alike());
        let chosen = self.allowed(&options.filter)?.unwrap_or_else(|| IdSet::all(self.len()));
        let rows: Vec<usize> = (0..self.len()).filter(|row| chosen.contains(*row as u32)).collect();
        // One more: an image finds itself.
        let search = Search { k: Some(CANDIDATES + 1), ..Search::within(radius).among(&chosen) };
        let mut near = Near {
            known: &known,
            options,
            pictures: HashMap::new(),
            crowded: HashSet::new(),
            pairs: BTreeMap::new(),
        };
        task.step(0, rows.len())?;
        for (done, some) in rows.chunks(BATCH).enumerate() {
            let found = self.ranking().nearest(&codes.select(some), &search)?;
            near.compare(self, some, found)?;
            task.step((done * BATCH + BATCH).min(rows.len()), rows.len())?;
        }
        Ok(near.group(radius))
    }
}

/// Images that are nearly the same, by position among the codes.
struct Near<'a> {
    known: &'a [KnownImage],
    options: &'a DuplicateOptions,
    /// Pictures of candidates; `None` for those that cannot be had.
    pictures: HashMap<usize, Option<Picture>>,
    /// Images with more candidates than are searched.
    crowded: HashSet<usize>,
    /// Near duplicates of each image, with their distances.
    pairs: BTreeMap<usize, BTreeMap<usize, u32>>,
}

impl Near<'_> {
    /// Compares images with their candidates.
    fn compare(
        &mut self,
        snapshot: &Snapshot,
        rows: &[usize],
        found: Vec<Vec<Neighbour>>,
    ) -> Result<(), IndexError> {
        // A pair was compared when the first of the two was the query, unless that one had more
        // candidates than are searched.
        let many = rows.iter().zip(&found).filter(|(_, hits)| hits.len() > CANDIDATES);
        self.crowded.extend(many.map(|(row, _)| *row));
        let all = rows.iter().zip(found).flat_map(|(row, hits)| {
            hits.into_iter().map(move |hit| (*row, hit.id as usize, hit.distance))
        });
        let candidates: Vec<(usize, usize, u32)> = all
            .filter(|(row, other, _)| row < other || row > other && self.crowded.contains(other))
            .collect();
        self.look(snapshot, candidates.iter().flat_map(|(row, other, _)| [*row, *other]))?;
        let alike = |(row, other, _): &(usize, usize, u32)| {
            self.known[*row].content == self.known[*other].content
                || self.options.by_code
                || match (&self.pictures[row], &self.pictures[other]) {
                    (Some(one), Some(other)) => one.look.is_like(&other.look),
                    _ => false,
                }
        };
        let pairs: Vec<_> = candidates.into_par_iter().filter(alike).collect();
        for (row, other, distance) in pairs {
            self.pairs.entry(row).or_default().insert(other, distance);
            self.pairs.entry(other).or_default().insert(row, distance);
        }
        Ok(())
    }

    /// Gets the pictures of images: from the index, or else from their files.
    fn look(
        &mut self,
        snapshot: &Snapshot,
        rows: impl Iterator<Item = usize>,
    ) -> Result<(), IndexError> {
        let new: BTreeSet<usize> = rows.filter(|row| !self.pictures.contains_key(row)).collect();
        let mut missing = Vec::new();
        {
            let index = snapshot.index();
            for row in new {
                let picture = index.picture(&self.known[row].content)?;
                if picture.is_none() && !self.options.by_code {
                    missing.push(row);
                }
                self.pictures.insert(row, picture);
            }
        }
        let read = |row: &usize| {
            let path = Path::new(&self.known[*row].path);
            (*row, image::open(path, &self.options.limits).ok().map(|read| Picture::of(&read)))
        };
        let read: Vec<_> = missing.par_iter().map(read).collect();
        self.pictures.extend(read);
        Ok(())
    }

    fn group(self, radius: u32) -> Duplicates {
        let mut result = Duplicates { radius, ..Duplicates::default() };
        if !self.options.by_code {
            result.unseen = self.pictures.values().filter(|picture| picture.is_none()).count();
        }
        let rows: Vec<usize> = self.pairs.keys().copied().collect();
        let living: Vec<Living> =
            rows.par_iter().map(|row| Living::of(&self.known[*row])).collect();
        let mut here: Vec<(usize, Here)> = Vec::new();
        let mut gone = HashSet::new();
        for (row, living) in rows.into_iter().zip(living) {
            match living {
                Living::Here(file) => here.push((row, file)),
                Living::Gone => drop(gone.insert(row)),
                Living::Changed => result.changed += 1,
            }
        }
        result.gone = gone.len();
        let pixels = |row: &usize| {
            self.pictures.get(row).and_then(Option::as_ref).map_or(0, Picture::pixels)
        };
        here.sort_by_cached_key(|(row, file)| {
            let age = (file.modified.is_none(), file.modified);
            (Reverse(pixels(row)), Reverse(file.bytes), age, file.link, *row)
        });
        // Each file once, by its best path.
        let mut paths: HashMap<FileId, usize> = HashMap::new();
        let mut same: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        here.retain(|(row, file)| {
            let first = *paths.entry(file.file).or_insert(*row);
            if first != *row {
                same.entry(first).or_default().push(*row);
            }
            first == *row
        });
        let mut left: HashMap<usize, &Here> = here.iter().map(|(row, file)| (*row, file)).collect();
        for (original, file) in &here {
            if left.remove(original).is_none() {
                continue;
            }
            let mut others: Vec<(u32, usize, &Here)> = self.pairs[original]
                .iter()
                .filter_map(|(row, distance)| Some((*distance, *row, left.remove(row)?)))
                .collect();
            if others.is_empty() {
                continue;
            }
            others.sort_unstable_by_key(|(distance, row, _)| (*distance, *row));
            result.groups.push(self.listed((*original, file), &others, &same, &gone));
        }
        // Of groups of one size, the one whose original was indexed first.
        result.groups.sort_by_key(|group| (Reverse(group.images.len()), group.images[0].id));
        result
    }

    /// The group of an original and others, with their further paths and files that are gone.
    fn listed(
        &self,
        (original, file): (usize, &Here),
        others: &[(u32, usize, &Here)],
        same: &BTreeMap<usize, Vec<usize>>,
        gone: &HashSet<usize>,
    ) -> Group {
        let mut images = vec![self.member(original, 0, Role::Original, file.bytes)];
        let mut contents = HashSet::from([self.known[original].content]);
        for (distance, row, file) in others {
            let new = contents.insert(self.known[*row].content);
            let role = if new { Role::Near } else { Role::Copy };
            images.push(self.member(*row, *distance, role, file.bytes));
        }
        let files = std::iter::once((0, original, file)).chain(others.iter().copied());
        for (distance, row, file) in files {
            for path in same.get(&row).into_iter().flatten() {
                images.push(self.member(*path, distance, Role::SameFile, file.bytes));
            }
        }
        for (row, distance) in self.pairs[&original].iter().filter(|(row, _)| gone.contains(row)) {
            images.push(self.member(*row, *distance, Role::Gone, 0));
        }
        Group { images }
    }

    fn member(&self, row: usize, distance: u32, role: Role, bytes: u64) -> Member {
        let KnownImage { id, path, label, .. } = &self.known[row];
        let picture = self.pictures.get(&row).and_then(Option::as_ref);
        let size = picture.map(|picture| (picture.width, picture.height));
        Member { id: *id, path: path.clone(), label: label.clone(), distance, role, size, bytes }
    }
}
