/*!
Random codes, and medians of times.
*/

use std::time::Instant;

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::code::BinaryCodes;

/// Returns random codes; every bit is uniform.
pub fn codes(bits: usize, count: usize, seed: u64) -> Result<BinaryCodes> {
    let words = bits.div_ceil(64);
    let last = u64::MAX >> (words * 64 - bits);
    let mut all = vec![0u64; count * words];
    // Each chunk has its own seed, so that all cores can generate.
    all.par_chunks_mut(words << 14).enumerate().for_each(|(chunk, words_)| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed << 32 | chunk as u64);
        words_.iter_mut().for_each(|word| *word = rng.next_u64());
        words_.chunks_mut(words).for_each(|row| row[words - 1] &= last);
    });
    Ok(BinaryCodes::from_words(bits, all)?)
}

/// Returns the median; there must be a number.
pub fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Returns the median seconds of a call, after one untimed call.
pub fn time(repeats: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let mut seconds = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let begun = Instant::now();
        call()?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(&mut seconds))
}
