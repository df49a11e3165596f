/*!
A database of word codes on one device.
*/

use std::sync::{Arc, OnceLock};

use super::super::gpu::GpuLimits;
use super::super::{IdSet, RankError};
use super::cpu::{self, Blocks};
use super::gpu::GpuWords;
use super::query::{ScoredNeighbour, WordTable, check};
use crate::code::BinaryCodes;
use crate::device::Device;

/// A database of word codes, prepared for ranking on one device.
///
/// A code consists of word indices of 4 bits: index `m` is bits `4m` to `4m + 3`. Its score for a
/// table is the sum of the entries of its words minus its length.
///
/// ```
/// use std::sync::Arc;
/// use barbule::rank::{WordRanker, WordTable};
/// use barbule::{BinaryCodes, Device};
///
/// // Codes of two words: 1 and 2, 3 and 0, 1 and 15.
/// let codes = BinaryCodes::from_words(8, vec![0x21, 0x03, 0xf1])?;
/// let ranker = WordRanker::new(&Device::Cpu, Arc::new(codes), Arc::new([0, 0, 4]))?;
///
/// // The entry of each word is its number, in both codebooks.
/// let table = WordTable::new((0..16).chain(0..16).collect())?;
/// let best = ranker.search(&table, 2, None)?;
/// assert_eq!((best[0].id, best[0].score), (2, 12));
/// // Equal scores are ordered by id.
/// assert_eq!((best[1].id, best[1].score), (0, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WordRanker {
    words: usize,
    len: usize,
    place: Place,
    /// The reason that the GPU is no longer used.
    failure: OnceLock<String>,
}

#[derive(Debug)]
enum Place {
    Cpu(Blocks),
    Gpu {
        gpu: Box<GpuWords>,
        /// All codes and lengths, for the CPU fallback when the device fails.
        codes: Arc<BinaryCodes>,
        lengths: Arc<[i32]>,
        blocks: OnceLock<Blocks>,
        /// The codes that do not fit on the device; the CPU searches them in parallel.
        rest: Option<Blocks>,
    },
}

impl WordRanker {
    /// Prepares `codes` and their `lengths` for ranking. On a GPU they are uploaded and stay
    /// there. If GPU memory is too small for all of them, the CPU searches the rest at the same
    /// time. If the device fails, now or later, the CPU takes over: see [`WordRanker::failure`].
    ///
    /// # Errors
    /// If the bits of the codes are not a multiple of 4, there are not as many lengths as codes,
    /// a length is outside ±[`WordTable::most`], or there are 2³² codes or more.
    pub fn new(
        device: &Device,
        codes: Arc<BinaryCodes>,
        lengths: Arc<[i32]>,
    ) -> Result<Self, RankError> {
        Self::with_limits(device, codes, lengths, GpuLimits::default())
    }

    /// Like [`WordRanker::new`], but uses no more of a GPU than `limits`: for programs that
    /// share the GPU with others.
    ///
    /// # Errors
    /// See [`WordRanker::new`].
    pub fn with_limits(
        device: &Device,
        codes: Arc<BinaryCodes>,
        lengths: Arc<[i32]>,
        limits: GpuLimits,
    ) -> Result<Self, RankError> {
        let (len, words) = (codes.len(), codes.bits() / 4);
        if u32::try_from(len).is_err() {
            return Err(RankError::TooMany(len));
        }
        if !codes.bits().is_multiple_of(4) {
            return Err(RankError::Words(codes.bits()));
        }
        if lengths.len() != len {
            return Err(RankError::Lengths { lengths: lengths.len(), codes: len });
        }
        check(words, &lengths)?;
        let failure = OnceLock::new();
        let on_cpu = || Place::Cpu(Blocks::from(&codes, lengths.clone(), 0));
        let place = match device {
            Device::Gpu(gpu) => match GpuWords::new(gpu.clone(), &codes, &lengths, limits) {
                Ok(gpu) if gpu.len() == 0 && len > 0 => {
                    failure.get_or_init(|| {
                        format!("{} has too little memory for the codes", gpu.name())
                    });
                    on_cpu()
                }
                Ok(gpu) => {
                    let beyond = || Blocks::from(&codes, lengths.clone(), gpu.len());
                    let rest = (gpu.len() < len).then(beyond);
                    Place::Gpu { gpu: Box::new(gpu), codes, lengths, blocks: OnceLock::new(), rest }
                }
                // A database that cannot be uploaded is searched on the CPU.
                Err(error) => {
                    failure.get_or_init(|| error.to_string());
                    on_cpu()
                }
            },
            Device::Cpu => on_cpu(),
        };
        Ok(Self { words, len, place, failure })
    }

    /// The reason that searches run on the CPU although a GPU was requested: a lost device,
    /// too little memory, a search that took too long. `None` while the GPU works.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Number of codes. All ids are below it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the database is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Word indices per code.
    pub fn words(&self) -> usize {
        self.words
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

    /// Returns the `k` best codes for one table, like [`WordRanker::search_many`].
    ///
    /// # Errors
    /// See [`WordRanker::search_many`].
    pub fn search(
        &self,
        table: &WordTable,
        k: usize,
        allowed: Option<&IdSet>,
    ) -> Result<Vec<ScoredNeighbour>, RankError> {
        let found = self.search_many(std::slice::from_ref(table), k, allowed)?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Returns the `k` best codes for each table (all codes if there are fewer), of all codes or of
    /// the `allowed` ones. The greatest score comes first; equal scores are ordered by id. Exact.
    ///
    /// # Errors
    /// If a table and the codes have different numbers of words, or the universe of the allowed
    /// ids is not the number of codes.
    pub fn search_many(
        &self,
        tables: &[WordTable],
        k: usize,
        allowed: Option<&IdSet>,
    ) -> Result<Vec<Vec<ScoredNeighbour>>, RankError> {
        if let Some(table) = tables.iter().find(|table| table.words() != self.words) {
            return Err(RankError::Mixed { table: table.words(), database: self.words });
        }
        if let Some(allowed) = allowed.filter(|allowed| allowed.universe() != self.len) {
            return Err(RankError::Allowed { allowed: allowed.universe(), codes: self.len });
        }
        let k = k.min(self.len);
        if k == 0 {
            return Ok(vec![Vec::new(); tables.len()]);
        }
        let on_cpu = |blocks: &Blocks| {
            let (path, first) = (cpu::Path::best(), self.len - blocks.len());
            // A GPU holds whole blocks, so the bitmap can be cut at a byte.
            let bytes = allowed.map(|set| set.as_bytes().get(first / 8..).unwrap_or_default());
            cpu::search(path, blocks, tables, k, bytes)
        };
        match &self.place {
            Place::Cpu(blocks) => Ok(on_cpu(blocks)),
            Place::Gpu { gpu, codes, lengths, blocks, rest } => {
                if self.failure.get().is_none() {
                    let search = || gpu.search(tables, k, allowed);
                    let (found, more) = rayon::join(search, || rest.as_ref().map(on_cpu));
                    match found {
                        Ok(Some(hits)) => return Ok(joined(hits, more, k, gpu.len())),
                        Ok(None) => (),
                        Err(error) => {
                            self.failure.get_or_init(|| error.to_string());
                        }
                    }
                }
                // Made without holding the cell: while this thread waits for others, it may start
                // another search of the same ranker, which would wait for the cell forever.
                if blocks.get().is_none() {
                    let made = Blocks::from(codes, lengths.clone(), 0);
                    blocks.get_or_init(|| made);
                }
                Ok(blocks.get().map_or_else(Vec::new, on_cpu))
            }
        }
    }
}

/// Joins the hits of the GPU with those of the CPU, whose ids begin at `first`.
fn joined(
    mut hits: Vec<Vec<ScoredNeighbour>>,
    more: Option<Vec<Vec<ScoredNeighbour>>>,
    k: usize,
    first: usize,
) -> Vec<Vec<ScoredNeighbour>> {
    for (hits, more) in hits.iter_mut().zip(more.into_iter().flatten()) {
        hits.extend(
            more.into_iter().map(|hit| ScoredNeighbour { id: hit.id + first as u32, ..hit }),
        );
        // Two sorted runs: the stable sort merges them.
        hits.sort();
        hits.truncate(k);
    }
    hits
}
