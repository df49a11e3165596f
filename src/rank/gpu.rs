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

use super::{Hit, RankError, Want};
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
    filtered: u32,
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
    blocks: usize,
    limit: u64,
}

/// One batch of queries: what the kernels are told about it.
struct Batch<'a> {
    queries: &'a wgpu::Buffer,
    allowed: Option<&'a wgpu::Buffer>,
    count: usize,
    k: usize,
    levels: usize,
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
        let blocks = codes.len().div_ceil(BLOCK);
        Ok(Self { gpu, segments, kernels, words, blocks, limit })
    }

    /// The adapter's name.
    pub fn name(&self) -> &str {
        &self.gpu.info.name
    }

    /// What `want` asks for, for each query; `None` when the tables of a single query or
    /// the filter do not fit into a binding.
    pub fn search(
        &self,
        queries: &BinaryCodes,
        want: &Want<'_>,
    ) -> Result<Option<Vec<Vec<Hit>>>, RankError> {
        let levels = want.radius as usize + 1;
        let per_query = (want.k * 8).max(self.blocks * 8).max(levels * 4) as u64;
        let filter = want.allowed.map_or(0, |allowed| allowed.len() as u64);
        if per_query.max(filter) > self.limit {
            return Ok(None);
        }
        let allowed = want
            .allowed
            .map(|allowed| {
                // Bytes of a bitmap and of a little-endian word come in the same order.
                let words =
                    allowed.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                let words: Vec<u32> = words.collect();
                guarded(&self.gpu, || storage(&self.gpu, "allowed", &words))
            })
            .transpose()?;
        let batch = (TABLE.min(self.limit) / per_query).clamp(1, BATCH as u64) as usize;
        let mut hits = Vec::with_capacity(queries.len());
        for first in (0..queries.len()).step_by(batch) {
            let count = batch.min(queries.len() - first);
            let contents = narrow(queries, first, count, self.words);
            let read = guarded(&self.gpu, || {
                let queries = storage(&self.gpu, "queries", &contents);
                let (queries, allowed) = (&queries, allowed.as_ref());
                self.submit(&Batch { queries, allowed, count, k: want.k, levels })
            })?;
            let (cuts, found) = read.map_err(|reason| failed(&self.gpu, reason))?;
            hits.extend(cuts.iter().zip(found.chunks_exact(want.k)).map(|(cut, found)| {
                let [_, nearer, total, _] = cut.map(|n| n as usize);
                let found = found.iter().take(total);
                let mut list: Vec<Hit> =
                    found.map(|[distance, id]| Hit { distance: *distance, id: *id }).collect();
                if let Some(unordered) = list.get_mut(..nearer) {
                    unordered.sort_unstable();
                }
                list
            }));
        }
        Ok(Some(hits))
    }

    /// Runs all kernels; gives the cuts and the hits of the batch.
    fn submit(&self, batch: &Batch<'_>) -> Result<Read, String> {
        let device = &self.gpu.device;
        let &Batch { count, k, levels, .. } = batch;
        let table = |label, entries: usize, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: entries as u64,
                usage: wgpu::BufferUsages::STORAGE | usage,
                mapped_at_creation: false,
            })
        };
        let (none, copied) = (wgpu::BufferUsages::empty(), wgpu::BufferUsages::COPY_SRC);
        // New buffers are zero, as the histograms have to be.
        let histograms = table("histograms", count * levels * 4, none);
        let cuts = table("cuts", count * 16, copied);
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
                        let uniform = self.uniform(segment, batch);
                        let allowed = batch.allowed.unwrap_or(batch.queries);
                        let mut bound = vec![(0, &uniform), (1, &segment.codes)];
                        bound.extend([(2, batch.queries), (7, allowed)]);
                        bound.extend((3..).zip(tables.iter().copied()));
                        let blocks = segment.len.div_ceil(BLOCK) as u32;
                        let (x, y) = (blocks.min(DISPATCH), blocks.div_ceil(DISPATCH));
                        self.dispatch(pass, kernel, &bound, [x, y, count as u32]);
                    }
                };
            let of_queries =
                |pass: &mut wgpu::ComputePass<'_>, kernel, tables: [&wgpu::Buffer; 2], groups| {
                    if let Some(segment) = self.segments.first() {
                        let uniform = self.uniform(segment, batch);
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

    fn uniform(&self, segment: &Segment, batch: &Batch<'_>) -> wgpu::Buffer {
        let pass = Pass {
            codes: segment.len as u32,
            first_id: segment.first_id as u32,
            first_block: segment.first_block as u32,
            segment_blocks: segment.len.div_ceil(BLOCK) as u32,
            blocks: self.blocks as u32,
            levels: batch.levels as u32,
            k: batch.k as u32,
            queries: batch.count as u32,
            filtered: u32::from(batch.allowed.is_some()),
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

    /// Waits for the buffer's contents.
    fn fetch<T: bytemuck::Pod>(&self, buffer: &wgpu::Buffer) -> Result<Vec<T>, String> {
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

/// Cuts (distance, nearer, found, 0) of each query, and hits (distance, id) of each query and rank.
type Read = (Vec<[u32; 4]>, Vec<[u32; 2]>);

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
