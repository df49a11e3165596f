/*!
The samples of a picture, brought from the bits of a file to bytes, words or floating point.
*/

use super::kinds::Kind;
use super::order::Order;

/// The samples that are needed of all pixels, interleaved.
///
/// Unsigned samples are scaled to the full range of a byte or word, but for those of palettes.
pub enum Samples {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
    Floats(Vec<f32>),
}

impl Samples {
    /// Returns `count` samples of 0, of the type that suits samples of `bits`.
    pub fn zeros(kind: Kind, bits: usize, count: usize) -> Self {
        match kind {
            Kind::Unsigned if bits <= 8 => Self::Bytes(vec![0; count]),
            Kind::Unsigned => Self::Words(vec![0; count]),
            _ => Self::Floats(vec![0.0; count]),
        }
    }
}

/// The form in which a row holds its samples.
#[derive(Clone, Copy)]
pub struct Form {
    pub kind: Kind,
    pub bits: usize,
    pub order: Order,
    /// Whether samples are the numbers of palette colours and stay as they are.
    pub indexes: bool,
    /// The samples of a pixel in the row.
    pub samples: usize,
}

/// Copies samples of a row into pixels of `channels` samples, from `start` in `into` on, up to
/// `count` pixels: for each of `pairs`, the sample in the row to the channel.
pub fn place(
    row: &[u8],
    form: Form,
    into: &mut Samples,
    (start, count, channels): (usize, usize, usize),
    pairs: &[(usize, usize)],
) {
    let range = start * channels..(start + count) * channels;
    let (bits, order) = (form.bits, form.order);
    let raw = |at| bits_at(row, at, bits, order);
    let target = Target { channels, pairs, samples: form.samples };
    match into {
        Samples::Bytes(bytes) => {
            let Some(bytes) = bytes.get_mut(range) else { return };
            let most = (1 << bits.min(8)) - 1;
            if bits == 8 {
                target.copy(bytes, |at| row.get(at).copied().unwrap_or_default());
            } else if form.indexes {
                target.copy(bytes, |at| raw(at) as u8);
            } else {
                target.copy(bytes, |at| ((raw(at) * 255 + most / 2) / most) as u8);
            }
        }
        Samples::Words(words) => {
            let Some(words) = words.get_mut(range) else { return };
            let most = (1 << bits.min(16)) - 1;
            if bits == 16 {
                target.copy(words, |at| word_at(row, at, order));
            } else if bits > 16 {
                target.copy(words, |at| (raw(at) >> (bits - 16)) as u16);
            } else if form.indexes {
                target.copy(words, |at| raw(at) as u16);
            } else {
                target.copy(words, |at| ((raw(at) * 65535 + most / 2) / most) as u16);
            }
        }
        Samples::Floats(floats) => {
            let Some(floats) = floats.get_mut(range) else { return };
            match form.kind {
                Kind::Float => target.copy(floats, |at| float(raw(at), bits)),
                _ => target.copy(floats, |at| signed(raw(at), bits)),
            }
        }
    }
}

/// The place of the samples of a row.
struct Target<'a> {
    channels: usize,
    pairs: &'a [(usize, usize)],
    /// The samples of a pixel in the row.
    samples: usize,
}

impl Target<'_> {
    fn copy<T>(&self, into: &mut [T], sample: impl Fn(usize) -> T) {
        for (x, pixel) in into.chunks_exact_mut(self.channels).enumerate() {
            for (from, to) in self.pairs {
                if let Some(place) = pixel.get_mut(*to) {
                    *place = sample(x * self.samples + from);
                }
            }
        }
    }
}

fn word_at(row: &[u8], at: usize, order: Order) -> u16 {
    match (row.get(2 * at..2 * at + 2), order) {
        (Some(&[low, high]), Order::Little) | (Some(&[high, low]), Order::Big) => {
            u16::from_be_bytes([high, low])
        }
        _ => 0,
    }
}

/// Returns sample `at` of a row. Samples of whole bytes are in the order of the file, others one
/// behind another, the highest bit first; behind the row's end are zeros.
fn bits_at(row: &[u8], at: usize, bits: usize, order: Order) -> u64 {
    let start = at * bits;
    if bits.is_multiple_of(8) {
        let bytes = row.get(start / 8..(start + bits) / 8);
        return bytes.map_or(0, |bytes| order.number(bytes));
    }
    // At most 31 bits that begin within a byte: five bytes hold them.
    let rest = row.get(start / 8..).unwrap_or_default();
    let window = (0..5).fold(0, |sum: u64, byte| {
        sum << 8 | u64::from(rest.get(byte).copied().unwrap_or_default())
    });
    window >> (40 - start % 8 - bits) & ((1 << bits) - 1)
}

fn signed(raw: u64, bits: usize) -> f32 {
    let unused = 64 - bits;
    ((raw << unused) as i64 >> unused) as f32
}

/// Returns a number of IEEE 754, or one of 24 bits: a sign, seven bits of exponent, sixteen of
/// mantissa (Adobe's TIFF Technical Note 3).
fn float(raw: u64, bits: usize) -> f32 {
    match bits {
        16 => half::f16::from_bits(raw as u16).to_f32(),
        24 => {
            let (sign, exponent, mantissa) = (raw >> 23 & 1, raw >> 16 & 0x7f, raw & 0xffff);
            let size = match exponent {
                0 => (mantissa as f32 / 65536.0) * (-62_f32).exp2(),
                0x7f => f32::NAN,
                _ => (1.0 + mantissa as f32 / 65536.0) * (exponent as f32 - 63.0).exp2(),
            };
            if sign == 1 { -size } else { size }
        }
        32 => f32::from_bits(raw as u32),
        _ => f64::from_bits(raw) as f32,
    }
}
