/*!
A database of codes on a graphics adapter, and its searches.
*/

use std::sync::{Arc, Mutex, PoisonError};

use super::super::RankError;
use super::super::query::{Neighbour, Want};
use super::kernels::{COLLECT, COUNT, CUT, FINISH, GUESS, HISTOGRAM, SCAN, SIFT, Source};
use super::work::{Commands, Kernel, Pass, Shape, Tables, failed, guarded, storage, uniform};
use crate::code::BinaryCodes;
use crate::device::Gpu;

/// Codes per workgroup of the sure path: THREADS × PER_THREAD in `common.wgsl`.
const BLOCK: usize = 256 * 16;
/// Codes per invocation of `sift` and `tally`.
pub(super) const EACH: usize = 32;
/// Queries per invocation of `sift` and `tally`.
pub(super) const SIXTEEN: usize = 16;
/// Size of the uniform buffer with the queries of `sift`, in bytes.
pub(super) const UNIFORM: usize = 64 << 10;
/// Size limit of each table of a batch of queries, in bytes.
const TABLE: u64 = 64 << 20;
/// Maximum number of queries per batch.
const BATCH: usize = 1024;
/// Approximate number of codes in the sample.
const SAMPLE: usize = 1 << 14;
/// Maximum number of sampled codes within the bound: half of the invocations of `guess`, each
/// of which counts only one code.
const MOST_WITHIN: usize = 128;
/// Maximum number of candidates per query; searches that need more use the sure path.
const ROOM: usize = 1 << 16;

/// Limits on the use of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuLimits {
    /// Maximum bytes per binding.
    pub binding: u64,
    /// Maximum bytes of codes on the device.
    pub memory: u64,
}

impl GpuLimits {
    /// Sets the maximum number of bytes per binding.
    pub fn with_binding(self, binding: u64) -> Self {
        Self { binding, ..self }
    }

    /// Sets the maximum number of bytes of codes on the device.
    pub fn with_memory(self, memory: u64) -> Self {
        Self { memory, ..self }
    }
}

impl Default for GpuLimits {
    /// No limits besides those of the device.
    fn default() -> Self {
        Self { binding: u64::MAX, memory: u64::MAX }
    }
}

/// A part of the database that fits into one binding.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) codes: wgpu::Buffer,
    pub(super) len: usize,
    pub(super) first_id: usize,
}

#[derive(Debug)]
pub(in crate::rank) struct GpuRanker {
    pub(super) gpu: Arc<Gpu>,
    pub(super) segments: Vec<Segment>,
    sample: Sample,
    /// Locked while a batch runs, so that batches of several threads take turns.
    pub(super) tables: Mutex<Tables>,
    pub(super) words: usize,
    pub(super) len: usize,
    pub(super) limit: u64,
}

/// Evenly spaced codes of all segments.
#[derive(Debug)]
struct Sample {
    codes: wgpu::Buffer,
    len: usize,
    /// Difference between the ids of consecutive sampled codes.
    apart: usize,
}

/// One batch of queries.
struct Batch<'a> {
    queries: &'a [u32],
    allowed: Option<&'a wgpu::Buffer>,
    count: usize,
    k: usize,
    levels: usize,
}

/// The parameters of the quick path's distance bound.
struct Guess {
    /// Stride through the sample.
    stride: usize,
    /// The bound is the distance of the `rank`-th nearest visited code.
    rank: usize,
    /// Candidate buffer size per query.
    room: usize,
}

impl Guess {
    /// Chooses the parameters for the `k` nearest, from a sample of every `apart`-th code.
    /// `None` if there would be too many candidates.
    fn new(k: usize, apart: usize) -> Option<Self> {
        let mut stride = 1;
        loop {
            let rank = match stride * apart {
                1 => k,
                every => rarely_reached(k as f64 / every as f64),
            };
            let room = (4 * rank * stride * apart).max(1024).next_power_of_two();
            if room > ROOM {
                return None;
            }
            if rank <= MOST_WITHIN {
                return Some(Self { stride, rank, room });
            }
            stride *= 2;
        }
    }
}

/// Returns the smallest number that a Poisson variable of this mean reaches with probability
/// below 1e-5: an upper bound on how many of the k nearest are in the sample.
fn rarely_reached(mean: f64) -> usize {
    // For large means a normal approximation, more than four standard deviations out; below,
    // e^-mean does not underflow.
    if mean > 100.0 {
        return (mean + 4.5 * mean.sqrt() + 2.0).ceil() as usize;
    }
    let (mut number, mut here, mut reached) = (0, (-mean).exp(), 1.0);
    while reached >= 1e-5 {
        reached -= here;
        number += 1;
        here *= mean / number as f64;
    }
    number
}

impl GpuRanker {
    /// Uploads the codes, or as many of the first ones as fit: see [`GpuRanker::len`].
    pub fn new(gpu: Arc<Gpu>, codes: &BinaryCodes, most: GpuLimits) -> Result<Self, RankError> {
        let limits = gpu.device.limits();
        let limit =
            most.binding.min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size);
        let words = codes.bits().div_ceil(32);
        // Whole blocks, so that only the last segment has a partial block.
        let whole = |bytes: u64| bytes as usize / (words * 4) / BLOCK * BLOCK;
        let per_segment = whole(limit).max(BLOCK);
        let fitting = match codes.len() * words * 4 {
            bytes if bytes as u64 <= most.memory => codes.len(),
            _ => whole(most.memory),
        };
        let mut segments = Vec::new();
        for first_id in (0..fitting).step_by(per_segment) {
            let len = per_segment.min(fitting - first_id);
            let contents = narrow(codes, first_id, len, words);
            match guarded(&gpu, || storage(&gpu, "codes", &contents)) {
                Ok(codes) => segments.push(Segment { codes, len, first_id }),
                // GPU memory is full. Free one segment for the tables of a search.
                Err(_) if segments.len() > 1 => {
                    segments.pop();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let len = segments.iter().map(|segment| segment.len).sum();
        let apart = usize::max(len / SAMPLE, 1);
        let sampled: Vec<usize> = (0..len).step_by(apart).collect();
        let contents = narrow(&codes.select(&sampled), 0, sampled.len(), words);
        let sample = guarded(&gpu, || storage(&gpu, "sample", &contents))?;
        let sample = Sample { codes: sample, len: sampled.len(), apart };
        Ok(Self { gpu, segments, sample, tables: Mutex::default(), words, len, limit })
    }

    /// Number of codes on the device: the first `len` of the database.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The adapter's name.
    pub fn name(&self) -> &str {
        &self.gpu.info.name
    }

    fn kernel(&self, source: Source) -> Kernel {
        Kernel::get(&self.gpu, source, self.words, Shape::default())
    }

    fn blocks(&self) -> usize {
        self.len.div_ceil(BLOCK)
    }

    /// Returns the hits of each query. `None` if the tables of a single query or the filter
    /// do not fit into a binding.
    pub fn search(
        &self,
        queries: &BinaryCodes,
        want: &Want<'_>,
    ) -> Result<Option<Vec<Vec<Neighbour>>>, RankError> {
        let levels = want.radius as usize + 1;
        let filter = want.allowed.map_or(0, |allowed| allowed.len() as u64);
        let mut guess = Guess::new(want.k, self.sample.apart)
            .filter(|guess| (SIXTEEN * guess.room * 8) as u64 <= self.limit);
        let mut per_query = self.per_query(want.k, levels, guess.as_ref());
        if per_query.max(filter) > self.limit {
            return Ok(None);
        }
        let allowed = want.allowed.map(|allowed| self.upload_filter(allowed)).transpose()?;
        if guess.is_some() && queries.len() >= SIXTEEN {
            self.measure_width()?;
        }
        let mut hits = Vec::with_capacity(queries.len());
        while hits.len() < queries.len() {
            let mut batch = (TABLE.min(self.limit) / per_query).clamp(1, BATCH as u64) as usize;
            if guess.is_some() {
                batch = batch.min(UNIFORM / (self.words * 4)).max(SIXTEEN) / SIXTEEN * SIXTEEN;
            }
            let count = batch.min(queries.len() - hits.len());
            let contents = narrow(queries, hits.len(), count, self.words);
            let (k, allowed) = (want.k, allowed.as_ref());
            let batch = Batch { queries: &contents, allowed, count, k, levels };
            let found = match &guess {
                Some(guess) => self.quick(&batch, guess)?,
                None => Some(self.sure(&batch)?),
            };
            match found {
                Some(found) => hits.extend(found),
                // A guess that failed once is likely to fail again.
                None => guess = None,
            }
            per_query = self.per_query(want.k, levels, guess.as_ref());
        }
        Ok(Some(hits))
    }

    /// Size of the largest table of a query, in bytes.
    fn per_query(&self, k: usize, levels: usize, guess: Option<&Guess>) -> u64 {
        let room = guess.map_or(0, |guess| guess.room);
        (k.max(self.blocks()).max(room) * 8).max(levels * 4) as u64
    }

    fn upload_filter(&self, allowed: &[u8]) -> Result<wgpu::Buffer, RankError> {
        // The bytes of the bitmap are in the order of a little-endian word.
        let words = allowed.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let words: Vec<u32> = words.collect();
        guarded(&self.gpu, || storage(&self.gpu, "allowed", &words))
    }

    fn pass(&self, batch: &Batch<'_>) -> Pass {
        Pass {
            blocks: self.blocks() as u32,
            levels: batch.levels as u32,
            k: batch.k as u32,
            queries: batch.count as u32,
            filtered: u32::from(batch.allowed.is_some()),
            ..Pass::default()
        }
    }

    fn of_segment(segment: &Segment, pass: &Pass) -> Pass {
        Pass {
            codes: segment.len as u32,
            first_id: segment.first_id as u32,
            first_block: (segment.first_id / BLOCK) as u32,
            segment_blocks: segment.len.div_ceil(BLOCK) as u32,
            ..*pass
        }
    }

    /// Returns the hits of a batch by the quick path. `None` if the guess failed for one of
    /// its queries.
    fn quick(
        &self,
        batch: &Batch<'_>,
        guess: &Guess,
    ) -> Result<Option<Vec<Vec<Neighbour>>>, RankError> {
        let &Batch { count, k, levels, .. } = batch;
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let read = guarded(&self.gpu, || {
            let gpu = &*self.gpu;
            let queries = storage(gpu, "queries", batch.queries);
            let sixteens = uniform(gpu, &sixteens(batch.queries, self.words));
            let mut table = |name, bytes: usize| tables.get(gpu, name, bytes as u64);
            let bounds = table("bounds", count * 16);
            let found = table("found", count * 4);
            let candidates = table("candidates", count * guess.room * 8);
            let hits = table("hits", count * k * 8);
            let cuts = table("cuts", count * 16);
            let [guesser, finish] = [GUESS, FINISH].map(|of| self.kernel(of));
            let shape = self.shape(count);
            let sift = Kernel::get(gpu, SIFT, self.words, shape);
            let pass = Pass { room: guess.room as u32, ..self.pass(batch) };
            let allowed = batch.allowed.unwrap_or(&queries);
            let mut commands = Commands::new(gpu);
            commands.clear(&found);
            let Sample { codes, len, apart } = &self.sample;
            let sampled = Pass {
                codes: *len as u32,
                apart: *apart as u32,
                stride: guess.stride as u32,
                k: guess.rank as u32,
                ..pass
            };
            let bound = [(1, codes), (2, &queries), (3, &bounds), (7, allowed)];
            commands.run(&guesser, &sampled, &bound, [count, 1]);
            for segment in &self.segments {
                let pass = Self::of_segment(segment, &pass);
                let bound = [
                    (1, &segment.codes),
                    (8, &sixteens),
                    (3, &bounds),
                    (4, &found),
                    (5, &candidates),
                    (7, allowed),
                ];
                let groups = [segment.len.div_ceil(shape.width * EACH), count.div_ceil(SIXTEEN)];
                commands.run(&sift, &pass, &bound, groups);
            }
            let bound = [(3, &found), (4, &candidates), (5, &hits), (6, &cuts)];
            commands.run(&finish, &pass, &bound, [count, 1]);
            commands.read(&bounds, count as u64 * 16);
            commands.read(&found, count as u64 * 4);
            commands.read(&cuts, count as u64 * 16);
            commands.read(&hits, (count * k * 8) as u64);
            commands.finish()
        })?;
        let read = read.map_err(|reason| failed(&self.gpu, reason))?;
        let [bounds, found, cuts, hits] = read.as_slice() else { return Ok(None) };
        let whole = bounds.chunks_exact(4).zip(found).all(|(bound, found)| {
            let all = bound[0] as usize + 1 == levels;
            *found as usize <= guess.room && (all || *found as usize >= k)
        });
        if !whole {
            return Ok(None);
        }
        let lists = cuts.chunks_exact(4).zip(hits.chunks_exact(k * 2)).map(|(cut, hits)| {
            let mut list: Vec<Neighbour> = pairs(hits, cut[2] as usize);
            list.sort_unstable();
            list
        });
        Ok(Some(lists.collect()))
    }

    /// Returns the hits of a batch by the sure path, which works for any codes.
    fn sure(&self, batch: &Batch<'_>) -> Result<Vec<Vec<Neighbour>>, RankError> {
        let &Batch { count, k, levels, .. } = batch;
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let read = guarded(&self.gpu, || {
            let gpu = &*self.gpu;
            let queries = storage(gpu, "queries", batch.queries);
            let mut table = |name, bytes: usize| tables.get(gpu, name, bytes as u64);
            let histograms = table("histograms", count * levels * 4);
            let cuts = table("cuts", count * 16);
            let counts = table("counts", count * self.blocks() * 8);
            let offsets = table("offsets", count * self.blocks() * 8);
            let hits = table("hits", count * k * 8);
            let [histogram, cut, counter, scan, collect] =
                [HISTOGRAM, CUT, COUNT, SCAN, COLLECT].map(|of| self.kernel(of));
            let pass = self.pass(batch);
            let allowed = batch.allowed.unwrap_or(&queries);
            let mut commands = Commands::new(gpu);
            commands.clear(&histograms);
            let of_segments =
                |commands: &mut Commands<'_>, kernel: &Kernel, tables: &[(u32, &wgpu::Buffer)]| {
                    for segment in &self.segments {
                        let mut bound = vec![(1, &segment.codes), (2, &queries), (7, allowed)];
                        bound.extend(tables.iter().copied());
                        let groups = [segment.len.div_ceil(BLOCK), count];
                        commands.run(kernel, &Self::of_segment(segment, &pass), &bound, groups);
                    }
                };
            of_segments(&mut commands, &histogram, &[(3, &histograms)]);
            let bound = [(3, &histograms), (4, &cuts)];
            commands.run(&cut, &pass, &bound, [count.div_ceil(64), 1]);
            of_segments(&mut commands, &counter, &[(3, &cuts), (4, &counts)]);
            commands.run(&scan, &pass, &[(3, &counts), (4, &offsets)], [count, 1]);
            let bound = [(3, &cuts), (4, &counts), (5, &offsets), (6, &hits)];
            of_segments(&mut commands, &collect, &bound);
            commands.read(&cuts, count as u64 * 16);
            commands.read(&hits, (count * k * 8) as u64);
            commands.finish()
        })?;
        let read = read.map_err(|reason| failed(&self.gpu, reason))?;
        let [cuts, hits] = read.as_slice() else { return Ok(Vec::new()) };
        let lists = cuts.chunks_exact(4).zip(hits.chunks_exact(k * 2)).map(|(cut, hits)| {
            let mut list = pairs(hits, cut[2] as usize);
            // Hits at the cut are already ordered by id.
            if let Some(unordered) = list.get_mut(..cut[1] as usize) {
                unordered.sort_unstable();
            }
            list
        });
        Ok(lists.collect())
    }
}

/// Reads the first `count` (distance, id) pairs.
fn pairs(words: &[u32], count: usize) -> Vec<Neighbour> {
    let pairs = words.chunks_exact(2).take(count);
    pairs.map(|pair| Neighbour { distance: pair[0], id: pair[1] }).collect()
}

/// Rearranges queries for `sift`: groups of sixteen, with the same word of all sixteen
/// adjacent.
pub(super) fn sixteens(queries: &[u32], words: usize) -> Vec<u8> {
    let mut sixteens = vec![0u32; UNIFORM / 4];
    for (query, row) in queries.chunks_exact(words).enumerate() {
        for (word, value) in row.iter().enumerate() {
            let at = (query / SIXTEEN * words + word) * SIXTEEN + query % SIXTEEN;
            if let Some(slot) = sixteens.get_mut(at) {
                *slot = *value;
            }
        }
    }
    bytemuck::cast_slice(&sixteens).to_vec()
}

/// Converts rows to 32-bit words. Drops the upper half of the last word if the code does not
/// use it (up to 32 bits, 65 to 96 bits, …).
pub(super) fn narrow(codes: &BinaryCodes, first: usize, count: usize, words: usize) -> Vec<u32> {
    let mut narrow = Vec::with_capacity(count * words);
    for row in first..first + count {
        let halves = codes.row(row).iter().flat_map(|w| [*w as u32, (*w >> 32) as u32]);
        narrow.extend(halves.take(words));
    }
    narrow
}
