/*!
Cross entropy of codes with one vector per class: fixed codes, or running means of the class's codes.
*/

use burn::prelude::*;
use burn::tensor::activation::log_softmax;

/// The constants of the cross entropy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Softmax {
    /// Scale of the cosines.
    pub scale: f32,
    /// Margin by which the cosine with the own class must exceed the others.
    pub margin: f32,
}

impl Softmax {
    /// Computes the cross entropy of `scale · (cos(u, proxy) − margin if it is the own class)`,
    /// averaged over the labels of an image, then over images.
    ///
    /// `u` is `[batch, c]`, `proxies` `[classes, c]` of length 1 (or 0 for a class whose vector is
    /// not known yet), `shares` `[batch, classes]` from [`Classes::shares`](super::classes::Classes::shares).
    pub fn loss(self, u: Tensor<2>, proxies: Tensor<2>, shares: Tensor<2>) -> Tensor<1> {
        let [batch, _] = u.dims();
        let length = ((u.clone() * u.clone()).sum_dim(1) + 1e-12).sqrt();
        let cosine = (u / length).matmul(proxies.transpose());
        let own = shares.clone().greater_elem(0.0).float();
        let logits = (cosine - own * self.margin) * self.scale;
        (log_softmax(logits, 1) * shares).sum().neg() / batch as f32
    }
}

/// Running means of the codes of each class, each code scaled to length 1.
#[derive(Debug, Clone)]
pub struct ClassMeans {
    /// The classes, ascending.
    classes: Vec<u32>,
    bits: usize,
    /// Weight of a new code.
    rate: f32,
    /// `[classes, c]`; 0 for a class without codes yet.
    means: Vec<f32>,
}

impl ClassMeans {
    /// Creates means without codes.
    pub fn new(classes: Vec<u32>, bits: usize, rate: f32) -> Self {
        let means = vec![0.0; classes.len() * bits];
        Self { classes, bits, rate, means }
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Adds a code of an image with these labels. The first code of a class becomes its mean.
    pub fn add(&mut self, labels: &[u32], code: &[f32]) {
        let length = code.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
        for label in labels {
            let Ok(class) = self.classes.binary_search(label) else { continue };
            let mean = &mut self.means[class * self.bits..(class + 1) * self.bits];
            let rate = if mean.iter().all(|v| *v == 0.0) { 1.0 } else { self.rate };
            for (mean, value) in mean.iter_mut().zip(code) {
                *mean += rate * (value / length - *mean);
            }
        }
    }

    /// Returns the means scaled to length 1, `[classes, c]`; 0 for a class without codes.
    pub fn units(&self, device: &Device) -> Tensor<2> {
        let rows = self.means.chunks_exact(self.bits.max(1)).flat_map(|mean| {
            let length = mean.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
            mean.iter().map(move |v| v / length)
        });
        let data = TensorData::new(rows.collect(), [self.classes.len(), self.bits]);
        Tensor::from_data(data, device)
    }

    /// Returns the means for a checkpoint.
    pub fn state(&self) -> Vec<f32> {
        self.means.clone()
    }

    /// Restores a [`ClassMeans::state`]; returns `false` if it does not match.
    pub fn restore(&mut self, means: Vec<f32>) -> bool {
        let fits = means.len() == self.means.len();
        if fits {
            self.means = means;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_follow_the_codes_of_their_class() {
        let mut means = ClassMeans::new(vec![2, 5], 2, 0.25);
        means.add(&[2], &[3.0, 4.0]);
        assert_eq!(means.state(), [0.6, 0.8, 0.0, 0.0]);
        means.add(&[2, 5, 7], &[0.0, -2.0]);
        let expected = [0.45, 0.35, 0.0, -1.0];
        means.state().iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
        let units = means.units(&Device::flex()).into_data().try_into_vec::<f32>().unwrap();
        assert!((units[0].hypot(units[1]) - 1.0).abs() < 1e-6 && units[2..] == [0.0, -1.0]);
        let mut other = ClassMeans::new(vec![2, 5], 2, 0.25);
        assert!(other.restore(means.state()) && other.state() == means.state());
        assert!(!other.restore(vec![0.0]));
    }
}
