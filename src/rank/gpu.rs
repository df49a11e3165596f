/*!
Ranking on a graphics adapter: the codes stay on the device, distances are never
written out, and only the hits come back.

Five kernels a batch of queries: `histogram` counts the codes at each distance,
`cut` finds where the top k ends, `count` and `scan` give each block of codes the
place of its hits, `collect` writes them. The host orders what is nearer than the
cut; what lies at the cut is in the order of ids already.
*/

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::mpsc;

use wgpu::util::DeviceExt;

use super::{Hit, RankError};
use crate::code::BinaryCodes;
use crate::device::Gpu;

/// Codes a workgroup looks at: THREADS × PER_THREAD of `common.wgsl`.
const BLOCK: usize = 256 * 16;
/// The most workgroups in one dimension of a dispatch, in every WebGPU implementation.
const DISPATCH: u32 = 65_535;
/// How large the tables of one batch of queries may get, in bytes each.
const TABLE: u64 = 64 << 20;
/// The most queries in one batch.
const BATCH: usize = 1024;

/// The kernels, each with its source behind the shared part.
pub(super) const KERNELS: [(&str, &str); 5] = [
    ("histogram", include_str!("../../shaders/histogram.wgsl")),
    ("cut", include_str!("../../shaders/cut.wgsl")),
    ("count", include_str!("../../shaders/count.wgsl")),
    ("scan", include_str!("../../shaders/scan.wgsl")),
    ("collect", include_str!("../../shaders/collect.wgsl")),
];
/// What stands in front of every kernel.
pub(super) const COMMON: &str = include_str!("../../shaders/common.wgsl");

/// What a kernel is told about its pass: `Pass` of `common.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Pass {
    codes: u32,
    first_id: u32,
    first_block: u32,
    segment_blocks: u32,
    blocks: u32,
    levels: u32,
    k: u32,
    queries: u32,
}

/// A part of the database that one binding holds.
#[derive(Debug)]
struct Segment {
    codes: wgpu::Buffer,
    len: usize,
    first_id: usize,
    first_block: usize,
}

#[derive(Debug)]
pub(super) struct GpuRanker {
    gpu: Arc<Gpu>,
    segments: Vec<Segment>,
    kernels: [wgpu::ComputePipeline; 5],
    words: usize,
    levels: usize,
    blocks: usize,
    limit: u64,
}

impl GpuRanker {
    /// Uploads the codes. No binding gets larger than `limit` bytes.
    pub fn new(gpu: Arc<Gpu>, codes: &BinaryCodes, limit: u64) -> Result<Self, RankError> {
        let limits = gpu.device.limits();
        let limit = limit.min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size);
        let words = codes.bits().div_ceil(32);
        // Whole blocks, so that only the last segment has an unfinished one.
        let per_segment = (limit as usize / (words * 4) / BLOCK).max(1) * BLOCK;
        let (segments, kernels) = guarded(&gpu, || {
            let starts = (0..codes.len()).step_by(per_segment);
            let segments = starts.map(|first_id| {
                let len = per_segment.min(codes.len() - first_id);
                let contents = narrow(codes, first_id, len, words);
                let codes = storage(&gpu, "codes", &contents);
                Segment { codes, len, first_id, first_block: first_id / BLOCK }
            });
            (
                segments.collect::<Vec<_>>(),
                KERNELS.map(|(name, source)| pipeline(&gpu.device, name, source, words)),
            )
        })?;
        let (levels, blocks) = (codes.bits() + 1, codes.len().div_ceil(BLOCK));
        Ok(Self { gpu, segments, kernels, words, levels, blocks, limit })
    }

    /// Whether the tables of a single query fit into a binding.
    pub fn fits(&self, k: usize) -> bool {
        (k.max(self.blocks) * 8) as u64 <= self.limit
    }

    /// The `k` nearest codes of each query, `1 <= k <= codes`, lengths equal.
    pub fn top_k(&self, queries: &BinaryCodes, k: usize) -> Result<Vec<Vec<Hit>>, RankError> {
        let per_query = (k * 8).max(self.blocks * 8).max(self.levels * 4) as u64;
        let batch = (TABLE.min(self.limit) / per_query).clamp(1, BATCH as u64) as usize;
        let mut hits = Vec::with_capacity(queries.len());
        for first in (0..queries.len()).step_by(batch) {
            let count = batch.min(queries.len() - first);
            self.batch(queries, first, count, k, &mut hits)?;
        }
        Ok(hits)
    }

    fn batch(
        &self,
        queries: &BinaryCodes,
        first: usize,
        count: usize,
        k: usize,
        hits: &mut Vec<Vec<Hit>>,
    ) -> Result<(), RankError> {
        let contents = narrow(queries, first, count, self.words);
        let read = guarded(&self.gpu, || self.submit(&contents, count, k))?;
        let (cuts, found) = read.map_err(|reason| failed(&self.gpu, reason))?;
        for (query, found) in found.chunks_exact(k).enumerate() {
            let nearer = cuts[query][1] as usize;
            let to_hit = |pair: &[u32; 2]| Hit { distance: pair[0], id: pair[1] };
            let mut list: Vec<Hit> = found.iter().map(to_hit).collect();
            if let Some(unordered) = list.get_mut(..nearer) {
                unordered.sort_unstable();
            }
            hits.push(list);
        }
        Ok(())
    }

    /// Runs all kernels; gives the cuts and the hits of the batch.
    fn submit(&self, queries: &[u32], count: usize, k: usize) -> Result<Read, String> {
        let device = &self.gpu.device;
        let queries = storage(&self.gpu, "queries", queries);
        let table = |label, entries: usize, usage| {
            let size = entries as u64;
            let usage = wgpu::BufferUsages::STORAGE | usage;
            let label = Some(label);
            device.create_buffer(&wgpu::BufferDescriptor {
                label,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let (none, copied) = (wgpu::BufferUsages::empty(), wgpu::BufferUsages::COPY_SRC);
        // New buffers are zero, as the histograms have to be.
        let histograms = table("histograms", count * self.levels * 4, none);
        let cuts = table("cuts", count * 8, copied);
        let counts = table("counts", count * self.blocks * 8, none);
        let offsets = table("offsets", count * self.blocks * 8, none);
        let hits = table("hits", count * k * 8, copied);
        let mut encoder = device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            let [histogram, cut, counter, scan, collect] = &self.kernels;
            let of_segments =
                |pass: &mut wgpu::ComputePass<'_>, kernel, tables: &[&wgpu::Buffer]| {
                    for segment in &self.segments {
                        let uniform = self.uniform(segment, count, k);
                        let mut bound = vec![(0, &uniform), (1, &segment.codes), (2, &queries)];
                        bound.extend((3..).zip(tables.iter().copied()));
                        let blocks = segment.len.div_ceil(BLOCK) as u32;
                        let (x, y) = (blocks.min(DISPATCH), blocks.div_ceil(DISPATCH));
                        self.dispatch(pass, kernel, &bound, [x, y, count as u32]);
                    }
                };
            let of_queries =
                |pass: &mut wgpu::ComputePass<'_>, kernel, tables: [&wgpu::Buffer; 2], groups| {
                    if let Some(segment) = self.segments.first() {
                        let uniform = self.uniform(segment, count, k);
                        let bound = [(0, &uniform), (3, tables[0]), (4, tables[1])];
                        self.dispatch(pass, kernel, &bound, [groups, 1, 1]);
                    }
                };
            of_segments(&mut pass, histogram, &[&histograms]);
            of_queries(&mut pass, cut, [&histograms, &cuts], (count as u32).div_ceil(64));
            of_segments(&mut pass, counter, &[&cuts, &counts]);
            of_queries(&mut pass, scan, [&counts, &offsets], count as u32);
            of_segments(&mut pass, collect, &[&cuts, &counts, &offsets, &hits]);
        }
        let cuts_back = self.read_back(&mut encoder, &cuts);
        let hits_back = self.read_back(&mut encoder, &hits);
        self.gpu.queue.submit([encoder.finish()]);
        Ok((self.fetch(&cuts_back)?, self.fetch(&hits_back)?))
    }

    fn uniform(&self, segment: &Segment, queries: usize, k: usize) -> wgpu::Buffer {
        let pass = Pass {
            codes: segment.len as u32,
            first_id: segment.first_id as u32,
            first_block: segment.first_block as u32,
            segment_blocks: segment.len.div_ceil(BLOCK) as u32,
            blocks: self.blocks as u32,
            levels: self.levels as u32,
            k: k as u32,
            queries: queries as u32,
        };
        self.gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("pass"),
            contents: bytemuck::bytes_of(&pass),
            usage: wgpu::BufferUsages::UNIFORM,
        })
    }

    fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        kernel: &wgpu::ComputePipeline,
        bound: &[(u32, &wgpu::Buffer)],
        [x, y, z]: [u32; 3],
    ) {
        let entries: Vec<_> = bound
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let layout = kernel.get_bind_group_layout(0);
        let group = self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &layout,
            entries: &entries,
        });
        pass.set_pipeline(kernel);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }

    fn read_back(&self, encoder: &mut wgpu::CommandEncoder, from: &wgpu::Buffer) -> wgpu::Buffer {
        let to = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size: from.size(),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        encoder.copy_buffer_to_buffer(from, 0, &to, 0, from.size());
        to
    }

    /// Waits for the buffer's contents, as pairs.
    fn fetch(&self, buffer: &wgpu::Buffer) -> Result<Vec<[u32; 2]>, String> {
        let (sender, receiver) = mpsc::channel();
        let slice = buffer.slice(..);
        // The receiver outlives the callback unless the wait below failed, and then
        // nobody asks for the result.
        slice.map_async(wgpu::MapMode::Read, move |result| drop(sender.send(result)));
        let polled = self.gpu.device.poll(wgpu::PollType::wait_indefinitely());
        polled.map_err(|error| error.to_string())?;
        let mapped = receiver.recv().map_err(|error| error.to_string())?;
        mapped.map_err(|error| error.to_string())?;
        let view = slice.get_mapped_range().map_err(|error| error.to_string())?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }
}

/// Cuts (distance, nearer) of each query, and hits (distance, id) of each query and rank.
type Read = (Vec<[u32; 2]>, Vec<[u32; 2]>);

/// Runs device work so that its errors come back as ours instead of a panic of Burn's.
fn guarded<T>(gpu: &Gpu, work: impl FnOnce() -> T) -> Result<T, RankError> {
    // Burn queues its kernels lazily: what it still holds is its own to answer for.
    #[cfg(feature = "model")]
    gpu.flush().map_err(|reason| failed(gpu, reason))?;
    let memory = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let result = work();
    let errors = [pollster::block_on(validation.pop()), pollster::block_on(memory.pop())];
    match errors.into_iter().flatten().next() {
        Some(error) => Err(failed(gpu, error.to_string())),
        None => Ok(result),
    }
}

fn failed(gpu: &Gpu, reason: String) -> RankError {
    RankError::Gpu { adapter: gpu.info.name.clone(), reason }
}

fn storage(gpu: &Gpu, label: &str, contents: &[u32]) -> wgpu::Buffer {
    gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: Some(label),
        contents: bytemuck::cast_slice(contents),
        usage: wgpu::BufferUsages::STORAGE,
    })
}

/// Rows as 32-bit words, without the half word that a code of up to 32 bits (or
/// 65 to 96, …) does not use.
fn narrow(codes: &BinaryCodes, first: usize, count: usize, words: usize) -> Vec<u32> {
    let mut narrow = Vec::with_capacity(count * words);
    for row in first..first + count {
        let halves = codes.row(row).iter().flat_map(|w| [*w as u32, (*w >> 32) as u32]);
        narrow.extend(halves.take(words));
    }
    narrow
}

fn pipeline(
    device: &wgpu::Device,
    name: &str,
    source: &str,
    words: usize,
) -> wgpu::ComputePipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(Cow::Owned(format!("{COMMON}\n{source}"))),
    });
    let constants = [("WORDS", words as f64)];
    let compilation_options =
        wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() };
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options,
        cache: None,
    })
}
