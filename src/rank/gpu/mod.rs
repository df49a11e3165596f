/*!
Ranking on a graphics adapter. The codes stay on the device, distances are never written
to memory, and only the hits are read back.

There are two paths, both exact:

- The quick path estimates a distance bound for the k nearest from a sample (`guess`),
  filters all codes in one pass by that bound (`sift`), and selects the k nearest of the
  remaining candidates (`finish`).
- The sure path is used for large k, and if the guess fails: if too few codes are within
  the bound, or more than the candidate buffer holds, as with many equal codes. `histogram`
  counts the codes at each distance, `cut` finds the distance at which the top k ends,
  `count` and `scan` compute the output position of each block's hits, and `collect` writes
  them.
*/

mod cache;
pub(super) mod kernels;
mod measure;
mod ranker;
pub(super) mod work;

pub use kernels::kernels;
pub use ranker::GpuLimits;
pub(super) use ranker::GpuRanker;
