/*!
Kept features: vectors of unit length in half precision, compared by their cosine.
*/

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

/// Returns features, scaled to unit length, as little-endian half-precision numbers.
pub(super) fn to_bytes(features: &[f32]) -> Vec<u8> {
    unit(features).flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect()
}

/// Reads the output of [`to_bytes`].
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    let number = |b: &[u8]| half::f16::from_le_bytes([b[0], b[1]]).to_f32();
    bytes.chunks_exact(2).map(number).collect()
}

fn norm(features: &[f32]) -> f32 {
    features.iter().map(|x| x * x).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_features_have_unit_length_and_zeros_stay() {
        let kept = from_bytes(&to_bytes(&[3.0, 4.0]));
        assert!((kept[0] - 0.6).abs() < 1e-3 && (kept[1] - 0.8).abs() < 1e-3, "{kept:?}");
        assert!((cosine(&kept, &[30.0, 40.0]) - 1.0).abs() < 1e-3);
        assert!(cosine(&kept, &[-4.0, 3.0]).abs() < 1e-3);
        assert_eq!(from_bytes(&to_bytes(&[0.0, 0.0])), [0.0, 0.0]);
        assert_eq!(cosine(&kept, &[0.0, 0.0]), 0.0);
    }
}
