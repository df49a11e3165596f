/*!
Measurements on a device: the best workgroup size, and lower bounds on the time of a search.
*/

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::super::RankError;
use super::cache::Cache;
use super::kernels::{SUM, TALLY};
use super::ranker::{EACH, GpuRanker, SIXTEEN, Segment, UNIFORM, narrow, sixteens};
use super::work::{Commands, Kernel, Pass, Shape, failed, guarded, uniform};
use crate::code::BinaryCodes;

/// Candidate numbers of invocations per workgroup.
const WIDTHS: [usize; 4] = [32, 64, 128, 256];
/// Minimum number of codes for a trial; with fewer, launch overhead dominates.
const ENOUGH: usize = 1 << 17;
/// Maximum number of codes in a trial.
const TRIED: usize = 1 << 20;
/// Queries in a trial.
const QUERIES: usize = 4 * SIXTEEN;
/// Trials per candidate; the fastest counts.
const TRIALS: usize = 3;

impl GpuRanker {
    /// Returns the division of work for `sift` and `tally`. For at most four queries, the
    /// variants that process four queries at once do a quarter of the work.
    pub(super) fn shape(&self, queries: usize) -> Shape {
        let measured = Cache::of(&self.gpu).widths().get(&self.words).copied();
        let width = measured.unwrap_or(Shape::default().width);
        Shape { fours: if queries <= 4 { 1 } else { 4 }, width }
    }

    /// Measures the fastest workgroup size for codes of this length, once per device, if
    /// there are enough codes.
    pub(super) fn measure_width(&self) -> Result<(), RankError> {
        let cache = Cache::of(&self.gpu);
        let Some(segment) = self.segments.first().filter(|segment| segment.len >= ENOUGH) else {
            return Ok(());
        };
        if cache.widths().contains_key(&self.words) {
            return Ok(());
        }
        let most = self.gpu.device.limits();
        let most =
            most.max_compute_invocations_per_workgroup.min(most.max_compute_workgroup_size_x);
        let queries = vec![0; QUERIES * self.words];
        let mut best = (Duration::MAX, Shape::default().width);
        for width in WIDTHS.into_iter().filter(|width| *width <= most as usize) {
            let shape = Shape { width, ..Shape::default() };
            // The first run compiles the kernel.
            self.tally_of(segment, &queries, shape, TRIED)?;
            for _ in 0..TRIALS {
                let begun = Instant::now();
                self.tally_of(segment, &queries, shape, TRIED)?;
                best = best.min((begun.elapsed(), width));
            }
        }
        cache.widths().insert(self.words, best.1);
        Ok(())
    }

    /// Returns the sum of all distances to the queries, computed like the quick path does.
    /// Queries beyond a multiple of sixteen are left out, unless there are at most four.
    pub fn tally(&self, queries: &BinaryCodes) -> Result<u64, RankError> {
        let all =
            if queries.len() <= 4 { queries.len() } else { queries.len() / SIXTEEN * SIXTEEN };
        let batch = UNIFORM / (self.words * 4) / SIXTEEN * SIXTEEN;
        let mut total = 0;
        for first in (0..all).step_by(batch) {
            let count = batch.min(all - first);
            let contents = narrow(queries, first, count, self.words);
            for segment in &self.segments {
                total += self.tally_of(segment, &contents, self.shape(count), usize::MAX)?;
            }
        }
        Ok(total)
    }

    /// Like [`GpuRanker::tally`], for the first `most` codes of a segment.
    fn tally_of(
        &self,
        segment: &Segment,
        queries: &[u32],
        shape: Shape,
        most: usize,
    ) -> Result<u64, RankError> {
        let (codes, count) = (segment.len.min(most), queries.len() / self.words);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let read = guarded(&self.gpu, || {
            let sixteens = uniform(&self.gpu, &sixteens(queries, self.words));
            let tally = Kernel::get(&self.gpu, TALLY, self.words, shape);
            let groups = [codes.div_ceil(shape.width * EACH), count.div_ceil(SIXTEEN)];
            let bytes = (groups[0] * groups[1] * shape.width * 16) as u64;
            let sums = tables.get(&self.gpu, "sums", bytes);
            let pass = Pass { codes: codes as u32, ..Pass::default() };
            let mut commands = Commands::new(&self.gpu);
            commands.clear(&sums);
            let bound = [(1, &segment.codes), (8, &sixteens), (3, &sums)];
            commands.run(&tally, &pass, &bound, groups);
            commands.read(&sums, bytes);
            commands.finish()
        })?;
        let read = read.map_err(|reason| failed(&self.gpu, reason))?;
        // One lane per query; unused lanes are dropped.
        let lanes = count.min(4);
        let sums = read.iter().flat_map(|sums| sums.chunks_exact(4));
        Ok(sums.flat_map(|sums| &sums[..lanes]).map(|sum| u64::from(*sum)).sum())
    }

    /// Reads all codes once and returns the sum of their 32-bit words, modulo 2³².
    pub fn sum(&self) -> Result<u32, RankError> {
        let mut total = 0u32;
        let shape = self.shape(1);
        for segment in &self.segments {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            let read = guarded(&self.gpu, || {
                let sum = Kernel::get(&self.gpu, SUM, self.words, shape);
                let groups = segment.len.div_ceil(shape.width * EACH);
                let bytes = (groups * shape.width * 4) as u64;
                let sums = tables.get(&self.gpu, "sums", bytes);
                let pass = Pass { codes: segment.len as u32, ..Pass::default() };
                let mut commands = Commands::new(&self.gpu);
                commands.clear(&sums);
                commands.run(&sum, &pass, &[(1, &segment.codes), (3, &sums)], [groups, 1]);
                commands.read(&sums, bytes);
                commands.finish()
            })?;
            let read = read.map_err(|reason| failed(&self.gpu, reason))?;
            total = read.iter().flatten().fold(total, |sum, part| sum.wrapping_add(*part));
        }
        Ok(total)
    }
}
