/*!
A database of codes on one device: the choice between the CPU, a graphics adapter and both.
*/

use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::cpu;
use super::gpu::{GpuLimits, GpuRanker};
use super::lanes::Lanes;
use super::multi_index::MultiIndex;
use super::query::{Neighbour, Search, Want};
use super::{IdSet, RankError};
use crate::code::{BinaryCodes, Code};
use crate::device::Device;

/// A database of codes, prepared for ranking on one device.
///
/// ```
/// use std::sync::Arc;
/// use barbule::{BinaryCodes, Code, Device, IdSet, RankSearch, Ranker};
///
/// let query = Code::from_hex(16, "00ff")?;
/// let mut codes = BinaryCodes::from(&Code::from_hex(16, "0f0f")?);
/// codes.push(&Code::from_hex(16, "00fe")?)?;
/// codes.push(&Code::from_hex(16, "00ff")?)?;
/// let mut ranker = Ranker::new(&Device::Cpu, Arc::new(codes))?;
///
/// // The nearest codes, by distance and then by id.
/// let nearest = ranker.nearest(&query, 2)?;
/// assert_eq!([nearest[0].id, nearest[1].id], [2, 1]);
///
/// // Some of the codes only.
/// let allowed = IdSet::of(ranker.len(), [0, 1]);
/// let nearest = ranker.search_one(&query, &RankSearch::nearest(1).among(&allowed))?;
/// assert_eq!((nearest[0].id, nearest[0].distance), (1, 1));
///
/// // Removed codes are never found again.
/// ranker.remove([2]);
/// assert_eq!(ranker.nearest(&query, 1)?[0].id, 1);
/// assert_eq!(ranker.code(2), Some(query));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ranker {
    bits: usize,
    len: usize,
    place: Place,
    /// The ids that remain; `None` until the first removal.
    present: Option<IdSet>,
    /// The reason that the GPU is no longer used.
    failure: OnceLock<String>,
}

#[derive(Debug)]
enum Place {
    Cpu {
        lanes: Lanes,
        /// Tables for sub-linear search, if they were requested and are faster than a scan.
        buckets: OnceLock<Option<MultiIndex>>,
    },
    Gpu {
        gpu: GpuRanker,
        /// All codes, for the CPU fallback when the device fails.
        codes: Arc<BinaryCodes>,
        lanes: OnceLock<Lanes>,
        /// The codes that do not fit on the device; the CPU searches them in parallel.
        rest: Option<Lanes>,
    },
}

impl Place {
    fn on_cpu(codes: &BinaryCodes) -> Self {
        Self::Cpu { lanes: Lanes::new(codes), buckets: OnceLock::new() }
    }
}

impl Ranker {
    /// Prepares `codes` for ranking. On a GPU they are uploaded and stay there. If GPU memory
    /// is too small for all of them, the CPU searches the rest at the same time. If the
    /// device fails, now or later, the CPU takes over: see [`Ranker::failure`].
    ///
    /// # Errors
    /// If there are 2³² codes or more.
    pub fn new(device: &Device, codes: Arc<BinaryCodes>) -> Result<Self, RankError> {
        Self::with_limits(device, codes, GpuLimits::default())
    }

    /// Like [`Ranker::new`], but uses no more of a GPU than `limits`: for programs that
    /// share the GPU with others.
    ///
    /// # Errors
    /// See [`Ranker::new`].
    pub fn with_limits(
        device: &Device,
        codes: Arc<BinaryCodes>,
        limits: GpuLimits,
    ) -> Result<Self, RankError> {
        if u32::try_from(codes.len()).is_err() {
            return Err(RankError::TooMany(codes.len()));
        }
        let (bits, len) = (codes.bits(), codes.len());
        let failure = OnceLock::new();
        let place = match device {
            Device::Gpu(gpu) => match GpuRanker::new(gpu.clone(), &codes, limits) {
                Ok(gpu) if gpu.len() == 0 && len > 0 => {
                    failure.get_or_init(|| {
                        format!("{} has too little memory for the codes", gpu.name())
                    });
                    Place::on_cpu(&codes)
                }
                Ok(gpu) => {
                    let rest = (gpu.len() < len).then(|| Lanes::from(&codes, gpu.len()));
                    Place::Gpu { gpu, codes, lanes: OnceLock::new(), rest }
                }
                // A database that cannot be uploaded is searched on the CPU.
                Err(error) => {
                    failure.get_or_init(|| error.to_string());
                    Place::on_cpu(&codes)
                }
            },
            Device::Cpu => Place::on_cpu(&codes),
        };
        Ok(Self { bits, len, place, present: None, failure })
    }

    /// The reason that searches run on the CPU although a GPU was requested: a lost device,
    /// too little memory, a search that took too long. `None` while the GPU works.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Number of codes, including removed ones. All ids are below it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the database is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Returns the code with this id, also if it was removed; `None` if there is no such id.
    pub fn code(&self, id: u32) -> Option<Code> {
        let at = id as usize;
        match &self.place {
            Place::Cpu { lanes, .. } => Code::from_words(self.bits, lanes.row(at)?).ok(),
            Place::Gpu { codes, .. } => codes.get(at),
        }
    }

    /// Removes codes from all later searches. The ids of the other codes do not change.
    pub fn remove(&mut self, ids: impl IntoIterator<Item = u32>) {
        let present = self.present.get_or_insert_with(|| IdSet::all(self.len));
        ids.into_iter().for_each(|id| present.set(id, false));
    }

    /// Prepares for many searches on a CPU: builds tables for sub-linear search, measures
    /// them, and keeps them if they are faster than a scan. That is the case for a million or
    /// more codes of up to 64 bits that cluster, as learned codes do. Takes about as long as
    /// a few hundred searches, and 12 bytes of memory per code and 16 bits. Search results do
    /// not change. Returns whether the tables were kept.
    pub fn expect_many(&self) -> bool {
        match &self.place {
            Place::Cpu { lanes, buckets } if MultiIndex::may_pay(self.bits, self.len) => {
                let kept = made_outside(buckets, || MultiIndex::new(lanes, self.bits));
                kept.is_some()
            }
            _ => false,
        }
    }

    /// Returns the `k` nearest codes of each query (all codes if there are fewer), nearest
    /// first; equal distances are ordered by id. Exact.
    ///
    /// # Errors
    /// If queries and database have different code lengths.
    pub fn top_k(&self, queries: &BinaryCodes, k: usize) -> Result<Vec<Vec<Neighbour>>, RankError> {
        self.search(queries, &Search::nearest(k))
    }

    /// Returns the `k` nearest codes of one query, like [`Ranker::top_k`].
    ///
    /// # Errors
    /// If query and database have different code lengths.
    pub fn nearest(&self, query: &Code, k: usize) -> Result<Vec<Neighbour>, RankError> {
        self.search_one(query, &Search::nearest(k))
    }

    /// Returns the hits of `search` for one query, like [`Ranker::search`].
    ///
    /// # Errors
    /// See [`Ranker::search`].
    pub fn search_one(
        &self,
        query: &Code,
        search: &Search<'_>,
    ) -> Result<Vec<Neighbour>, RankError> {
        let found = self.search(&BinaryCodes::from(query), search)?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Returns the hits of `search` for each query, nearest first; equal distances are
    /// ordered by id. Exact.
    ///
    /// # Errors
    /// If queries and database have different code lengths, or the universe of the allowed
    /// ids is not the number of codes.
    pub fn search(
        &self,
        queries: &BinaryCodes,
        search: &Search<'_>,
    ) -> Result<Vec<Vec<Neighbour>>, RankError> {
        if queries.bits() != self.bits {
            return Err(RankError::Bits { queries: queries.bits(), database: self.bits });
        }
        if let Some(allowed) = search.allowed.filter(|allowed| allowed.universe() != self.len) {
            return Err(RankError::Allowed { allowed: allowed.universe(), codes: self.len });
        }
        let both = match (&self.present, search.allowed) {
            (Some(present), Some(allowed)) => Some(present.and(allowed)),
            _ => None,
        };
        let allowed = both.as_ref().or(self.present.as_ref()).or(search.allowed);
        let k = search.k.unwrap_or(self.len).min(self.len);
        if k == 0 {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        let radius = search.radius.unwrap_or(u32::MAX).min(self.bits as u32);
        let want = Want { k, radius, allowed: allowed.map(IdSet::as_bytes) };
        let path = cpu::Path::best();
        match &self.place {
            Place::Cpu { lanes, buckets } => Ok(match buckets.get() {
                Some(Some(buckets)) => looked_up(buckets, lanes, queries, &want),
                _ => cpu::search(path, lanes, queries, &want),
            }),
            Place::Gpu { gpu, codes, lanes, rest } => {
                if self.failure.get().is_none() {
                    let found = match rest {
                        Some(rest) => shared(gpu, rest, queries, &want),
                        None => gpu.search(queries, &want),
                    };
                    match found {
                        Ok(Some(hits)) => return Ok(hits),
                        Ok(None) => (),
                        Err(error) => {
                            self.failure.get_or_init(|| error.to_string());
                        }
                    }
                }
                let lanes = made_outside(lanes, || Lanes::new(codes));
                Ok(cpu::search(path, lanes, queries, &want))
            }
        }
    }
}

/// Returns the cell's value, or fills it with `make()`. Unlike `get_or_init`, `make` runs
/// without holding the cell. It uses the thread pool, and while it waits, its thread may start
/// another task that needs the same cell; `get_or_init` would then deadlock.
fn made_outside<T>(cell: &OnceLock<T>, make: impl FnOnce() -> T) -> &T {
    match cell.get() {
        Some(value) => value,
        None => {
            let value = make();
            cell.get_or_init(|| value)
        }
    }
}

/// Searches the uploaded codes on the GPU and the rest on the CPU. `None` if the GPU's
/// search returns `None`.
fn shared(
    gpu: &GpuRanker,
    rest: &Lanes,
    queries: &BinaryCodes,
    want: &Want<'_>,
) -> Result<Option<Vec<Vec<Neighbour>>>, RankError> {
    let first = gpu.len();
    let (on_gpu, on_cpu) = rayon::join(
        || gpu.search(queries, &Want { k: want.k.min(first), ..*want }),
        || {
            // The GPU holds whole blocks, so the bitmap can be cut at a byte.
            let allowed = want.allowed.map(|bytes| bytes.get(first / 8..).unwrap_or_default());
            let want = Want { k: want.k.min(rest.len()), allowed, ..*want };
            cpu::search(cpu::Path::best(), rest, queries, &want)
        },
    );
    let Some(mut found) = on_gpu? else { return Ok(None) };
    for (hits, more) in found.iter_mut().zip(on_cpu) {
        hits.extend(more.into_iter().map(|hit| Neighbour { id: hit.id + first as u32, ..hit }));
        // Two sorted runs: the stable sort merges them.
        hits.sort();
        hits.truncate(want.k);
    }
    Ok(Some(found))
}

/// Uses the tables for the queries for which they are faster, and a scan for the others.
fn looked_up(
    buckets: &MultiIndex,
    lanes: &Lanes,
    queries: &BinaryCodes,
    want: &Want<'_>,
) -> Vec<Vec<Neighbour>> {
    let of_batch = queries.len() > 1;
    let look_up = |query: &u64| buckets.search(*query, want, of_batch);
    let mut found: Vec<Option<Vec<Neighbour>>> = queries.words().par_iter().map(look_up).collect();
    let left: Vec<usize> = (0..found.len()).filter(|i| found[*i].is_none()).collect();
    let read = cpu::search(cpu::Path::best(), lanes, &queries.select(&left), want);
    left.into_iter().zip(read).for_each(|(i, hits)| found[i] = Some(hits));
    found.into_iter().map(Option::unwrap_or_default).collect()
}

/// Benchmarks of the lower bounds on search time.
impl Ranker {
    /// Reads all codes once, as a search for one query must, and returns the sum of their
    /// words (on a GPU: of their 32-bit words, modulo 2³²). `None` if the device fails or
    /// holds only some of the codes.
    #[doc(hidden)]
    pub fn only_read(&self) -> Option<u64> {
        match &self.place {
            Place::Cpu { lanes, .. } => Some(cpu::ceiling::read(lanes)),
            Place::Gpu { gpu, rest: None, .. } => gpu.sum().ok().map(u64::from),
            Place::Gpu { .. } => None,
        }
    }

    /// Computes the Hamming distances of all codes to all queries, as a search for a batch
    /// must, and returns their sum. On the CPU the sum includes the zero padding of the last
    /// block of eight codes. Queries beyond a multiple of four (on a GPU: sixteen) are left
    /// out. `None` if the code lengths differ, or as for [`Ranker::only_read`].
    #[doc(hidden)]
    pub fn only_count(&self, queries: &BinaryCodes) -> Option<u64> {
        if queries.bits() != self.bits {
            return None;
        }
        match &self.place {
            Place::Cpu { lanes, .. } => {
                let words = &queries.words()[..queries.len() / 4 * 4 * queries.row_words()];
                Some(cpu::ceiling::count(cpu::Path::best(), lanes, words))
            }
            Place::Gpu { gpu, rest: None, .. } => gpu.tally(queries).ok(),
            Place::Gpu { .. } => None,
        }
    }

    /// The number of queries that [`Ranker::only_count`] processes at a time, for a batch of
    /// `queries`.
    #[doc(hidden)]
    pub fn counted_at_once(&self, queries: usize) -> usize {
        match self.place {
            Place::Gpu { .. } if queries > 4 => 16,
            _ => 4,
        }
    }

    /// The names of the devices that search: a CPU instruction set, a graphics adapter, or
    /// both.
    pub fn runs_on(&self) -> String {
        match &self.place {
            Place::Gpu { gpu, rest: None, .. } => gpu.name().to_owned(),
            Place::Gpu { gpu, .. } => format!("{} and CPU ({})", gpu.name(), cpu::Path::best()),
            Place::Cpu { .. } => format!("CPU ({})", cpu::Path::best()),
        }
    }
}
