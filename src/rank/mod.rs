/*!
Exact ranking of binary codes by Hamming distance.

Every path promises the same: the `k` nearest codes in the order of (distance, id),
where a code's id is its position. This module knows nothing about images or files.
*/

mod buckets;
mod cpu;
mod gpu;
mod ids;
mod lanes;

use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use crate::code::BinaryCodes;
use crate::device::Device;
use buckets::Buckets;
pub use gpu::GpuLimits;
pub use ids::IdSet;
use lanes::Lanes;

/// One found code. The order of hits is the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Hamming distance to the query, in bits.
    pub distance: u32,
    /// The code's position in the database.
    pub id: u32,
}

/// Why a ranking could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// Queries and database have codes of different lengths.
    #[error("queries have {queries} bits but the database has {database}; use the same model")]
    Bits {
        /// Bits of the queries.
        queries: usize,
        /// Bits of the database.
        database: usize,
    },
    /// Ids are 32-bit numbers.
    #[error("{0} codes are too many for one ranking; split them into parts of 4 thousand million")]
    TooMany(usize),
    /// The ids that a search may find are of another database.
    #[error(
        "{allowed} ids were allowed or not, but there are {codes} codes; make the set for this database"
    )]
    Allowed {
        /// Ids that the set chooses from.
        allowed: usize,
        /// Codes of the database.
        codes: usize,
    },
    /// The graphics device failed.
    #[error("{adapter} failed while ranking: {reason}")]
    Gpu {
        /// The adapter's name.
        adapter: String,
        /// What it said.
        reason: String,
    },
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Search<'a> {
    /// How many codes at most; `None` for all, which only makes sense within a radius.
    pub k: Option<usize>,
    /// The largest distance that counts, in bits; `None` for any.
    pub radius: Option<u32>,
    /// The codes that count, of as many as there are; `None` for all.
    pub allowed: Option<&'a IdSet>,
}

impl<'a> Search<'a> {
    /// The `k` nearest.
    pub fn nearest(k: usize) -> Self {
        Self { k: Some(k), ..Self::default() }
    }

    /// All up to the distance `radius`.
    pub fn within(radius: u32) -> Self {
        Self { radius: Some(radius), ..Self::default() }
    }

    /// The same among `allowed` only.
    pub fn among(self, allowed: &'a IdSet) -> Self {
        Self { allowed: Some(allowed), ..self }
    }
}

/// A database of codes, ready to be ranked on one device.
#[derive(Debug)]
pub struct Ranker {
    bits: usize,
    len: usize,
    place: Place,
    /// What is left, once something was removed.
    present: Option<IdSet>,
    /// Why the GPU is not used any more.
    failure: OnceLock<String>,
}

#[derive(Debug)]
enum Place {
    Cpu {
        lanes: Lanes,
        /// Tables for searches without reading everything, where they were asked for and pay.
        buckets: OnceLock<Option<Buckets>>,
    },
    Gpu {
        gpu: gpu::GpuRanker,
        /// All of them, for the CPU when the device fails.
        codes: Arc<BinaryCodes>,
        lanes: OnceLock<Lanes>,
        /// Those for which the device has no room: the CPU searches them meanwhile.
        rest: Option<Lanes>,
    },
}

impl Place {
    fn on_cpu(codes: &BinaryCodes) -> Self {
        Self::Cpu { lanes: Lanes::new(codes), buckets: OnceLock::new() }
    }
}

impl Ranker {
    /// Prepares `codes` for ranking; on a GPU they are uploaded and stay there. Where its
    /// memory is too small for all of them, the CPU searches the rest at the same time. When
    /// the device fails, now or later, the CPU takes over: see [`Ranker::failure`].
    ///
    /// # Errors
    /// When there are 2³² codes or more.
    pub fn new(device: &Device, codes: Arc<BinaryCodes>) -> Result<Self, RankError> {
        Self::with_limits(device, codes, GpuLimits::default())
    }

    /// As [`Ranker::new`], using no more of a GPU than `limits`: for programs that leave
    /// room for others.
    ///
    /// # Errors
    /// As [`Ranker::new`].
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
            Device::Gpu(gpu) => match gpu::GpuRanker::new(gpu.clone(), &codes, limits) {
                Ok(gpu) if gpu.len() == 0 && len > 0 => {
                    failure.get_or_init(|| format!("{} has no room for the codes", gpu.name()));
                    Place::on_cpu(&codes)
                }
                Ok(gpu) => {
                    let rest = (gpu.len() < len).then(|| Lanes::from(&codes, gpu.len()));
                    Place::Gpu { gpu, codes, lanes: OnceLock::new(), rest }
                }
                // A database that does not fit is still searched.
                Err(error) => {
                    failure.get_or_init(|| error.to_string());
                    Place::on_cpu(&codes)
                }
            },
            Device::Cpu => Place::on_cpu(&codes),
        };
        Ok(Self { bits, len, place, present: None, failure })
    }

    /// Why searches run on the CPU although a GPU was asked for: a lost device, too little
    /// memory, a search that took too long. `None` as long as it works.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Number of codes, removed ones included: ids are below it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no code.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Removes codes from all later searches. The ids of the others stay.
    pub fn remove(&mut self, ids: impl IntoIterator<Item = u32>) {
        let present = self.present.get_or_insert_with(|| IdSet::all(self.len));
        ids.into_iter().for_each(|id| present.set(id, false));
    }

    /// For programs that search the same codes many times on a CPU: builds tables with
    /// which near codes are found without reading all of them, tries them, and keeps them if
    /// they pay. They do for a million and more codes of up to 64 bits that cluster, as learned
    /// ones do. Takes about as long as a few hundred searches, and 12 bytes for each code
    /// and 16 bits. The answers stay the same. Gives whether tables were kept.
    pub fn expect_many(&self) -> bool {
        match &self.place {
            Place::Cpu { lanes, buckets } if Buckets::may_pay(self.bits, self.len) => {
                let kept = made_outside(buckets, || Buckets::new(lanes, self.bits));
                kept.is_some()
            }
            _ => false,
        }
    }

    /// The `k` nearest codes of each query, fewer if there are fewer, nearest first;
    /// equal distances in the order of ids. Exact.
    ///
    /// # Errors
    /// When the codes have different lengths.
    pub fn top_k(&self, queries: &BinaryCodes, k: usize) -> Result<Vec<Vec<Hit>>, RankError> {
        self.search(queries, &Search::nearest(k))
    }

    /// What `search` asks for, for each query: nearest first, equal distances in the
    /// order of ids. Exact.
    ///
    /// # Errors
    /// When the codes have different lengths, or the allowed ids are of another number of
    /// codes.
    pub fn search(
        &self,
        queries: &BinaryCodes,
        search: &Search<'_>,
    ) -> Result<Vec<Vec<Hit>>, RankError> {
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

/// What is in the cell, or what `make` gives, which is run without holding the cell: on
/// several threads, and one of them may take up work that wants the same cell.
fn made_outside<T>(cell: &OnceLock<T>, make: impl FnOnce() -> T) -> &T {
    match cell.get() {
        Some(value) => value,
        None => {
            let value = make();
            cell.get_or_init(|| value)
        }
    }
}

/// The GPU searches the codes that it has, the CPU the rest; `None` as of the GPU's search.
fn shared(
    gpu: &gpu::GpuRanker,
    rest: &Lanes,
    queries: &BinaryCodes,
    want: &Want<'_>,
) -> Result<Option<Vec<Vec<Hit>>>, RankError> {
    let first = gpu.len();
    let (on_gpu, on_cpu) = rayon::join(
        || gpu.search(queries, &Want { k: want.k.min(first), ..*want }),
        || {
            // What is on the GPU are whole blocks, so the bitmap is cut between bytes.
            let allowed = want.allowed.map(|bytes| bytes.get(first / 8..).unwrap_or_default());
            let want = Want { k: want.k.min(rest.len()), allowed, ..*want };
            cpu::search(cpu::Path::best(), rest, queries, &want)
        },
    );
    let Some(mut found) = on_gpu? else { return Ok(None) };
    for (hits, more) in found.iter_mut().zip(on_cpu) {
        hits.extend(more.into_iter().map(|hit| Hit { id: hit.id + first as u32, ..hit }));
        // Two runs in order: the stable sort joins them.
        hits.sort();
        hits.truncate(want.k);
    }
    Ok(Some(found))
}

/// Looks up what is quicker looked up, and reads all codes for the rest of the queries.
fn looked_up(
    buckets: &Buckets,
    lanes: &Lanes,
    queries: &BinaryCodes,
    want: &Want<'_>,
) -> Vec<Vec<Hit>> {
    let of_batch = queries.len() > 1;
    let look_up = |query: &u64| buckets.search(*query, want, of_batch);
    let mut found: Vec<Option<Vec<Hit>>> = queries.words().par_iter().map(look_up).collect();
    let left: Vec<usize> = (0..found.len()).filter(|i| found[*i].is_none()).collect();
    let read = cpu::search(cpu::Path::best(), lanes, &queries.select(&left), want);
    left.into_iter().zip(read).for_each(|(i, hits)| found[i] = Some(hits));
    found.into_iter().map(Option::unwrap_or_default).collect()
}

/// For measuring: what no search on the CPU can be faster than.
impl Ranker {
    /// Reads all codes once and adds up their words (on a GPU of 32 bits, modulo 2³²), as a
    /// search of one query has to. `None` when the device fails or holds only some of them.
    pub fn only_read(&self) -> Option<u64> {
        match &self.place {
            Place::Cpu { lanes, .. } => Some(cpu::limits::read(lanes)),
            Place::Gpu { gpu, rest: None, .. } => gpu.sum().ok().map(u64::from),
            Place::Gpu { .. } => None,
        }
    }

    /// Counts the differing bits of all codes (on the CPU of what fills up the last eight,
    /// too) and of the queries, as a search of them has
    /// to; queries beyond a multiple of four (on a GPU of sixteen) are left out. `None` for
    /// another length, or as [`Ranker::only_read`].
    pub fn only_count(&self, queries: &BinaryCodes) -> Option<u64> {
        if queries.bits() != self.bits {
            return None;
        }
        match &self.place {
            Place::Cpu { lanes, .. } => {
                let words = &queries.words()[..queries.len() / 4 * 4 * queries.row_words()];
                Some(cpu::limits::count(cpu::Path::best(), lanes, words))
            }
            Place::Gpu { gpu, rest: None, .. } => gpu.tally(queries).ok(),
            Place::Gpu { .. } => None,
        }
    }

    /// How many of so many queries [`Ranker::only_count`] counts at a time.
    pub fn counted_at_once(&self, queries: usize) -> usize {
        match self.place {
            Place::Gpu { .. } if queries > 4 => 16,
            _ => 4,
        }
    }

    /// What a search runs on: an instruction set, a graphics adapter, or both.
    pub fn runs_on(&self) -> String {
        match &self.place {
            Place::Gpu { gpu, rest: None, .. } => gpu.name().to_owned(),
            Place::Gpu { gpu, .. } => format!("{} and CPU ({})", gpu.name(), cpu::Path::best()),
            Place::Cpu { .. } => format!("CPU ({})", cpu::Path::best()),
        }
    }
}

/// What the devices look for: all limits known.
#[derive(Debug, Clone, Copy)]
struct Want<'a> {
    /// How many codes at most, 1 to as many as there are.
    k: usize,
    /// The largest distance that counts, at most the number of bits.
    radius: u32,
    /// Which codes count, a bit each, the first eight in the first byte; `None`: all.
    allowed: Option<&'a [u8]>,
}

impl Want<'_> {
    /// Whether a code counts.
    fn allows(&self, id: u32) -> bool {
        self.allowed.is_none_or(|bytes| {
            bytes.get(id as usize / 8).is_some_and(|byte| byte >> (id % 8) & 1 == 1)
        })
    }
}

/// The source of every kernel by name, as it is given to the driver: for tests that
/// translate them to what other systems need.
pub fn kernels() -> impl Iterator<Item = (&'static str, String)> {
    gpu::KERNELS.into_iter().map(|(name, source)| (name, format!("{}\n{source}", gpu::COMMON)))
}
