/*!
Limits on what is decoded.
*/

/// Limits on the images that are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Maximum number of pixels (width × height). Decoding takes up to 12 bytes per pixel, and up to
    /// 24 for floats and for JPEG 2000.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 256 million pixels: more than any camera produces, and far below what a file of a few
    /// kilobytes can claim.
    fn default() -> Self {
        Self { max_pixels: 256_000_000 }
    }
}
