/*!
Exact ranking of binary codes by Hamming distance.

Every path promises the same: the `k` nearest codes in the order of (distance, id),
where a code's id is its position. This module knows nothing about images or files.
*/

mod cpu;
mod gpu;

use std::sync::Arc;

use crate::code::BinaryCodes;
use crate::device::Device;

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
    /// The graphics device failed.
    #[error("{adapter} failed while ranking: {reason}; use --device cpu")]
    Gpu {
        /// The adapter's name.
        adapter: String,
        /// What it said.
        reason: String,
    },
}

/// A database of codes, ready to be ranked on one device.
#[derive(Debug)]
pub struct Ranker {
    codes: Arc<BinaryCodes>,
    gpu: Option<gpu::GpuRanker>,
}

impl Ranker {
    /// Prepares `codes` for ranking; on a GPU they are uploaded and stay there.
    ///
    /// # Errors
    /// When there are 2³² codes or more, or the device fails.
    pub fn new(device: &Device, codes: Arc<BinaryCodes>) -> Result<Self, RankError> {
        Self::with_binding_limit(device, codes, u64::MAX)
    }

    /// As [`Ranker::new`], with no binding on a GPU larger than `limit` bytes: for
    /// tests of databases that are split over bindings.
    ///
    /// # Errors
    /// As [`Ranker::new`].
    pub fn with_binding_limit(
        device: &Device,
        codes: Arc<BinaryCodes>,
        limit: u64,
    ) -> Result<Self, RankError> {
        if u32::try_from(codes.len()).is_err() {
            return Err(RankError::TooMany(codes.len()));
        }
        let gpu = match device {
            Device::Gpu(gpu) => Some(gpu::GpuRanker::new(gpu.clone(), &codes, limit)?),
            Device::Cpu => None,
        };
        Ok(Self { codes, gpu })
    }

    /// The codes that are ranked.
    pub fn codes(&self) -> &BinaryCodes {
        &self.codes
    }

    /// The `k` nearest codes of each query, fewer if there are fewer, nearest first;
    /// equal distances in the order of ids. Exact.
    ///
    /// # Errors
    /// When the codes have different lengths or the device fails.
    pub fn top_k(&self, queries: &BinaryCodes, k: usize) -> Result<Vec<Vec<Hit>>, RankError> {
        if queries.bits() != self.codes.bits() {
            let (queries, database) = (queries.bits(), self.codes.bits());
            return Err(RankError::Bits { queries, database });
        }
        let k = k.min(self.codes.len());
        if k == 0 {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        match &self.gpu {
            Some(gpu) if gpu.fits(k) => gpu.top_k(queries, k),
            _ => Ok(cpu::top_k(&self.codes, queries, k)),
        }
    }
}

/// The source of every kernel by name, as it is given to the driver: for tests that
/// translate them to what other systems need.
pub fn kernels() -> impl Iterator<Item = (&'static str, String)> {
    gpu::KERNELS.into_iter().map(|(name, source)| (name, format!("{}\n{source}", gpu::COMMON)))
}
