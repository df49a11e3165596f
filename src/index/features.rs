/*!
Kept features: images are compared by their cosine, and hashes fitted to them.
*/

/// The numbers in which features are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Half precision, of unit length. Indexes of earlier versions have them.
    Half,
    /// Signed bytes, after the single-precision number that they are to be multiplied with.
    Bytes,
}

/// Bytes of a single-precision number.
const UNIT: usize = 4;

impl Kept {
    /// Returns features as they are stored.
    pub fn to_bytes(self, features: &[f32]) -> Vec<u8> {
        match self {
            Self::Half => {
                unit(features).flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect()
            }
            Self::Bytes => {
                let step = features.iter().fold(0f32, |most, x| most.max(x.abs())) / 127.0;
                let scale = if step > 0.0 { step.recip() } else { 0.0 };
                let bytes = features.iter().map(|x| ((x * scale).round() as i8).cast_unsigned());
                step.to_le_bytes().into_iter().chain(bytes).collect()
            }
        }
    }

    /// Number of bytes of `dim` stored features.
    pub fn stored_len(self, dim: usize) -> usize {
        match self {
            Self::Half => 2 * dim,
            Self::Bytes => UNIT + dim,
        }
    }

    /// Reads the output of [`Kept::to_bytes`]: features of unit length.
    pub fn unit(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::Half => {
                let (pairs, _) = bytes.as_chunks();
                pairs.iter().map(|pair| half::f16::from_le_bytes(*pair).to_f32()).collect()
            }
            Self::Bytes => {
                let (_, numbers) = split(bytes);
                unit(&numbers.collect::<Vec<f32>>()).collect()
            }
        }
    }

    /// Reads the output of [`Kept::to_bytes`]: features of their own length, which half-precision
    /// ones no longer have.
    pub fn full(self, bytes: &[u8]) -> Option<Vec<f32>> {
        let (step, numbers) = split(bytes);
        (self == Self::Bytes).then(|| numbers.map(|number| number * step).collect())
    }
}

/// Splits stored bytes into the number to multiply with, and the others.
fn split(bytes: &[u8]) -> (f32, impl Iterator<Item = f32> + '_) {
    let (step, bytes) = bytes.split_first_chunk::<UNIT>().unwrap_or((&[0; UNIT], &[]));
    (f32::from_le_bytes(*step), bytes.iter().map(|byte| f32::from(byte.cast_signed())))
}

/// Scales features to unit length; a zero vector stays as it is.
pub(super) fn unit(features: &[f32]) -> impl Iterator<Item = f32> + '_ {
    let norm = norm(features);
    let scale = if norm > 0.0 { norm.recip() } else { 0.0 };
    features.iter().map(move |x| x * scale)
}

/// Returns the cosine of a vector of unit length and any other; 0 if the other is zero.
pub(super) fn cosine(unit: &[f32], other: &[f32]) -> f32 {
    let product: f32 = unit.iter().zip(other).map(|(a, b)| a * b).sum();
    let norm = norm(other);
    if norm > 0.0 { product / norm } else { 0.0 }
}

fn norm(features: &[f32]) -> f32 {
    features.iter().map(|x| x * x).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_features_have_unit_length_and_zeros_stay() {
        for (kept, error) in [(Kept::Half, 1e-3), (Kept::Bytes, 4e-3)] {
            let read = |features: &[f32]| kept.unit(&kept.to_bytes(features));
            let back = read(&[3.0, 4.0]);
            assert!((back[0] - 0.6).abs() < error && (back[1] - 0.8).abs() < error, "{back:?}");
            assert!((cosine(&back, &[30.0, 40.0]) - 1.0).abs() < 1e-3);
            assert!(cosine(&back, &[-4.0, 3.0]).abs() < 2.0 * error);
            assert_eq!(read(&[0.0, 0.0]), [0.0, 0.0]);
            assert_eq!(cosine(&read(&[0.0, 0.0]), &[0.0, 0.0]), 0.0);
        }
        let bytes = Kept::Bytes.to_bytes(&[-25.4, 12.7]);
        assert_eq!(bytes[UNIT..], [129, 64]);
        let full = Kept::Bytes.full(&bytes).unwrap();
        assert!((full[0] + 25.4).abs() < 1e-5 && (full[1] - 12.7).abs() < 0.2, "{full:?}");
        assert_eq!(Kept::Half.full(&Kept::Half.to_bytes(&[3.0])), None);
        // A damaged row.
        assert_eq!(Kept::Bytes.full(&[1, 2]), Some(Vec::new()));
    }
}
