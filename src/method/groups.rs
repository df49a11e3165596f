/*!
Groups of training images with the same label set, and the similarity of groups by shared labels.
*/

use std::collections::HashMap;

use super::OneKind;

/// Training images grouped by their label sets, and the pairs of similar groups.
#[derive(Debug, Clone)]
pub struct Groups {
    /// The group of each image.
    of_image: Vec<usize>,
    /// Number of images in each group.
    sizes: Vec<usize>,
    /// For each group, the groups that share a label with it, including itself.
    similar: Vec<Vec<usize>>,
    /// The labels of each group.
    sets: Vec<Vec<u32>>,
}

impl Groups {
    /// Groups images by `labels`, ascending label lists.
    pub fn new(labels: &[Vec<u32>]) -> Self {
        let mut numbers: HashMap<&[u32], usize> = HashMap::new();
        let mut sets: Vec<&[u32]> = Vec::new();
        let mut sizes = Vec::new();
        let mut of_image = Vec::with_capacity(labels.len());
        for set in labels {
            let group = *numbers.entry(set).or_insert_with(|| {
                sets.push(set);
                sizes.push(0);
                sets.len() - 1
            });
            sizes[group] += 1;
            of_image.push(group);
        }
        let share = |a: &[u32], b: &[u32]| a.iter().any(|label| b.binary_search(label).is_ok());
        let similar =
            sets.iter().map(|a| (0..sets.len()).filter(|b| share(a, sets[*b])).collect()).collect();
        let sets = sets.into_iter().map(<[u32]>::to_vec).collect();
        Self { of_image, sizes, similar, sets }
    }

    /// Returns the number of images, N.
    pub fn images(&self) -> usize {
        self.of_image.len()
    }

    /// Returns the number of groups; with one label per image, the number of classes that occur.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.of_image.is_empty()
    }

    /// Returns the group of an image.
    pub fn of(&self, image: usize) -> usize {
        self.of_image[image]
    }

    /// Iterates over the labels of each group.
    pub fn label_sets(&self) -> impl Iterator<Item = &[u32]> {
        self.sets.iter().map(Vec::as_slice)
    }

    /// Returns the labels of an image.
    pub fn labels_of(&self, image: usize) -> &[u32] {
        &self.sets[self.of(image)]
    }

    /// Returns the labels that occur, ascending.
    pub fn classes(&self) -> Vec<u32> {
        let mut classes: Vec<u32> = self.label_sets().flatten().copied().collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Returns whether two images share a label.
    pub fn are_similar(&self, a: usize, b: usize) -> bool {
        self.similar[self.of(a)].binary_search(&self.of(b)).is_ok()
    }

    /// Returns the number of images that are similar to those of a group.
    pub(super) fn similar_images(&self, group: usize) -> usize {
        self.similar[group].iter().map(|g| self.sizes[*g]).sum()
    }

    /// Returns `r = n₊/n₋` over all pairs of a sampled and a training image.
    ///
    /// # Errors
    /// [`OneKind`] if no pair is dissimilar.
    pub fn ratio(&self, sample: &[usize]) -> Result<f32, OneKind> {
        let positive: usize = sample.iter().map(|i| self.similar_images(self.of(*i))).sum();
        match sample.len() * self.images() - positive {
            0 => Err(OneKind),
            negative => Ok((positive as f64 / negative as f64) as f32),
        }
    }

    /// Computes for each group `Σ S·row` over rows of `width` values that belong to `images`:
    /// `(1+r)·Σ_{similar} − r·Σ_{all}`, `[groups, width]`.
    pub(super) fn weighted(
        &self,
        rows: impl Iterator<Item = (usize, impl AsRef<[f32]>)>,
        width: usize,
        r: f32,
    ) -> Vec<f32> {
        let mut sums = vec![0.0f64; self.len() * width];
        for (image, row) in rows {
            let group = self.of(image);
            let sum = &mut sums[group * width..(group + 1) * width];
            sum.iter_mut().zip(row.as_ref()).for_each(|(s, v)| *s += f64::from(*v));
        }
        let mut total = vec![0.0f64; width];
        for sum in sums.chunks_exact(width) {
            total.iter_mut().zip(sum).for_each(|(t, s)| *t += s);
        }
        let r = f64::from(r);
        let mut out = Vec::with_capacity(sums.len());
        for similar in &self.similar {
            let mut near = vec![0.0f64; width];
            for group in similar {
                let sum = &sums[group * width..(group + 1) * width];
                near.iter_mut().zip(sum).for_each(|(n, s)| *n += s);
            }
            out.extend(near.iter().zip(&total).map(|(n, t)| ((1.0 + r) * n - r * t) as f32));
        }
        out
    }
}
