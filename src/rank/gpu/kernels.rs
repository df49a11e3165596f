/*!
The kernels: names and sources.
*/

use super::work::COMMON;

/// A kernel's name and its source without the shared part.
pub(super) type Source = (&'static str, &'static str);
pub(super) const HISTOGRAM: Source = ("histogram", include_str!("../../../shaders/histogram.wgsl"));
pub(super) const CUT: Source = ("cut", include_str!("../../../shaders/cut.wgsl"));
pub(super) const COUNT: Source = ("count", include_str!("../../../shaders/count.wgsl"));
pub(super) const SCAN: Source = ("scan", include_str!("../../../shaders/scan.wgsl"));
pub(super) const COLLECT: Source = ("collect", include_str!("../../../shaders/collect.wgsl"));
pub(super) const GUESS: Source = ("guess", include_str!("../../../shaders/guess.wgsl"));
pub(super) const SIFT: Source = ("sift", include_str!("../../../shaders/sift.wgsl"));
pub(super) const FINISH: Source = ("finish", include_str!("../../../shaders/finish.wgsl"));
pub(super) const TALLY: Source = ("tally", include_str!("../../../shaders/tally.wgsl"));
pub(super) const SUM: Source = ("sum", include_str!("../../../shaders/sum.wgsl"));

/// All kernels.
const KERNELS: [Source; 10] =
    [HISTOGRAM, CUT, COUNT, SCAN, COLLECT, GUESS, SIFT, FINISH, TALLY, SUM];

/// The name and full source of every kernel, as passed to the driver. For tests that
/// translate them for other backends.
#[doc(hidden)]
pub fn kernels() -> impl Iterator<Item = (&'static str, String)> {
    KERNELS.into_iter().map(|(name, source)| (name, format!("{}\n{source}", COMMON)))
}
