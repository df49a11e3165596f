/*!
Images on their way from a source to a sink.
*/

use super::{Batch, EngineError, Head};
use crate::task::Task;

/// Maximum number of images in a [`Batch`].
pub const BATCH: usize = 4096;

/// A producer of images.
pub trait Source {
    /// Metadata of the collection.
    fn head(&self) -> &Head;

    /// Identifies the collection in its current state. An interrupted load resumes only if the
    /// stamp is the same.
    fn stamp(&self) -> String;

    /// Returns the next images, at most [`BATCH`], or `None` at the end. Ids ascend across all
    /// batches.
    ///
    /// # Errors
    /// If they cannot be read.
    fn next_batch(&mut self) -> Result<Option<Batch>, EngineError>;
}

/// A consumer of images.
pub trait Sink {
    /// Writes the next images.
    ///
    /// # Errors
    /// If they cannot be written.
    fn write(&mut self, batch: &Batch) -> Result<(), EngineError>;

    /// Completes the output. Nothing that existed before is replaced until this call.
    ///
    /// # Errors
    /// If it cannot be completed.
    fn finish(self: Box<Self>) -> Result<(), EngineError>;
}

/// Copies all images from a source to a sink and returns their number.
///
/// # Errors
/// If either fails, the ids do not ascend, the number of images differs from [`Head::images`],
/// or the task is stopped.
pub fn copy(
    source: &mut dyn Source,
    mut sink: Box<dyn Sink + '_>,
    task: &Task<'_>,
) -> Result<u64, EngineError> {
    let total = source.head().images;
    let shown = usize::try_from(total).unwrap_or(usize::MAX);
    let (mut done, mut last) = (0u64, None);
    task.step(0, shown)?;
    while let Some(batch) = source.next_batch()? {
        for id in &batch.ids {
            if last.is_some_and(|last| *id <= last) {
                return Err(EngineError::Order(*id));
            }
            last = Some(*id);
        }
        sink.write(&batch)?;
        done += batch.len() as u64;
        task.step(usize::try_from(done).unwrap_or(usize::MAX), shown)?;
    }
    if done != total {
        return Err(EngineError::Count { said: total, found: done });
    }
    sink.finish()?;
    Ok(done)
}
