/*!
Ranking of word codes on a graphics adapter. The codes stay on the device, and only the hits are
read back.

`word_score` computes the key of each code: by how much its score falls short of the greatest
possible one. A radix select finds the k-th smallest (key, id) pair, digit by digit (`word_digits`
counts, `word_cut` chooses), and `word_collect` writes all pairs up to it. Each part of the codes
that fits into a binding is searched by itself.
*/

use std::sync::{Arc, Mutex, PoisonError};

use super::super::gpu::GpuLimits;
use super::super::gpu::kernels::{Source, WORD_COLLECT, WORD_CUT, WORD_DIGITS, WORD_SCORE};
use super::super::gpu::work::{Commands, Kernel, Pass, Shape, Tables, failed, guarded, storage};
use super::super::{IdSet, RankError};
use super::query::{ScoredNeighbour, WORDS, WordTable};
use crate::code::BinaryCodes;
use crate::device::Gpu;

/// Codes per workgroup: THREADS × PER_THREAD in `common.wgsl`.
const BLOCK: usize = 256 * 16;
/// Entries for the eight word indices of 32 bits.
const EIGHT: usize = 8 * WORDS;
/// Maximum bits per digit of the radix select, and counters per query.
const DIGIT: u32 = 11;
const DIGITS: usize = 1 << DIGIT;
/// Size limit of each buffer of a batch of queries, in bytes.
const TABLE: u64 = 64 << 20;
/// Maximum number of queries per batch.
const BATCH: usize = 256;

/// A part of the database that fits into one binding.
#[derive(Debug)]
struct Segment {
    /// Word by word: `[words, len]`.
    codes: wgpu::Buffer,
    /// The lengths of the codes above the least one.
    lengths: wgpu::Buffer,
    len: usize,
    first_id: usize,
}

/// Word codes on a graphics adapter.
#[derive(Debug)]
pub struct GpuWords {
    gpu: Arc<Gpu>,
    segments: Vec<Segment>,
    /// Locked while a batch runs, so that batches of several threads take turns.
    tables: Mutex<Tables>,
    /// 32-bit words per code.
    words: usize,
    len: usize,
    limit: u64,
    /// The least length, and the greatest above it.
    least: i32,
    range: u32,
}

/// One batch of queries on one segment.
struct Batch<'a> {
    /// `[count, words, 8, 16]`.
    deficits: &'a [u32],
    /// The greatest possible key.
    range: u32,
    allowed: Option<&'a wgpu::Buffer>,
    count: usize,
    k: usize,
}

impl GpuWords {
    /// Uploads the codes, or as many of the first ones as fit: see [`GpuWords::len`]. There must
    /// be a length for every code.
    pub fn new(
        gpu: Arc<Gpu>,
        codes: &BinaryCodes,
        lengths: &[i32],
        most: GpuLimits,
    ) -> Result<Self, RankError> {
        let limits = gpu.device.limits();
        let limit =
            most.binding.min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size);
        let words = codes.bits().div_ceil(32);
        let least = lengths.iter().copied().min().unwrap_or(0);
        let range = lengths.iter().map(|length| length.abs_diff(least)).max().unwrap_or(0);
        // Whole blocks, so that only the last segment has a partial block.
        let whole = |bytes: u64, each: usize| bytes as usize / each / BLOCK * BLOCK;
        let per_segment = whole(limit, words * 4).max(BLOCK);
        let each = words * 4 + 4;
        let fitting = match codes.len() * each {
            bytes if bytes as u64 <= most.memory => codes.len(),
            _ => whole(most.memory, each),
        };
        let mut segments = Vec::new();
        for first_id in (0..fitting).step_by(per_segment) {
            let len = per_segment.min(fitting - first_id);
            let contents = word_by_word(codes, first_id, len, words);
            let own = &lengths[first_id..first_id + len];
            let lengths: Vec<u32> = own.iter().map(|length| length.abs_diff(least)).collect();
            let upload = || (storage(&gpu, "codes", &contents), storage(&gpu, "lengths", &lengths));
            match guarded(&gpu, upload) {
                Ok((codes, lengths)) => segments.push(Segment { codes, lengths, len, first_id }),
                // GPU memory is full. Free one segment for the tables of a search.
                Err(_) if segments.len() > 1 => {
                    segments.pop();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let len = segments.iter().map(|segment| segment.len).sum();
        Ok(Self { gpu, segments, tables: Mutex::default(), words, len, limit, least, range })
    }

    /// Number of codes on the device: the first `len` of the database.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The adapter's name.
    pub fn name(&self) -> &str {
        &self.gpu.info.name
    }

    /// Returns the `k` best codes for each table, best first; `k` is at least 1. `None` if the
    /// keys or hits of a single query or the filter do not fit into a binding.
    pub fn search(
        &self,
        tables: &[WordTable],
        k: usize,
        allowed: Option<&IdSet>,
    ) -> Result<Option<Vec<Vec<ScoredNeighbour>>>, RankError> {
        let filter = allowed.map_or(0, |allowed| allowed.as_bytes().len());
        let most = self.segments.iter().map(|segment| segment.len).max().unwrap_or(0);
        let tables_of_one = [most * 4, k.min(most) * 8, self.words * EIGHT * 4, DIGITS * 4];
        let per_query = tables_of_one.into_iter().fold(0, usize::max) as u64;
        if per_query.max(filter as u64) > self.limit {
            return Ok(None);
        }
        let filter = allowed.map(|allowed| self.upload_filter(allowed)).transpose()?;
        let batch = (TABLE.min(self.limit) / per_query).clamp(1, BATCH as u64) as usize;
        let mut hits = Vec::with_capacity(tables.len());
        for tables in tables.chunks(batch) {
            let mut deficits = Vec::with_capacity(tables.len() * self.words * EIGHT);
            for (query, table) in tables.iter().enumerate() {
                deficits.extend(table.deficits());
                deficits.resize((query + 1) * self.words * EIGHT, 0);
            }
            let range = self.range + tables.iter().map(WordTable::range).max().unwrap_or(0);
            let mut found = vec![Vec::new(); tables.len()];
            for segment in &self.segments {
                let present = match allowed {
                    Some(allowed) => among(allowed, segment),
                    None => segment.len,
                };
                let batch = Batch {
                    deficits: &deficits,
                    range,
                    allowed: filter.as_ref(),
                    count: tables.len(),
                    k: k.min(present),
                };
                if batch.k > 0 {
                    let pairs = self.search_segment(segment, &batch)?;
                    for (list, pairs) in found.iter_mut().zip(pairs.chunks_exact(batch.k * 2)) {
                        list.extend(pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                    }
                }
            }
            for (mut list, table) in found.into_iter().zip(tables) {
                list.sort_unstable();
                list.truncate(k);
                let greatest = i64::from(table.greatest()) - i64::from(self.least);
                let hit =
                    |(key, id)| ScoredNeighbour { score: (greatest - i64::from(key)) as i32, id };
                hits.push(list.into_iter().map(hit).collect());
            }
        }
        Ok(Some(hits))
    }

    fn upload_filter(&self, allowed: &IdSet) -> Result<wgpu::Buffer, RankError> {
        // The bytes of the bitmap are in the order of a little-endian word.
        let bytes = allowed.as_bytes().as_chunks().0;
        let words: Vec<u32> = bytes.iter().map(|word| u32::from_le_bytes(*word)).collect();
        guarded(&self.gpu, || storage(&self.gpu, "allowed", &words))
    }

    /// Returns the `k` smallest (key, id) pairs of each query, in no order.
    fn search_segment(&self, segment: &Segment, batch: &Batch<'_>) -> Result<Vec<u32>, RankError> {
        let &Batch { count, k, .. } = batch;
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let read = guarded(&self.gpu, || {
            let gpu = &*self.gpu;
            let deficits = storage(gpu, "deficits", batch.deficits);
            let states: Vec<u32> = (0..count).flat_map(|_| [0, 0, k as u32, 0]).collect();
            let states = storage(gpu, "states", &states);
            let mut table = |name, bytes: usize| tables.get(gpu, name, bytes as u64);
            let keys = table("keys", count * segment.len * 4);
            let digits = table("digits", count * DIGITS * 4);
            let found = table("found", count * 4);
            let hits = table("hits", count * k * 8);
            let [score, counter, cut, collect] =
                [WORD_SCORE, WORD_DIGITS, WORD_CUT, WORD_COLLECT].map(|of| self.kernel(of));
            let pass = Pass {
                codes: segment.len as u32,
                first_id: segment.first_id as u32,
                segment_blocks: segment.len.div_ceil(BLOCK) as u32,
                k: k as u32,
                queries: count as u32,
                filtered: u32::from(batch.allowed.is_some()),
                ..Pass::default()
            };
            let groups = [segment.len.div_ceil(BLOCK), count];
            let allowed = batch.allowed.unwrap_or(&deficits);
            let mut commands = Commands::new(gpu);
            commands.clear(&digits);
            commands.clear(&found);
            let bound = [
                (1, &segment.codes),
                (2, &deficits),
                (3, &segment.lengths),
                (4, &keys),
                (7, allowed),
            ];
            commands.run(&score, &pass, &bound, groups);
            for (part, greatest) in [batch.range, segment.len as u32 - 1].into_iter().enumerate() {
                for (shift, width) in digits_of(greatest) {
                    let known = u32::MAX.checked_shl(shift + width).unwrap_or(0);
                    let pass = Pass { levels: 1 << width, part: part as u32, shift, known, ..pass };
                    let bound = [(3, &keys), (4, &states), (5, &digits)];
                    commands.run(&counter, &pass, &bound, groups);
                    commands.run(&cut, &pass, &[(3, &digits), (4, &states)], [count, 1]);
                }
            }
            let bound = [(3, &keys), (4, &states), (5, &found), (6, &hits)];
            commands.run(&collect, &pass, &bound, groups);
            commands.read(&hits, (count * k * 8) as u64);
            commands.finish()
        })?;
        let read = read.map_err(|reason| failed(&self.gpu, reason))?;
        Ok(read.into_iter().next().unwrap_or_default())
    }

    fn kernel(&self, source: Source) -> Kernel {
        Kernel::get(&self.gpu, source, self.words, Shape::default())
    }
}

/// The digits of the numbers up to `greatest`, from the highest: lowest bit and width of each.
fn digits_of(greatest: u32) -> impl Iterator<Item = (u32, u32)> {
    let bits = (u32::BITS - greatest.leading_zeros()).max(1);
    std::iter::successors(Some(bits), |above| Some(above.saturating_sub(DIGIT)))
        .take_while(|above| *above > 0)
        .map(|above| (above.saturating_sub(DIGIT), above.min(DIGIT)))
}

/// The number of allowed codes of a segment.
fn among(allowed: &IdSet, segment: &Segment) -> usize {
    // Segments are whole blocks, except the last one, after which no bit is set.
    let first = segment.first_id / 8;
    let bytes = allowed.as_bytes().iter().skip(first).take(segment.len.div_ceil(8));
    bytes.map(|byte| byte.count_ones() as usize).sum()
}

/// Rearranges codes as 32-bit words: word 0 of all codes, then word 1 of all, and so on.
fn word_by_word(codes: &BinaryCodes, first: usize, len: usize, words: usize) -> Vec<u32> {
    let mut all = vec![0; words * len];
    for (word, all) in all.chunks_exact_mut(len).enumerate() {
        for (i, value) in all.iter_mut().enumerate() {
            *value = (codes.row(first + i)[word / 2] >> (word % 2 * 32)) as u32;
        }
    }
    all
}
