/*!
The classes of training images, as targets of a cross entropy.
*/

use std::sync::Arc;

use burn::prelude::*;
use burn::tensor::activation::log_softmax;

use super::groups::Groups;

/// The classes of grouped training images.
#[derive(Debug, Clone)]
pub struct Classes {
    groups: Arc<Groups>,
    /// The labels that occur, ascending; those of held-out classes do not.
    labels: Vec<u32>,
}

impl Classes {
    /// Collects the classes of grouped images.
    pub fn new(groups: Arc<Groups>) -> Self {
        Self { labels: groups.classes(), groups }
    }

    /// Returns the number of classes.
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// Returns the share of each class in an image's labels, `[batch, classes]`.
    pub fn shares(&self, images: &[usize], device: &Device) -> Tensor<2> {
        let mut shares = vec![0.0; images.len() * self.count()];
        for (row, image) in shares.chunks_exact_mut(self.count().max(1)).zip(images) {
            let labels = self.groups.labels_of(*image);
            for label in labels {
                if let Ok(class) = self.labels.binary_search(label) {
                    row[class] = 1.0 / labels.len() as f32;
                }
            }
        }
        Tensor::from_data(TensorData::new(shares, [images.len(), self.count()]), device)
    }

    /// Computes the mean cross entropy of logits, `[batch, classes]`, averaged over the labels of
    /// an image.
    pub fn cross_entropy(&self, logits: Tensor<2>, images: &[usize]) -> Tensor<1> {
        let shares = self.shares(images, &logits.device());
        (log_softmax(logits, 1) * shares).sum().neg() / images.len() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{check_term, images};

    #[test]
    fn shares_are_those_of_an_images_labels() {
        let groups = Groups::new(&[vec![1], vec![3], vec![1, 3], vec![4]]);
        let found = Classes::new(Arc::new(groups)).shares(&[2, 0, 3], &Device::flex());
        let found = found.into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(found, [0.5, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_cross_entropy_is_the_plain_one() {
        let (labels, groups) = images();
        let classes = Classes::new(groups);
        assert_eq!(classes.count(), 3);
        let batch = [3, 0, 8, 1];
        check_term(
            &[[batch.len(), 3]],
            |inputs| classes.cross_entropy(inputs[0].clone(), &batch),
            |inputs| {
                let each = inputs[0].iter().zip(batch).map(|(row, image)| {
                    let sum: f64 = row.iter().map(|v| v.exp()).sum();
                    let of = |label: &u32| {
                        let class = [0, 2, 5].iter().position(|known| known == label).unwrap();
                        -(row[class].exp() / sum).ln()
                    };
                    labels[image].iter().map(of).sum::<f64>() / labels[image].len() as f64
                });
                each.sum::<f64>() / batch.len() as f64
            },
        );
    }
}
