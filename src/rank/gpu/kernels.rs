/*!
The kernels: names and sources.
*/

use super::work::COMMON;

/// A kernel's name and its source without the shared part.
pub(in crate::rank) type Source = (&'static str, &'static str);
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
pub(in crate::rank) const WORD_SCORE: Source =
    ("word_score", include_str!("../../../shaders/word_score.wgsl"));
pub(in crate::rank) const WORD_DIGITS: Source =
    ("word_digits", include_str!("../../../shaders/word_digits.wgsl"));
pub(in crate::rank) const WORD_CUT: Source =
    ("word_cut", include_str!("../../../shaders/word_cut.wgsl"));
pub(in crate::rank) const WORD_COLLECT: Source =
    ("word_collect", include_str!("../../../shaders/word_collect.wgsl"));

/// All kernels.
const KERNELS: [Source; 14] = [
    HISTOGRAM,
    CUT,
    COUNT,
    SCAN,
    COLLECT,
    GUESS,
    SIFT,
    FINISH,
    TALLY,
    SUM,
    WORD_SCORE,
    WORD_DIGITS,
    WORD_CUT,
    WORD_COLLECT,
];

/// The name and full source of every kernel, as passed to the driver. For tests that
/// translate them for other backends.
#[doc(hidden)]
pub fn kernels() -> impl Iterator<Item = (&'static str, String)> {
    KERNELS.into_iter().map(|(name, source)| (name, format!("{}\n{source}", COMMON)))
}
