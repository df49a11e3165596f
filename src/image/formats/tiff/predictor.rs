/*!
Predictors: rows that hold the differences of neighbours (TIFF 6.0, section 14; Adobe's TIFF
Technical Note 3 for numbers with fractions).
*/

use super::order::Order;

/// The change of a row before its compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predictor {
    None,
    /// The difference of each sample from that of the pixel before.
    Difference,
    /// The bytes of a row's samples sorted by weight, and then their differences.
    Float,
}

impl Predictor {
    /// Undoes the predictor in a row of samples of `size` bytes, `samples` to a pixel. Returns
    /// the order of the bytes in the samples afterwards.
    pub fn undo(self, row: &mut Vec<u8>, size: usize, samples: usize, order: Order) -> Order {
        match self {
            Self::None => order,
            Self::Difference => {
                add_before(row, size, samples, order);
                order
            }
            Self::Float => {
                add_before(row, 1, samples, order);
                *row = gathered(row, size);
                Order::Big
            }
        }
    }
}

/// Adds to each sample that of the pixel before.
fn add_before(row: &mut [u8], size: usize, samples: usize, order: Order) {
    let back = size * samples;
    if size == 1 {
        for at in back..row.len() {
            let before = row.get(at - back).copied().unwrap_or_default();
            if let Some(byte) = row.get_mut(at) {
                *byte = byte.wrapping_add(before);
            }
        }
        return;
    }
    for at in (back..row.len()).step_by(size) {
        let sample = |at: usize| order.number(row.get(at..at + size).unwrap_or_default());
        let sum = sample(at).wrapping_add(sample(at - back));
        let bytes = match order {
            Order::Little => sum.to_le_bytes(),
            Order::Big => sum.rotate_right(8 * size as u32).to_be_bytes(),
        };
        for (to, from) in row.iter_mut().skip(at).zip(bytes).take(size) {
            *to = from;
        }
    }
}

/// Gathers the bytes of each sample, the weightiest first, from a row that is sorted by weight.
fn gathered(row: &[u8], size: usize) -> Vec<u8> {
    let count = row.len() / size;
    let byte = |at: usize| row.get(at % size * count + at / size).copied().unwrap_or_default();
    (0..count * size).map(byte).collect()
}
