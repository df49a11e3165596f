/*!
Regions of indexed images: parts that stand out to the trunk and have codes of their own, so that
small objects in large pictures are found.
*/

use rusqlite::OptionalExtension;
use serde::Serialize;

use super::ranking::{Near, Query, Ranking};
use super::search::Search;
use super::{Index, IndexError};
use crate::code::{BinaryCodes, Code};
use crate::device::Device;
use crate::image::Rect;
use crate::rank::IdSet;
use crate::task::Task;

/// Maximum number of regions per image.
pub const MOST_REGIONS: usize = 16;

/// A part of an indexed image, in pixels of the upright picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Region {
    /// The part.
    #[serde(flatten)]
    pub rect: Rect,
    /// Width of the picture, in pixels.
    pub picture_width: u32,
    /// Height of the picture, in pixels.
    pub picture_height: u32,
}

/// The regions of one image as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredRegions {
    /// Width and height of the picture, then x, y, width and height of each region, as
    /// little-endian 32-bit numbers.
    pub areas: Vec<u8>,
    /// Codes, one after the other.
    pub codes: Vec<u8>,
    /// Features as the index keeps them, one after the other; `None` if it keeps none.
    pub features: Option<Vec<u8>>,
}

/// Bytes of the size of a picture.
const HEAD: usize = 8;
/// Bytes of a region's place.
const EACH: usize = 16;

/// Returns the places of regions as they are stored.
pub(super) fn areas(width: u32, height: u32, rects: &[Rect]) -> Vec<u8> {
    let places = rects.iter().flat_map(|rect| [rect.x, rect.y, rect.width, rect.height]);
    [width, height].into_iter().chain(places).flat_map(u32::to_le_bytes).collect()
}

/// Reads the region at a position from the output of [`areas`]; `None` if it is not there, or lies
/// outside its picture.
fn region(areas: &[u8], position: usize) -> Option<Region> {
    let number = |at: usize| {
        areas.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u32::from_le_bytes(*bytes))
    };
    let at = HEAD + EACH * position;
    let rect = Rect {
        x: number(at)?,
        y: number(at + 4)?,
        width: number(at + 8)?,
        height: number(at + 12)?,
    };
    let (picture_width, picture_height) = (number(0)?, number(4)?);
    let lies_inside = rect.x.checked_add(rect.width).is_some_and(|right| right <= picture_width)
        && rect.y.checked_add(rect.height).is_some_and(|bottom| bottom <= picture_height);
    lies_inside.then_some(Region { rect, picture_width, picture_height })
}

/// The codes of all regions, ready to be searched.
#[derive(Debug)]
pub(super) struct Regions {
    ranking: Ranking,
    /// The position of the image among the codes of images, for each region; ascending.
    owners: Vec<u32>,
    /// Most regions of one image.
    most: usize,
}

impl Index {
    /// Returns the place of a region, by its number within the image.
    pub(super) fn region(&self, id: i64, number: usize) -> Result<Option<Region>, IndexError> {
        let sql = "SELECT areas FROM regions WHERE id = ?1";
        let mut statement = self.mine(self.connection().prepare_cached(sql))?;
        let areas = self.mine(statement.query_row([id], |row| row.get::<_, Vec<u8>>(0)).optional());
        Ok(areas?.and_then(|areas| region(&areas, number)))
    }

    /// Returns the kept features of a region, of unit length, if there are any.
    pub(super) fn region_features(
        &self,
        id: i64,
        number: usize,
    ) -> Result<Option<Vec<f32>>, IndexError> {
        let Some(kept) = self.kept() else { return Ok(None) };
        let Some(stored) = self.stored_regions(id)? else { return Ok(None) };
        let (count, features) = (stored.count(), stored.features.unwrap_or_default());
        let one = features.chunks_exact((features.len() / count.max(1)).max(1)).nth(number);
        Ok(one.map(|bytes| kept.unit(bytes)))
    }

    /// Returns the stored regions of an image, if it has any.
    pub(super) fn stored_regions(&self, id: i64) -> Result<Option<StoredRegions>, IndexError> {
        if self.regions() == 0 {
            return Ok(None);
        }
        let sql = "SELECT areas, codes, features FROM regions WHERE id = ?1";
        let mut statement = self.mine(self.connection().prepare_cached(sql))?;
        let row = statement.query_row([id], |row| {
            Ok(StoredRegions { areas: row.get(0)?, codes: row.get(1)?, features: row.get(2)? })
        });
        self.mine(row.optional())
    }
}

impl StoredRegions {
    /// Number of regions.
    pub fn count(&self) -> usize {
        self.areas.len().saturating_sub(HEAD) / EACH
    }
}

impl Regions {
    /// Reads the codes of the regions of the images `ids`, ascending; `None` if the index has none.
    /// The steps of `task` are images.
    ///
    /// # Errors
    /// If the index is damaged or the work is stopped.
    pub fn load(
        index: &Index,
        ids: &[i64],
        device: &Device,
        task: &Task<'_>,
    ) -> Result<Option<Self>, IndexError> {
        if index.regions() == 0 {
            return Ok(None);
        }
        let (mut codes, mut owners) = (BinaryCodes::new(index.bits())?, Vec::new());
        let mut most = 0;
        let sql = "SELECT id, length(areas), codes FROM regions ORDER BY id";
        let mut statement = index.mine(index.connection().prepare(sql))?;
        let mut rows = index.mine(statement.query([]))?;
        while let Some(row) = index.mine(rows.next())? {
            let (id, areas) =
                (index.mine(row.get::<_, i64>(0))?, index.mine(row.get::<_, i64>(1))?);
            let packed = index.mine(row.get_ref(2).and_then(|value| Ok(value.as_blob()?)))?;
            let Ok(owner) = ids.binary_search(&id) else { continue };
            let some = BinaryCodes::from_bytes(index.bits(), packed)?;
            let places = usize::try_from(areas).unwrap_or_default();
            if places != HEAD + EACH * some.len() {
                return Err(index.damaged("an image has more regions than codes of them, or fewer"));
            }
            most = most.max(some.len());
            owners.extend(std::iter::repeat_n(owner as u32, some.len()));
            codes.extend(&some)?;
            task.step(owner, ids.len())?;
        }
        let ranking = Ranking::new(device, codes, index.codebooks())?;
        Ok(Some(Self { ranking, owners, most }))
    }

    /// Prepares for many searches.
    pub fn expect_many(&self) {
        self.ranking.expect_many();
    }

    /// The reason if searches run on the CPU although a GPU was requested.
    pub fn failure(&self) -> Option<&str> {
        self.ranking.failure()
    }

    /// Prepares a search.
    pub fn query<'a>(&'a self, search: &'a Search) -> Result<Query<'a>, IndexError> {
        self.ranking.query(search)
    }

    /// Returns the `k` images of which the nearest code, of the whole or of a region, is nearest.
    /// `whole` are the `k` nearest whole images; `allowed` are positions of images.
    pub fn merge(
        &self,
        whole: Vec<Near>,
        query: &Query<'_>,
        k: usize,
        allowed: Option<&IdSet>,
    ) -> Result<Vec<Near>, IndexError> {
        let allowed = allowed.map(|images| {
            let numbered = (0..).zip(&self.owners);
            let inside = numbered.filter(|(_, owner)| images.contains(**owner));
            IdSet::of(self.owners.len(), inside.map(|(region, _)| region))
        });
        // So many regions belong to k images at least, or are all.
        let depth = k.saturating_mul(self.most.max(1));
        let mut near = whole;
        for region in query.nearest(depth, allowed.as_ref())? {
            let owner = self.owners[region.id as usize];
            near.push(Near { id: owner, region: Some(region.id), ..region });
        }
        // The whole image first, if a region is as near. Words are ordered by their scores, which
        // are finer than distances.
        near.sort_by(|a, b| {
            let finer = b.score.unwrap_or_default().total_cmp(&a.score.unwrap_or_default());
            let order = match (a.score, b.score) {
                (Some(_), Some(_)) => finer,
                _ => a.distance.cmp(&b.distance),
            };
            order.then(a.id.cmp(&b.id)).then(a.region.cmp(&b.region))
        });
        let images = near.iter().map(|one| one.id as usize + 1).max().unwrap_or_default();
        let mut seen = IdSet::none(images);
        near.retain(|one| {
            let first = !seen.contains(one.id);
            seen.set(one.id, true);
            first
        });
        near.truncate(k);
        Ok(near)
    }

    /// Returns the code of a region; `None` for words, which have no signs.
    pub fn code(&self, region: u32) -> Option<Code> {
        match &self.ranking {
            Ranking::Signs(ranker) => ranker.code(region),
            Ranking::Words(_) => None,
        }
    }

    /// Returns the number of a region within its image.
    pub fn number(&self, region: u32) -> usize {
        let owner = self.owners[region as usize];
        region as usize - self.owners.partition_point(|other| *other < owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codes(all: &[u8]) -> BinaryCodes {
        BinaryCodes::from_bytes(8, all).unwrap()
    }

    proptest! {
        #[test]
        fn an_image_is_as_near_as_its_nearest_code(
            images in prop::collection::vec(
                (any::<u8>(), prop::collection::vec(any::<u8>(), 0..4), any::<bool>()), 1..30,
            ),
            asked in any::<u8>(), k in 0usize..12, radius in 0u32..9, filtered in any::<bool>(),
        ) {
            let device = Device::Cpu;
            let whole: Vec<u8> = images.iter().map(|image| image.0).collect();
            let parts: Vec<u8> = images.iter().flat_map(|image| image.1.clone()).collect();
            let numbered = || (0u32..).zip(&images);
            let owners = numbered().flat_map(|(at, image)| vec![at; image.1.len()]).collect();
            let most = images.iter().map(|image| image.1.len()).max().unwrap();
            let images_ranked = Ranking::new(&device, codes(&whole), None).unwrap();
            let ranking = Ranking::new(&device, codes(&parts), None).unwrap();
            let regions = Regions { ranking, owners, most };
            let inside = numbered().filter(|(_, image)| image.2).map(|(at, _)| at);
            let set = filtered.then(|| IdSet::of(images.len(), inside));

            let code = Code::from_bytes(8, &[asked]).unwrap();
            let search = Search::nearest(&code, k).within(radius);
            let near = images_ranked.query(&search).unwrap().nearest(k, set.as_ref()).unwrap();
            let query = regions.query(&search).unwrap();
            let found = regions.merge(near, &query, k, set.as_ref()).unwrap();

            let distance = |code: &u8| (code ^ asked).count_ones();
            let mut expected: Vec<(u32, u32)> = numbered()
                .filter(|(_, image)| image.2 || !filtered)
                .map(|(at, image)| {
                    (image.1.iter().chain([&image.0]).map(distance).min().unwrap(), at)
                })
                .filter(|(distance, _)| *distance <= radius)
                .collect();
            expected.sort_unstable();
            expected.truncate(k);
            let pairs: Vec<(u32, u32)> = found.iter().map(|one| (one.distance, one.id)).collect();
            prop_assert_eq!(pairs, expected);
            for one in &found {
                let image = &images[one.id as usize];
                let code = match one.region {
                    Some(region) => image.1[regions.number(region)],
                    None => image.0,
                };
                prop_assert_eq!(distance(&code), one.distance);
                // A region is told only if it is nearer than the whole.
                prop_assert!(one.region.is_none() || distance(&image.0) > one.distance);
            }
        }
    }

    #[test]
    fn places_are_read_as_they_were_written_and_damage_gives_none() {
        let rects =
            [Rect { x: 1, y: 2, width: 3, height: 4 }, Rect { x: 5, y: 6, width: 7, height: 8 }];
        let bytes = areas(90, 60, &rects);
        for (number, rect) in rects.into_iter().enumerate() {
            let found = region(&bytes, number).unwrap();
            assert_eq!(found, Region { rect, picture_width: 90, picture_height: 60 });
        }
        assert_eq!(region(&bytes, 2), None);
        assert_eq!(region(&bytes[..bytes.len() - 1], 1), None);
        assert_eq!(region(&[], 0), None);
        let outside = Rect { x: u32::MAX, y: 2, width: 3, height: 4 };
        assert_eq!(region(&areas(90, 60, &[outside]), 0), None);
    }
}
