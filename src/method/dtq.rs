/*!
DTQ: a triplet loss (an image is nearer to one of its class than to one of another class), and codes
of words whose sum approximates the image's values.

After Liu, Cao, Long, Wang and Wang, "Deep Triplet Quantization" (ACM Multimedia 2018). The paper
draws its "group hard" triplets within groups of images, from negatives that violate the margin.
Here a group is a mini-batch, so that distances are those of the current network, and the nearest
such negative is taken instead of a random one (in expectation a random one gives 0.573, the nearest
0.596; Grocery, validation split, 48 bits, frozen trunk, margin 0.25). The weak orthogonality of
codebooks is left out: all words are solved for jointly, which accounts for what they share.

Values pass through no tanh. Words may lie anywhere, so a cube has no advantage, and without a tanh
the distances stay linear in the features.
*/

use std::sync::Arc;

use burn::prelude::*;
use burn::tensor::activation::relu;

use super::OneKind;
use super::definition::{LearnedMethod, Method, Start};
use super::groups::Groups;
use super::learner::{Batches, Learner, Moment, Seen};
use super::pairs::squared_distances;
use super::settings::{MethodOption, Settings};
use super::word_solver;
use crate::hash::codebooks::WORD_BITS;
use crate::hash::{Codebooks, Hash, HashError, LinearHash, Quantizer};

/// Rounds of choosing and solving for the first codebooks.
const FIRST_TURNS: usize = 8;
/// Rounds after each later sample; fewer, because the network has changed little.
const TURNS: usize = 2;
/// Greater than any distance.
const FAR: f32 = 1e9;

/// The method `dtq`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    compares_images: true,
    bits_multiple: WORD_BITS,
    ..Method::learned(
        "dtq",
        &[
            "a network, trained with triplets and codebooks; `eval` and `compare`",
            "measure its codes, but no index can store them",
        ],
        "Liu, Cao, Long, Wang and Wang, \"Deep Triplet Quantization\", ACM Multimedia 2018",
        |settings, _| Ok(Box::new(Options::new(settings))),
    )
};

static OPTIONS: [MethodOption; 2] = [
    MethodOption::number(
        "margin",
        "M",
        "0.1",
        "Margin between the distances to an image of another class and to one of the same \
         class: squared distance per bit",
    ),
    MethodOption::number(
        "word-weight",
        "W",
        "0.03",
        "Weight of the squared distance between an image and the sum of its words",
    ),
];

/// The options of DTQ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Margin between the distances to an image of another class and to one of the same class:
    /// squared distance per component.
    pub margin: f32,
    /// Weight of the squared distance to the sum of an image's words.
    pub quantization: f32,
}

impl Options {
    fn new(settings: &Settings) -> Self {
        let usual = Self::default();
        Self {
            margin: settings.single("margin").unwrap_or(usual.margin),
            quantization: settings.single("word-weight").unwrap_or(usual.quantization),
        }
    }
}

impl Default for Options {
    /// Chosen on Grocery's validation split with a frozen trunk, mean mAP of four seeds, which
    /// differ by 0.01 to 0.02, at 12 and 48 bits. Margin 0.03 gives 0.498 and 0.593, 0.06 0.515 and
    /// 0.602, 0.1 0.521 and 0.603, 0.15 0.516 and 0.603. With margin 0.1, weight 0 gives 0.511 and
    /// 0.606, 0.1 0.511 and 0.597, 0.3 0.490 and 0.581. With so few images, quantization hardly
    /// matters unless it restrains the values.
    fn default() -> Self {
        Self { margin: 0.1, quantization: 0.03 }
    }
}

impl LearnedMethod for Options {
    fn learner(&self, start: Start) -> Box<dyn Learner> {
        Box::new(Dtq::new(start.groups, start.bits, start.seed, *self))
    }
}

/// The training state of DTQ.
#[derive(Debug)]
pub struct Dtq {
    groups: Arc<Groups>,
    options: Options,
    bits: usize,
    seed: u64,
    /// Values of the current sample, `[m, c]`.
    u: Vec<f32>,
    /// `None` until the end of the first sample.
    codebooks: Option<Codebooks>,
}

impl Dtq {
    /// Creates the learner for grouped training images. The first codebooks depend on the seed.
    pub fn new(groups: Arc<Groups>, bits: usize, seed: u64, options: Options) -> Self {
        Self { groups, options, bits, seed, u: Vec::new(), codebooks: None }
    }

    /// Returns the codebooks; `None` before the end of the first sample.
    pub fn codebooks(&self) -> Option<&Codebooks> {
        self.codebooks.as_ref()
    }

    /// Computes the mean of `[margin + D(anchor, positive) − D(anchor, nearest negative)]₊` over
    /// all pairs of an anchor and a positive. D is the squared distance over c.
    fn triplets(&self, u: &Tensor<2>, images: &[usize]) -> Tensor<1> {
        let b = images.len();
        let (mut positive, mut away) = (vec![0.0f32; b * b], vec![FAR; b * b]);
        let mut pairs = 0usize;
        for (i, image) in images.iter().enumerate() {
            let similar: Vec<bool> =
                images.iter().map(|other| self.groups.are_similar(*image, *other)).collect();
            // Without a negative there is no triplet.
            let contrast = similar.contains(&false);
            for (j, similar) in similar.into_iter().enumerate() {
                match similar {
                    false => away[i * b + j] = 0.0,
                    true if i != j && contrast => {
                        positive[i * b + j] = 1.0;
                        pairs += 1;
                    }
                    true => {}
                }
            }
        }
        let device = u.device();
        let mask = |values| Tensor::<2>::from_data(TensorData::new(values, [b, b]), &device);
        let distances = squared_distances(u.clone()) / self.bits as f32;
        let nearest = (distances.clone() + mask(away)).min_dim(1);
        let wanting = relu(distances - nearest + self.options.margin);
        (wanting * mask(positive)).sum() / pairs.max(1) as f32
    }

    /// Returns the sums of the words that the current values choose.
    fn sums(&self, u: &Tensor<2>) -> Option<Tensor<2>> {
        let codebooks = self.codebooks.as_ref()?;
        // If the device fails here, reading the loss fails too and reports the error.
        let values = u.clone().inner().try_into_data().ok()?.try_into_vec::<f32>().ok()?;
        let rows = values.chunks_exact(self.bits);
        let sums = rows.flat_map(|row| codebooks.sum(&codebooks.choose(row)));
        let data = TensorData::new(sums.collect::<Vec<f32>>(), u.dims());
        Some(Tensor::from_data(data, &u.device()))
    }
}

impl Learner for Dtq {
    fn batches(&self, _: Moment) -> Batches {
        Batches::Grouped(4)
    }

    fn begin(&mut self, sample: &[usize], fresh: bool) -> Result<(), OneKind> {
        if fresh || self.u.len() != sample.len() * self.bits {
            self.u = vec![0.0; sample.len() * self.bits];
        }
        Ok(())
    }

    fn activate(&self, values: Tensor<2>, _: Moment) -> Tensor<2> {
        values
    }

    /// The triplet loss, plus the weighted mean of (u − Σ C b)² once there are codebooks.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let u = seen.codes;
        let loss = self.triplets(&u, seen.images);
        if self.options.quantization <= 0.0 {
            return loss;
        }
        let Some(sums) = self.sums(&u) else { return loss };
        let off = u - sums;
        loss + (off.clone() * off).mean() * self.options.quantization
    }

    fn saw(&mut self, rows: &[usize], codes: &[f32]) {
        for (row, code) in rows.iter().zip(codes.chunks_exact(self.bits)) {
            self.u[row * self.bits..(row + 1) * self.bits].copy_from_slice(code);
        }
    }

    fn end(&mut self, _: &[usize]) {
        let (begun, turns) = match self.codebooks.take() {
            Some(codebooks) => (Some(codebooks), TURNS),
            None => {
                let count = self.bits / WORD_BITS;
                (word_solver::first(&self.u, self.bits, count, self.seed).ok(), FIRST_TURNS)
            }
        };
        // If no words fit the values, the loss becomes NaN or infinite in the next step; until then
        // the codebooks stay unchanged.
        self.codebooks =
            begun.map(|begun| word_solver::learn(begun.clone(), &self.u, turns).unwrap_or(begun));
    }

    /// Returns the quantizer with the codebooks, or an error if no words fit the values.
    fn hash(&self, linear: LinearHash) -> Result<Hash, HashError> {
        let codebooks = self.codebooks.clone().ok_or(HashError::NotFinite)?;
        Ok(Quantizer::new(linear, codebooks)?.into())
    }

    fn state(&self) -> Vec<Vec<f32>> {
        let words = self.codebooks.as_ref().map(|codebooks| codebooks.words().to_vec());
        vec![words.unwrap_or_default(), self.u.clone()]
    }

    fn restore(&mut self, state: Vec<Vec<f32>>) -> bool {
        let Ok([words, u]) = <[Vec<f32>; 2]>::try_from(state) else { return false };
        let codebooks = if words.is_empty() {
            None
        } else {
            let codebooks = Codebooks::new(self.bits, words).ok();
            let Some(codebooks) = codebooks.filter(|books| books.bits() == self.bits) else {
                return false;
            };
            Some(codebooks)
        };
        if !u.len().is_multiple_of(self.bits) {
            return false;
        }
        (self.codebooks, self.u) = (codebooks, u);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::codebooks::tests::{codebooks, values};
    use crate::method::oracle::{Rows, check, images, mean, similar};

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
    }

    /// The triplet loss by its definition.
    fn triplets(u: &Rows, labels: &[Vec<u32>], margin: f64) -> f64 {
        let mut terms = Vec::new();
        for i in 0..u.len() {
            let others = (0..u.len()).filter(|j| *j != i);
            let (same, other): (Vec<usize>, Vec<usize>) =
                others.partition(|j| similar(&labels[i], &labels[*j]));
            let nearest = other.iter().map(|n| distance(&u[i], &u[*n])).reduce(f64::min);
            let Some(nearest) = nearest else { continue };
            terms
                .extend(same.iter().map(|p| (margin + distance(&u[i], &u[*p]) - nearest).max(0.0)));
        }
        mean(terms.into_iter())
    }

    #[test]
    fn the_loss_is_that_of_plain_loops() {
        let (labels, groups) = images();
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        let options = Options { margin: 0.3, quantization: 0.7 };
        let mut learner = Dtq::new(groups.clone(), 8, 1, options);
        let whole = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        // Without codebooks, and with a batch in which some image has no negative.
        for batch in [&whole[..], &[0, 3, 8], &[0, 2, 5]] {
            check(&learner, (&labels, batch), 8, at, false, |u, _, labels| {
                triplets(u, labels, 0.3)
            });
        }
        // A single codebook, so that the nearest word is unambiguous.
        learner = Dtq::new(groups, 4, 1, options);
        learner.codebooks = Some(codebooks(4, 2));
        let words = learner.codebooks.as_ref().unwrap().words().to_vec();
        let words: Rows =
            words.chunks(4).map(|word| word.iter().map(|v| f64::from(*v)).collect()).collect();
        check(&learner, (&labels, &whole), 4, at, false, |u, _, labels| {
            let off = u
                .iter()
                .map(|u| words.iter().map(|word| distance(u, word)).reduce(f64::min).unwrap());
            triplets(u, labels, 0.3) + 0.7 * mean(off)
        });
    }

    #[test]
    fn images_of_one_kind_have_no_loss() {
        let groups = Arc::new(Groups::new(&[vec![1], vec![1], vec![2]]));
        let learner = Dtq::new(groups, 4, 1, Options::default());
        let codes = Tensor::<2>::from_data([[1.0, 2.0, 3.0, 4.0], [0.0; 4]], &Device::flex());
        let features = codes.clone();
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        let loss = learner.loss(Seen { images: &[0, 1], codes, features, twice: None, at });
        assert_eq!(loss.into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn codebooks_follow_the_values_and_come_back_from_a_checkpoint() {
        let (_, groups) = images();
        let new = || Dtq::new(groups.clone(), 8, 3, Options::default());
        let mut learner = new();
        let sample: Vec<usize> = (0..9).collect();
        learner.begin(&sample, true).unwrap();
        assert!(learner.codebooks().is_none());
        learner.saw(&sample, &values(9 * 8, 1));
        let mut early = new();
        assert!(early.restore(learner.state()));
        early.begin(&sample, false).unwrap();
        for learner in [&mut learner, &mut early] {
            learner.end(&sample);
            learner.begin(&sample, true).unwrap();
            learner.saw(&sample, &values(9 * 8, 2));
        }
        assert_eq!(learner.codebooks(), early.codebooks());
        let first = learner.codebooks().unwrap().clone();
        let mut late = new();
        assert!(late.restore(learner.state()));
        late.begin(&sample, false).unwrap();
        late.end(&sample);
        learner.end(&sample);
        assert_eq!(learner.codebooks(), late.codebooks());
        assert!(learner.codebooks() != Some(&first), "the second sample moves the words");
        for state in [vec![], vec![vec![0.0; 3], vec![]], vec![vec![], vec![0.0; 9]]] {
            assert!(!new().restore(state));
        }
        assert!(!new().restore(vec![vec![f32::NAN; 256], vec![]]));
    }
}
