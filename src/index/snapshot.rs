/*!
One state of an index in memory: exact search, among all images or some.
*/

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::catalogue::Catalogue;
use super::features::cosine;
use super::paths::is_gone;
use super::ranking::{Near, Ranking};
use super::regions::Regions;
use super::search::{Hit, Order, Search};
use super::{Filter, ImageRow, Index, IndexError};
use crate::code::Code;
use crate::device::Device;
use crate::hash::Asymmetric;
use crate::model::Model;
use crate::rank::{IdSet, Ranker};
use crate::task::Task;

/// One state of an index, ready to be searched: the codes in memory (or on the GPU), and the
/// read transaction that they came from. It does not change; it is `Send` and `Sync`.
///
/// Paths stay in the file, because those of a large collection take more memory than its codes.
/// They are read for hits only, through the one connection behind a mutex; ranking, which takes
/// the time, happens without it. Folders and labels are read into memory by the first search
/// that filters.
#[derive(Debug)]
pub struct Snapshot {
    index: Mutex<Index>,
    ranking: Ranking,
    /// The codes of regions, if the index has any.
    regions: Option<Regions>,
    /// Image id of each code, ascending.
    ids: Vec<i64>,
    bits: usize,
    fingerprint: String,
    device: Device,
    /// Opened on first need.
    model: OnceLock<Arc<Model>>,
    opening: Mutex<()>,
    catalogue: OnceLock<Catalogue>,
}

/// A candidate for a hit.
struct Ranked {
    id: i64,
    distance: u32,
    similarity: Option<f32>,
    score: Option<f32>,
    same: bool,
    /// The region whose code it is, by its position among all.
    region: Option<u32>,
}

impl Ranked {
    /// The hit of a row. Its rank is not known yet.
    fn hit(&self, row: ImageRow, gone: bool) -> Hit {
        let Self { id, distance, similarity, score, same, .. } = *self;
        let ImageRow { path, label, .. } = row;
        Hit { rank: 0, path, distance, id, label, same, gone, similarity, score, region: None }
    }
}

impl Snapshot {
    /// Reads all codes of an index and puts them on the device; the steps of `task` are images.
    ///
    /// # Errors
    /// If the index is damaged or the work is stopped.
    pub fn load(index: Index, device: &Device, task: &Task<'_>) -> Result<Self, IndexError> {
        let (ids, codes) = index.codes(task)?;
        let (bits, fingerprint) = (index.bits(), index.model().to_owned());
        let ranking = Ranking::new(device, codes, index.codebooks())?;
        let regions = Regions::load(&index, &ids, device, task)?;
        Ok(Self {
            index: Mutex::new(index),
            ranking,
            regions,
            ids,
            bits,
            fingerprint,
            device: device.clone(),
            model: OnceLock::new(),
            opening: Mutex::default(),
            catalogue: OnceLock::new(),
        })
    }

    /// The model that made the codes, opened now if it was not needed before.
    ///
    /// # Errors
    /// [`IndexError::NoModel`] if its file is missing.
    pub fn model(&self) -> Result<&Model, IndexError> {
        self.opened().map(|model| &**model)
    }

    /// As [`Snapshot::model`], to be kept longer than the snapshot.
    pub(super) fn shared_model(&self) -> Result<Arc<Model>, IndexError> {
        self.opened().cloned()
    }

    fn opened(&self) -> Result<&Arc<Model>, IndexError> {
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let _one = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let model = self.index().open_model(&self.device)?;
        Ok(self.model.get_or_init(|| Arc::new(model)))
    }

    /// Sets the model that made the codes, unless it is open.
    pub(super) fn use_model(&self, model: Arc<Model>) {
        self.model.get_or_init(|| model);
    }

    /// The model that made the codes, if it is open.
    pub(super) fn open_model(&self) -> Option<Arc<Model>> {
        self.model.get().cloned()
    }

    /// Returns whether the model is open.
    pub fn has_model(&self) -> bool {
        self.model.get().is_some()
    }

    /// Checks that `index` is a later state of this one: of the same model, or of one that was
    /// fitted to its images.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`].
    pub(super) fn goes_on_in(&self, index: &Index) -> Result<(), IndexError> {
        if index.fitted().is_some() {
            return Ok(());
        }
        index.same_model(self.bits, &self.fingerprint)
    }

    /// Fingerprint of the model that made the codes.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The index, for one thread at a time: do not keep the guard for long.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        // A read-only connection is never left half changed.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Folders and labels of all images, read when they are first needed.
    ///
    /// # Errors
    /// If the index is damaged.
    pub fn catalogue(&self) -> Result<&Catalogue, IndexError> {
        if let Some(catalogue) = self.catalogue.get() {
            return Ok(catalogue);
        }
        let read = Catalogue::read(&self.index())?;
        Ok(self.catalogue.get_or_init(|| read))
    }

    /// Returns whether the index file is still as it was read.
    pub fn is_current(&self) -> bool {
        self.index().is_current()
    }

    /// Prepares for many searches: reads folders and labels, and see [`Ranker::expect_many`].
    ///
    /// # Errors
    /// If the index is damaged.
    pub fn expect_many(&self) -> Result<(), IndexError> {
        self.catalogue()?;
        self.ranking.expect_many();
        self.regions.iter().for_each(Regions::expect_many);
        Ok(())
    }

    /// The reason if searches run on the CPU although a GPU was requested.
    pub fn failure(&self) -> Option<&str> {
        self.ranking.failure().or_else(|| self.regions.as_ref()?.failure())
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Words per code; `None` if codes are signs.
    pub fn words(&self) -> Option<usize> {
        self.ranking.words()
    }

    /// Returns whether codes are words of codebooks instead of signs.
    pub fn is_words(&self) -> bool {
        self.words().is_some()
    }

    /// The name of the order in which [`Snapshot::search`] returns the hits: that of the search's
    /// [`Order`]; `words` if codes are words and the order is not by features.
    pub fn order_of(&self, search: &Search) -> &'static str {
        match search.order() {
            Order::Hamming | Order::Asymmetric { .. } if self.is_words() => "words",
            order => order.name(),
        }
    }

    /// Ids of all images, ascending.
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// Returns the row of an image.
    ///
    /// # Errors
    /// [`IndexError::NoSuchImage`], or if the index is damaged.
    pub fn image(&self, id: i64) -> Result<ImageRow, IndexError> {
        self.index().image(id)
    }

    /// Returns the code of an image.
    ///
    /// # Errors
    /// [`IndexError::NoSuchImage`], or if the index is damaged.
    pub fn code(&self, id: i64) -> Result<Code, IndexError> {
        self.index().code(id)
    }

    /// Returns the hits of a search: images of its own contents first and marked, then the others
    /// in the [`Order`] of the search.
    ///
    /// # Errors
    /// If the code lengths differ, the query's values are not one for each bit, the index is
    /// damaged, or features are needed and not kept.
    pub fn search(&self, search: &Search) -> Result<Vec<Hit>, IndexError> {
        let mut own = Vec::new();
        for content in search.contents() {
            own.extend(self.index().with_content(content)?);
        }
        self.search_among(search, own, self.allowed(search.filter())?.as_ref())
    }

    /// Returns the `k` images nearest to an image of the index. It comes first and is marked;
    /// copies of it are hits like others.
    ///
    /// # Errors
    /// [`IndexError::NoSuchImage`], or if the index is damaged.
    pub fn search_id(&self, id: i64, k: usize) -> Result<Vec<Hit>, IndexError> {
        self.search_among(&Search::nearest(&self.code(id)?, k), vec![id], None)
    }

    /// As [`Snapshot::search`], among the images at the given positions; `own` are the ids of the
    /// query's own images.
    pub(super) fn search_among(
        &self,
        search: &Search,
        mut own: Vec<i64>,
        allowed: Option<&IdSet>,
    ) -> Result<Vec<Hit>, IndexError> {
        own.sort_unstable();
        own.dedup();
        if let Some(allowed) = allowed {
            own.retain(|id| self.position(*id).is_some_and(|at| allowed.contains(at)));
        }
        let query = self.ranking.query(search)?;
        // A hit has the number by which it is ordered.
        let scored = !matches!(search.order(), Order::Cosine { .. });
        let (wanted, k) = (search.k(), query.depth());
        // The query's own images are found too, and come first anyway.
        let depth = k.saturating_add(own.len());
        let mut found = query.nearest(depth, allowed)?;
        if let Some(regions) = self.regions_for(search) {
            found = regions.merge(found, &regions.query(search)?, depth, allowed)?;
        }
        let mut ranked = Vec::new();
        // Others at the same distance may have smaller ids, and of several queries one may be far
        // from the others.
        for id in own.iter().take(wanted) {
            let (distance, score) = query.compare(&self.code(*id)?)?;
            let score = score.filter(|_| scored);
            let (similarity, region) = (None, None);
            ranked.push(Ranked { id: *id, distance, similarity, score, same: true, region });
        }
        let others = found.into_iter().filter_map(|Near { id, distance, score, region }| {
            let id = *self.ids.get(id as usize)?;
            let score = score.filter(|_| scored);
            Some(Ranked { id, distance, similarity: None, score, same: false, region })
        });
        let mut others: Vec<Ranked> =
            others.filter(|one| own.binary_search(&one.id).is_err()).take(k).collect();
        if let Some((tables, signs)) = query.tables() {
            self.by_values(search.order(), tables, signs, &mut others)?;
        }
        if let Order::Cosine { features, .. } = search.order() {
            self.by_features(search.order(), features, &mut others)?;
        }
        ranked.extend(others);
        self.hits(ranked, wanted, |id| {
            let at = self.position(id).filter(|at| allowed.is_none_or(|set| set.contains(*at)));
            at.map(|_| own.binary_search(&id).is_ok())
        })
    }

    /// Returns the first hits. A file that is gone stands behind the files of the same content that
    /// are there. `allowed` returns whether an image is the query itself; `None` for an image that
    /// must not be found.
    fn hits(
        &self,
        ranked: Vec<Ranked>,
        wanted: usize,
        allowed: impl Fn(i64) -> Option<bool>,
    ) -> Result<Vec<Hit>, IndexError> {
        let (mut hits, mut shown, mut regions) = (Vec::new(), HashSet::new(), Vec::new());
        for one in ranked {
            if hits.len() >= wanted {
                break;
            }
            if !shown.insert(one.id) {
                continue;
            }
            let row = self.listed(one.id)?;
            let gone = is_gone(Path::new(&row.path));
            if gone {
                let copies = self.index().with_content(&row.content)?;
                for id in copies {
                    let Some(same) = allowed(id).filter(|_| !shown.contains(&id)) else { continue };
                    let copy = self.listed(id)?;
                    if !is_gone(Path::new(&copy.path)) {
                        shown.insert(id);
                        regions.push(one.region);
                        hits.push(Ranked { id, same, ..one }.hit(copy, false));
                    }
                }
            }
            regions.push(one.region);
            hits.push(one.hit(row, gone));
        }
        hits.truncate(wanted);
        for (hit, region) in hits.iter_mut().zip(regions) {
            if let Some(number) = self.number(region) {
                hit.region = self.index().region(hit.id, number)?;
            }
        }
        (1..).zip(&mut hits).for_each(|(rank, hit)| hit.rank = rank);
        Ok(hits)
    }

    /// Orders the candidates by the scores of their codes.
    fn by_values(
        &self,
        order: &Order,
        tables: &Asymmetric,
        signs: &Ranker,
        images: &mut [Ranked],
    ) -> Result<(), IndexError> {
        for image in images.iter_mut().take(order.candidates()) {
            let code = match (image.region, &self.regions) {
                (Some(region), Some(regions)) => regions.code(region),
                _ => self.position(image.id).and_then(|at| signs.code(at)),
            };
            image.score = code.map(|code| tables.score(&code)).transpose()?;
        }
        order.sort(images, |image| (image.score.unwrap_or_default(), image.id));
        Ok(())
    }

    /// Orders the candidates by the cosine of their features and the query's.
    fn by_features(
        &self,
        order: &Order,
        features: &[f32],
        images: &mut [Ranked],
    ) -> Result<(), IndexError> {
        let index = self.index();
        for image in images.iter_mut().take(order.candidates()) {
            let own = match self.number(image.region) {
                Some(number) => index.region_features(image.id, number)?,
                None => index.features(image.id)?,
            };
            let own = own.ok_or_else(|| IndexError::NoFeatures(index.path().to_owned()))?;
            image.similarity = Some(cosine(&own, features));
        }
        order.sort(images, |image| (image.similarity.unwrap_or_default(), image.id));
        Ok(())
    }

    /// The codes of regions, if a search is to compare them.
    fn regions_for(&self, search: &Search) -> Option<&Regions> {
        self.regions.as_ref().filter(|_| !search.is_of_whole_images())
    }

    /// Returns the number of a region within its image.
    fn number(&self, region: Option<u32>) -> Option<usize> {
        Some(self.regions.as_ref()?.number(region?))
    }

    /// Returns the row of an image that has a code, and so must exist.
    pub(super) fn listed(&self, id: i64) -> Result<ImageRow, IndexError> {
        let index = self.index();
        index.image(id).map_err(|error| match error {
            IndexError::NoSuchImage(id) => {
                index.damaged(format!("image {id} has a code and is not listed"))
            }
            error => error,
        })
    }

    pub(super) fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// Returns the positions of the images that `filter` lets through; `None` for all.
    pub(super) fn allowed(&self, filter: &Filter) -> Result<Option<IdSet>, IndexError> {
        if filter.is_empty() {
            return Ok(None);
        }
        let ids = self.catalogue()?.ids(filter);
        let mut allowed = IdSet::of(self.len(), ids.iter().filter_map(|id| self.position(*id)));
        // The catalogue knows folders only; a filter may name the path of an image, too.
        for path in &filter.under {
            let plain: PathBuf =
                Path::new(path).components().collect::<Vec<Component<'_>>>().iter().collect();
            let Some(image) = self.index().at_path(&plain.to_string_lossy())? else { continue };
            if filter.lets_through(&image.path, image.label.as_deref())
                && let Some(position) = self.position(image.id)
            {
                allowed.set(position, true);
            }
        }
        Ok(Some(allowed))
    }

    /// Returns the position of an image among the codes.
    fn position(&self, id: i64) -> Option<u32> {
        self.ids.binary_search(&id).ok().and_then(|at| u32::try_from(at).ok())
    }
}
