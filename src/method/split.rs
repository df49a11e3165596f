/*!
Codes whose bits are split: about half of them see the global features, and the rest, in equal
shares, the features of one part each. SEMICON and DAHNet.
*/

use std::ops::Range;

use burn::nn::Linear;
use burn::prelude::*;

use crate::hash::{HashError, LinearHash};

/// A split of bits between an image and its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Bits per code, c.
    pub bits: usize,
    /// Parts, M.
    pub parts: usize,
}

impl Split {
    /// Returns the bits of one part: c / 2M, rounded down.
    fn each(&self) -> usize {
        self.bits / (2 * self.parts).max(1)
    }

    /// Returns each block of features and the bits that see them: first the global features, which
    /// come last, then those of the parts. Blocks without bits are left out. `features` is the
    /// number of all features.
    fn blocks(&self, features: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let (width, each) = (features / (self.parts + 1), self.each());
        let global = self.bits - each * self.parts;
        let mut blocks = vec![(self.parts * width..features, 0..global)];
        blocks.extend((0..self.parts).map(|part| {
            let first = global + part * each;
            (part * width..(part + 1) * width, first..first + each)
        }));
        blocks.retain(|(_, bits)| !bits.is_empty());
        blocks
    }

    /// Hashes features `[batch, F]` by the blocks of a layer without bias. The rest of its weights
    /// has no effect.
    pub fn values(&self, linear: &Linear, features: Tensor<2>) -> Tensor<2> {
        let [_, width] = features.dims();
        let blocks = self.blocks(width).into_iter().map(|(seen, bits)| {
            let weight = linear.weight.val().slice([seen.clone(), bits]);
            features.clone().narrow(1, seen.start, seen.len()).matmul(weight)
        });
        Tensor::cat(blocks.collect(), 1)
    }

    /// Returns a hash with zeros outside the blocks.
    ///
    /// # Errors
    /// If a weight is not finite.
    pub fn hash(&self, linear: &LinearHash) -> Result<LinearHash, HashError> {
        let c = linear.bits();
        let mut projection = vec![0.0; linear.dim() * c];
        for (seen, bits) in self.blocks(linear.dim()) {
            for row in seen {
                let own = row * c + bits.start..row * c + bits.end;
                projection[own.clone()].copy_from_slice(&linear.projection()[own]);
            }
        }
        LinearHash::new(linear.mean().to_vec(), projection)?.with_bias(linear.bias().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{Features, Hash};
    use burn::module::Param;
    use burn::nn::LinearConfig;

    #[test]
    fn half_of_the_bits_are_global() {
        let of = |bits| Split { bits, parts: 3 }.blocks(40);
        let whole = of(48);
        assert_eq!(whole[0], (30..40, 0..24));
        assert_eq!(whole[1..], [(0..10, 24..32), (10..20, 32..40), (20..30, 40..48)]);
        assert_eq!(of(32)[0], (30..40, 0..17), "17 and 3 times 5, as published");
        assert_eq!(of(5), [(30..40, 0..5)]);
    }

    #[test]
    fn a_bit_sees_its_block_alone() {
        let device = Device::flex();
        let (split, features) = (Split { bits: 7, parts: 3 }, 8);
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 500.0 - 1.0;
        let weights: Vec<f32> = (0..features * 7).map(value).collect();
        let mut linear = LinearConfig::new(features, 7).with_bias(false).init(&device);
        let data = TensorData::new(weights.clone(), [features, 7]);
        linear.weight = Param::from_tensor(Tensor::from_data(data, &device));
        let rows: Vec<f32> = (100..100 + 3 * features).map(value).collect();
        let data = TensorData::new(rows.clone(), [3, features]);
        let ours = split.values(&linear, Tensor::from_data(data, &device));
        let ours = ours.into_data().try_into_vec::<f32>().unwrap();
        // Parts have features 0 to 5 in twos and bits 4 to 6; 6 and 7 are global.
        let block = |bit: usize| if bit < 4 { 6..8 } else { 2 * (bit - 4)..2 * (bit - 3) };
        for (k, found) in ours.iter().enumerate() {
            let (row, bit) = (&rows[k / 7 * features..], k % 7);
            let plain: f32 = block(bit).map(|i| row[i] * weights[i * 7 + bit]).sum();
            assert!((plain - found).abs() < 1e-5, "{k}: {found} instead of {plain}");
        }
        // The finished hash gives the same.
        let hash = LinearHash::new(vec![0.0; features], weights).unwrap();
        let hash = Hash::from(split.hash(&hash).unwrap());
        let theirs = hash.values(&Features { dim: features, values: &rows }).unwrap();
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
