/*!
Building blocks of all GPU paths: kernels, reusable buffers, dispatches, and waiting for
results.
*/

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

use super::super::RankError;
use super::cache::Cache;
use crate::cause::Cause;
use crate::device::Gpu;

/// Shared code that is prepended to every kernel.
pub const COMMON: &str = include_str!("../../../shaders/common.wgsl");
/// The maximum number of workgroups per dimension of a dispatch that every WebGPU
/// implementation supports.
const DISPATCH: u32 = 65_535;
/// Timeout of a batch, after which the device counts as lost.
const PATIENCE: Duration = Duration::from_secs(600);

/// The parameters of a kernel: `Pass` in `common.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Pass {
    pub codes: u32,
    pub first_id: u32,
    pub first_block: u32,
    pub segment_blocks: u32,
    pub blocks: u32,
    pub levels: u32,
    pub k: u32,
    pub queries: u32,
    pub filtered: u32,
    pub stride: u32,
    pub apart: u32,
    pub room: u32,
    pub part: u32,
    pub shift: u32,
    pub known: u32,
}

/// The division of work in a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Queries processed at once, in groups of four: 1 or 4 groups.
    pub fours: usize,
    /// Invocations per workgroup.
    pub width: usize,
}

impl Default for Shape {
    /// The shape for kernels that do not use it.
    fn default() -> Self {
        Self { fours: 4, width: 64 }
    }
}

/// A compiled kernel.
#[derive(Debug, Clone)]
pub struct Kernel(wgpu::ComputePipeline);

impl Kernel {
    /// Returns the kernel `name` with the given source for codes of `words` 32-bit words. The
    /// shape matters to `sift`, `tally` and `sum`. Kernels are compiled once per device.
    pub fn get(
        gpu: &Gpu,
        (name, source): (&'static str, &str),
        words: usize,
        Shape { fours, width }: Shape,
    ) -> Self {
        let cache = Cache::of(gpu);
        let mut kernels = cache.kernels();
        let kernel = kernels.entry((name, [words, fours, width])).or_insert_with(|| {
            let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(name),
                source: wgpu::ShaderSource::Wgsl(Cow::Owned(format!("{COMMON}\n{source}"))),
            });
            let constants =
                [("WORDS", words as f64), ("FOURS", fours as f64), ("WIDTH", width as f64)];
            let compilation_options =
                wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() };
            gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options,
                cache: None,
            })
        });
        Self(kernel.clone())
    }
}

/// Buffers by name, kept from one batch to the next.
#[derive(Debug, Default)]
pub struct Tables(HashMap<&'static str, wgpu::Buffer>);

impl Tables {
    /// Returns a buffer of at least `bytes` bytes with arbitrary content.
    pub fn get(&mut self, gpu: &Gpu, name: &'static str, bytes: u64) -> wgpu::Buffer {
        let bytes = bytes.max(16).next_multiple_of(16);
        // A buffer that is far too large is replaced, to free its memory.
        let fits = |buffer: &&wgpu::Buffer| (bytes..=bytes * 4).contains(&buffer.size());
        if let Some(buffer) = self.0.get(name).filter(fits) {
            return buffer.clone();
        }
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(name),
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        self.0.insert(name, buffer.clone());
        buffer
    }
}

/// The recorded commands of a batch.
pub struct Commands<'a> {
    gpu: &'a Gpu,
    encoder: wgpu::CommandEncoder,
    back: Vec<(wgpu::Buffer, u64)>,
}

impl<'a> Commands<'a> {
    pub fn new(gpu: &'a Gpu) -> Self {
        let encoder = gpu.device.create_command_encoder(&Default::default());
        Self { gpu, encoder, back: Vec::new() }
    }

    /// Fills a buffer with zeros.
    pub fn clear(&mut self, buffer: &wgpu::Buffer) {
        self.encoder.clear_buffer(buffer, 0, None);
    }

    /// Dispatches a kernel on `groups` workgroups (over codes, over queries), with `pass` at
    /// binding 0 and `bound` as (binding, buffer).
    pub fn run(
        &mut self,
        kernel: &Kernel,
        pass: &Pass,
        bound: &[(u32, &wgpu::Buffer)],
        groups: [usize; 2],
    ) {
        let pass = uniform(self.gpu, bytemuck::bytes_of(pass));
        let entry = |(binding, buffer): (u32, &'_ wgpu::Buffer)| (binding, buffer.clone());
        let bound: Vec<(u32, wgpu::Buffer)> =
            std::iter::once((0, pass)).chain(bound.iter().copied().map(entry)).collect();
        let entries: Vec<_> = bound
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &kernel.0.get_bind_group_layout(0),
            entries: &entries,
        });
        let [codes, queries] = groups.map(|n| n as u32);
        let mut pass = self.encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&kernel.0);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(codes.min(DISPATCH), codes.div_ceil(DISPATCH), queries);
    }

    /// Requests the first `bytes` bytes of a buffer, which [`Commands::finish`] returns.
    pub fn read(&mut self, from: &wgpu::Buffer, bytes: u64) {
        let size = bytes.next_multiple_of(4);
        let to = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        self.encoder.copy_buffer_to_buffer(from, 0, &to, 0, size);
        self.back.push((to, bytes));
    }

    /// Submits all commands, waits, and returns the requested contents in order.
    pub fn finish(self) -> Result<Vec<Vec<u32>>, Cause> {
        self.gpu.queue.submit([self.encoder.finish()]);
        let (sender, receiver) = mpsc::channel();
        for (buffer, _) in &self.back {
            let sender = sender.clone();
            // Sending fails only if the wait below failed; then the result is not needed.
            let done = move |result| drop(sender.send(result));
            buffer.slice(..).map_async(wgpu::MapMode::Read, done);
        }
        let wait = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
        self.gpu.device.poll(wait)?;
        let contents = self.back.iter().map(|(buffer, _)| {
            receiver.recv()??;
            let view = buffer.slice(..).get_mapped_range()?;
            Ok(bytemuck::pod_collect_to_vec(&view))
        });
        contents.collect()
    }
}

/// Runs device work and returns its errors, which would otherwise reach Burn's error callback
/// and panic.
pub fn guarded<T>(gpu: &Gpu, work: impl FnOnce() -> T) -> Result<T, RankError> {
    // Burn queues its kernels lazily. Flush them first, so that their errors are not
    // attributed to `work`.
    #[cfg(feature = "model")]
    gpu.flush().map_err(|reason| failed(gpu, reason))?;
    let memory = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let result = work();
    let errors = [pollster::block_on(validation.pop()), pollster::block_on(memory.pop())];
    match errors.into_iter().flatten().next() {
        Some(error) => Err(failed(gpu, error.into())),
        None => Ok(result),
    }
}

/// Creates the error for a failed adapter.
pub fn failed(gpu: &Gpu, reason: Cause) -> RankError {
    RankError::Gpu { adapter: gpu.info.name.clone(), reason }
}

/// Creates a storage buffer with `contents`.
pub fn storage(gpu: &Gpu, label: &str, contents: &[u32]) -> wgpu::Buffer {
    filled(gpu, label, bytemuck::cast_slice(contents), wgpu::BufferUsages::STORAGE)
}

/// Creates a uniform buffer with `contents`.
pub fn uniform(gpu: &Gpu, contents: &[u8]) -> wgpu::Buffer {
    filled(gpu, "uniform", contents, wgpu::BufferUsages::UNIFORM)
}

/// Creates a buffer, then writes it. A buffer mapped at creation would panic if memory runs
/// out or the device is lost; this way an error is reported.
fn filled(gpu: &Gpu, label: &str, contents: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: contents.len().max(16) as u64,
        usage: usage | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue.write_buffer(&buffer, 0, contents);
    buffer
}
