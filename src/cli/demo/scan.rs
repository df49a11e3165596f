/*!
Measures the cost of a search with codes and with floating-point features.
*/

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::code::BinaryCodes;
use crate::device::Device;
use crate::rank::Ranker;

/// Number of codes to search.
const CODES: usize = 1_000_000;
/// Number of feature vectors to search; fewer, because each takes 5 KB.
const FEATURES: usize = 10_000;
/// Repetitions; the fastest counts.
const REPEATS: usize = 5;

/// Cost of a search per database image.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Scan {
    pub code_bytes: usize,
    pub float_bytes: usize,
    /// Nanoseconds per image to find the ten nearest by Hamming distance.
    pub code_nanoseconds: f64,
    /// Nanoseconds per image to compute all cosines.
    pub float_nanoseconds: f64,
}

/// Searches random codes of `bits` bits, and random features of `width` numbers.
///
/// # Errors
/// If the codes cannot be created.
pub fn compare(bits: usize, width: usize) -> Result<Scan> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let words = bits.div_ceil(64);
    let mask = if bits.is_multiple_of(64) { u64::MAX } else { (1 << (bits % 64)) - 1 };
    let random: Vec<u64> = (0..CODES * words)
        .map(|i| rng.random::<u64>() & if i % words + 1 == words { mask } else { u64::MAX })
        .collect();
    let codes = BinaryCodes::from_words(bits, random)?;
    let query = codes.select(&[0]);
    let ranker = Ranker::new(&Device::Cpu, Arc::new(codes))?;
    let with_codes = fastest(|| ranker.top_k(&query, 10).map(|hits| hits.len()))?;

    let features: Vec<f32> =
        (0..FEATURES * width).map(|_| rng.random_range(-1.0..1.0f32)).collect();
    let query = features[..width].to_vec();
    let with_floats = fastest(|| -> Result<f32> {
        let scores = features.par_chunks_exact(width).map(|row| dot(row, &query));
        Ok(scores.reduce(|| f32::MIN, f32::max))
    })?;
    Ok(Scan {
        code_bytes: bits.div_ceil(8),
        float_bytes: width * 4,
        code_nanoseconds: with_codes / CODES as f64 * 1e9,
        float_nanoseconds: with_floats / FEATURES as f64 * 1e9,
    })
}

/// Returns the time of the fastest of several searches, in seconds.
fn fastest<T, E>(mut search: impl FnMut() -> Result<T, E>) -> Result<f64, E> {
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let begun = Instant::now();
        black_box(search()?);
        best = best.min(begun.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Dot product in eight partial sums, so that the compiler can use vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum()
}
