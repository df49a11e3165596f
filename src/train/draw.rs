/*!
Random draws: each its own generator, keyed by what it is for, so that a draw does not
depend on what was drawn before it, on threads, or on where a run was resumed.
*/

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a draw is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// First learned codes.
    Codes = 1,
    /// Which images an outer iteration learns from.
    Sample = 2,
    /// The order of an epoch.
    Order = 3,
    /// Which view of an image is shown.
    View = 4,
    /// What a view shows of an image.
    Crop = 5,
    /// Which parts are exchanged.
    Exchange = 6,
}

/// The generator for one purpose at (`epoch`, `image`) of a run with this seed.
pub fn generator(seed: u64, purpose: Purpose, epoch: usize, image: usize) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    for part in [seed, purpose as u64, epoch as u64, image as u64] {
        hasher.update(&part.to_le_bytes());
    }
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
