/*!
What AVIF begins with.
*/

use super::super::isobmff::brands;

/// Returns whether `bytes` is an ISO container with a brand of AVIF.
pub(in super::super) fn is_avif(bytes: &[u8]) -> bool {
    brands(bytes).any(|brand| brand == b"avif" || brand == b"avis")
}
