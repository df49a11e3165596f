/*!
Plume, Barbule's own method: class centres with a similarity-preserving loss, on features of the
trained and the pretrained layers, and a hash fitted to the finished features.

Class centres do best on classes in the training data and poorly on others: their bits tell which
known class an image resembles, and little else. Plume adds three things that keep information
about other classes, and training costs as much as with class centres alone. They were chosen on
classes and images that were held out of training; `docs/RESULTS.md` reports the effect of each.

- A loss term makes codes as similar as the features that they come from.
- The hash takes two features of the image, each of length 1: those of the trained and those of
  the pretrained layers.
- After training, the hash is fitted again in closed form. Long codes use discriminant directions
  of strongly shrunk covariances, rotated by ITQ; these keep the distances between classes and so
  leave room between them. Short codes cannot hold as many directions as the classes need and use
  a regression to the class centres.
*/

use std::sync::Arc;

use burn::prelude::*;
use faer::Mat;

use super::definition::{Additions, LearnedMethod, Method, Start};
use super::groups::Groups;
use super::learner::{Learner, Moment, Seen};
use super::linalg::{self, Cholesky};
use super::orthohash::{self, OrthoHash};
use super::settings::{MethodOption, Settings};
use super::setup::Trained;
use super::space::{Block, KernelOptions, Space};
use super::{MethodError, centres, fit, klda, lda, words};
use crate::hash::codebooks::WORD_BITS;
use crate::hash::{Features, Hash, LinearHash};
use crate::network::Layers;
use crate::task::Task;

/// The method `plume`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    compares_images: true,
    ..Method::learned(
        "plume",
        &[
            "Barbule's own: class centres on features of trained and pretrained",
            "layers, then a hash fitted to the finished features",
        ],
        "Barbule",
        |settings, trained| Ok(Box::new(Chosen { options: Options::new(settings), trained })),
    )
};

/// The method `plume-words`.
pub static WORDS: Method = Method {
    bits_multiple: WORD_BITS,
    ..Method {
        options: &WORD_OPTIONS,
        compares_images: true,
        ..Method::learned(
            "plume-words",
            &["plume, whose codes are words of discriminant directions, as those of lda-words"],
            "Barbule",
            |settings, trained| {
                let words = Some(WordOptions::new(settings)?);
                let options = Options { words, shrinkage: None, ..Options::new(settings) };
                Ok(Box::new(Chosen { options, trained }))
            },
        )
    }
};

const LIKENESS: MethodOption = MethodOption::number(
    "likeness",
    "W",
    "1",
    "Weight of the loss that makes codes as similar as their features",
);
static WORD_OPTIONS: [MethodOption; 5] = [
    LIKENESS,
    MethodOption {
        help: "Shrinkage of the covariances of the pretrained layers' features within classes, \
               above 0 and up to 1: lower values suit known classes, higher values new ones",
        ..words::SHRINKAGE
    },
    MethodOption {
        help: "Number of training images that serve as anchors of the kernel of the pretrained \
               layers' features; 0 for none, which makes the model smaller",
        ..klda::ANCHORS
    },
    klda::WIDTH,
    MethodOption::number(
        "original",
        "W",
        "1.5",
        "Weight of the pretrained layers' features beside the trained ones: higher values suit new \
         classes",
    ),
];
static OPTIONS: [MethodOption; 2] = [
    LIKENESS,
    MethodOption::number(
        "shrinkage",
        "SHARE",
        "0.7; 0.3 if only the hash is trained",
        "Shrinkage of the covariances within classes when the hash is fitted, above 0 and up to 1: \
         lower values suit known classes, higher values new ones",
    ),
];

/// Shrinkage of the covariances of trained features within classes, where codes are words.
const TRAINED_SHRINKAGE: f64 = 0.95;

/// The space of words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WordOptions {
    /// Anchors, width and shrinkage of the pretrained layers' features; without anchors, their
    /// space has no kernel.
    pub original: klda::Options,
    /// Weight of their coordinates beside those of the trained features.
    pub weight: f64,
}

impl WordOptions {
    fn new(settings: &Settings) -> Result<Self, MethodError> {
        let original = klda::Options::with_or_without(settings, lda::SHRINKAGE_OF_WORDS)?;
        let weight = settings.number("original").unwrap_or(1.5);
        if weight.is_finite() && weight > 0.0 {
            Ok(Self { original, weight })
        } else {
            Err(MethodError::Option { name: "original", value: weight.to_string() })
        }
    }

    /// The kernel, if any.
    fn kernel(&self) -> Option<KernelOptions> {
        let klda::Options { anchors, width, .. } = self.original;
        (anchors > 0).then_some(KernelOptions { anchors, width })
    }
}

/// The options and constants of Plume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The scale and margin of the cosine to class centres.
    pub centres: orthohash::Options,
    /// Weight of the loss that makes codes as similar as their features.
    pub likeness: f32,
    /// Shrinkage of the covariances within classes towards equal variances, γ of [`lda::fit`];
    /// `None` for 0.7, or 0.3 if the network is not trained.
    pub shrinkage: Option<f64>,
    /// The space of words, if codes are words instead of signs.
    pub words: Option<WordOptions>,
    /// Ridge of the regression to class centres, in units of the mean variance of a feature.
    pub ridge: f64,
}

impl Options {
    fn new(settings: &Settings) -> Self {
        let usual = Self::default();
        Self {
            likeness: settings.single("likeness").unwrap_or(usual.likeness),
            shrinkage: settings.number("shrinkage"),
            ..usual
        }
    }
}

/// The options, and the trained part of the network.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    options: Options,
    trained: Trained,
}

impl LearnedMethod for Chosen {
    fn additions(&self) -> Additions {
        // Without trained layers, both features are the same.
        let layers = Layers { original: self.trained != Trained::Head, ..Layers::default() };
        Additions { layers, ..Additions::default() }
    }

    fn learner(&self, Start { groups, bits, seed, .. }: Start) -> Box<dyn Learner> {
        let frozen = self.trained == Trained::Head;
        Box::new(Plume::new(groups, bits, seed, frozen, self.options))
    }
}

impl Default for Options {
    fn default() -> Self {
        let centres = orthohash::Options::default();
        Self { centres, likeness: 1.0, shrinkage: None, words: None, ridge: 1.0 }
    }
}

/// The training state of Plume.
#[derive(Debug)]
pub struct Plume {
    groups: Arc<Groups>,
    bits: usize,
    seed: u64,
    options: Options,
    shrinkage: f64,
    frozen: bool,
    centres: OrthoHash,
}

impl Plume {
    /// Creates the learner for grouped training images. `frozen` means that only the hash is
    /// trained.
    pub fn new(
        groups: Arc<Groups>,
        bits: usize,
        seed: u64,
        frozen: bool,
        options: Options,
    ) -> Self {
        let centres = OrthoHash::new(groups.clone(), bits, seed, options.centres);
        let shrinkage = options.shrinkage.unwrap_or(if frozen { 0.3 } else { 0.7 });
        Self { groups, bits, seed, options, shrinkage, frozen, centres }
    }

    /// Fits the space of words: one of the trained and one of the pretrained layers' features, which
    /// has a kernel if there are anchors, joined; if nothing is trained, one of all features.
    ///
    /// A trained network hardly lets its own training images vary within their classes, so
    /// discriminant directions of its features keep little that other classes need.
    ///
    /// mAP of a NumPy prototype on trained features (classes held out of Grocery, two
    /// draws, 128 bits), known classes of validation queries, unseen classes of training images in
    /// forms A and B: one space of all features with γ = 0.7 0.813, 0.413 and 0.687; two spaces
    /// 0.824, 0.543 and 0.752. By the cosine of coordinates, weights of 1, 1.5 and 2.2 give 0.820 and
    /// 0.488 (A), 0.820 and 0.513, 0.804 and 0.520.
    fn space(
        &self,
        options: WordOptions,
        features: Features<'_>,
        labels: &[Vec<u32>],
    ) -> Result<Space, MethodError> {
        let (shrinkage, kernel) = (options.original.shrinkage, options.kernel());
        if self.frozen {
            return match kernel {
                None => Space::linear(features, labels, shrinkage),
                Some(kernel) => Space::kernel(features, labels, shrinkage, kernel, self.seed),
            };
        }
        let half = features.dim / 2;
        let trained =
            Block { features: half, shrinkage: TRAINED_SHRINKAGE, weight: 1.0, kernel: None };
        let original = Block { features: half, shrinkage, weight: options.weight, kernel };
        Space::joined(features, labels, [trained, original], self.seed)
    }

    /// Fits the ridge regression of class centres on the features: `(XᵀX/N + ρτ·I)⁻¹·XᵀT/N`. X are
    /// the centred features, τ is the mean variance of a feature, and T are the centres of the
    /// images, minus their mean.
    fn regression(&self, features: Features<'_>) -> Result<LinearHash, MethodError> {
        let mean = linalg::mean(features);
        let mut gram = linalg::covariance(features, &mean, &vec![1.0; features.len()]);
        let ridge = self.options.ridge * linalg::trace(gram.as_ref()) / features.dim as f64;
        gram.diagonal_mut().column_vector_mut().iter_mut().for_each(|value| *value += ridge);
        let drawn = centres::centres(self.groups.classes().len(), self.bits, self.seed);
        let targets = centres::of_groups(&self.groups, &drawn, self.bits);
        // The views of all images follow each other.
        let group = |row: usize| self.groups.of(row % self.groups.images());
        let target = |row: usize, bit: usize| f64::from(targets[group(row) * self.bits + bit]);
        let targets = Mat::from_fn(features.len(), self.bits, target);
        let right = linalg::cross_covariance(features, &mean, targets.as_ref());
        fit::hash(&mean, Cholesky::new(gram.as_ref())?.solve(right).as_ref())
    }
}

/// Returns the cosines of all pairs of rows after subtracting the mean row, `[b, b]`.
fn cosines(rows: Tensor<2>) -> Tensor<2> {
    let rows = rows.clone() - rows.mean_dim(0);
    let length = ((rows.clone() * rows.clone()).sum_dim(1) + 1e-12).sqrt();
    let rows = rows / length;
    rows.clone().matmul(rows.transpose())
}

impl Learner for Plume {
    fn activate(&self, values: Tensor<2>, _: Moment) -> Tensor<2> {
        values.tanh()
    }

    /// The loss of OrthoHash, plus the mean squared difference between the cosines of codes and
    /// those of features over all pairs, both centred. The gradient of the second term reaches the
    /// network only through the codes.
    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        let off = cosines(seen.codes.clone()) - cosines(seen.features).detach();
        let likeness = (off.clone() * off).mean() * self.options.likeness;
        self.centres.of(seen.codes, seen.images) + likeness
    }

    fn refits(&self) -> bool {
        true
    }

    fn refit(
        &self,
        features: Features<'_>,
        labels: &[Vec<u32>],
    ) -> Result<Option<Hash>, MethodError> {
        if let Some(options) = self.options.words {
            let space = self.space(options, features, labels)?;
            let task = Task::unwatched();
            let hash = words::fit(space, self.bits, words::Kind::Residual, self.seed, &task)?;
            return Ok(Some(hash));
        }
        let directions = self.groups.classes().len().saturating_sub(1);
        let hash = if 2 * self.bits >= directions {
            let task = Task::unwatched();
            lda::fit(features, labels, self.bits, self.shrinkage, self.seed, &task)?
        } else {
            self.regression(features)?
        };
        Ok(Some(hash.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::oracle::{Rows, check, dot, images};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_loss_is_that_of_plain_loops() {
        let (labels, groups) = images();
        let batch = [0, 1, 3, 4, 8];
        let at = Moment { progress: 0.0, epoch: 0, epochs: 1 };
        // With scale 0, class centres give log 3 for three classes and no gradient. `orthohash.rs`
        // tests other scales against plain loops.
        let centres = orthohash::Options { scale: 0.0, margin: 0.0 };
        let options = Options { likeness: 2.0, centres, ..Options::default() };
        let plume = Plume::new(groups, 6, 3, false, options);
        let centred = |rows: &Rows| -> Rows {
            let mean = |k: usize| rows.iter().map(|row| row[k]).sum::<f64>() / rows.len() as f64;
            rows.iter().map(|row| (0..row.len()).map(|k| row[k] - mean(k)).collect()).collect()
        };
        // The features of this test are 0, so the target similarity of codes is 0.
        check(&plume, (&labels, &batch), 6, at, false, |u, _, _| {
            let rows = centred(u);
            let cosine = |a: &[f64], b: &[f64]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            let all = rows.iter().flat_map(|a| rows.iter().map(move |b| cosine(a, b).powi(2)));
            3f64.ln() + 2.0 * all.sum::<f64>() / 25.0
        });
    }

    #[test]
    fn words_are_fitted_to_both_halves_of_the_features() {
        let set = crate::method::planted::planted(6, 20, 24, 1.0, 3);
        let groups = Arc::new(Groups::new(&set.labels));
        for anchors in [0, 50] {
            let original = klda::Options { anchors, ..klda::Options::default() };
            let words = Some(WordOptions { original, weight: 1.5 });
            let options = Options { words, ..Options::default() };
            for frozen in [true, false] {
                let plume = Plume::new(groups.clone(), 16, 1, frozen, options);
                let hash = plume.refit(set.features(), &set.labels).unwrap().unwrap();
                let books = hash.codebooks().unwrap();
                assert_eq!((hash.bits(), books.count(), hash.dim()), (16, 4, 24));
                let kernel = hash.kernel().map(|kernel| (kernel.plain(), kernel.count()));
                let plain = if frozen { 0 } else { 12 };
                assert_eq!(kernel, (anchors > 0).then_some((plain, anchors)));
                // Directions of joined spaces see one half of the features each.
                let (projection, dim) = (hash.linear().projection(), books.dim());
                let sees = |input: usize, value: usize| projection[input * dim + value] != 0.0;
                assert!(sees(0, 0) && sees(20, dim - 1));
                assert_eq!(sees(20, 0), frozen);
            }
        }
    }

    #[test]
    fn few_bits_follow_centres_and_many_follow_directions() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (classes, per, dim) = (12, 10, 20);
        let means: Vec<f32> = (0..classes * dim).map(|_| rng.random_range(-1.0..1.0)).collect();
        let labels: Vec<Vec<u32>> = (0..classes * per).map(|i| vec![(i / per) as u32]).collect();
        let near = |i: usize, rng: &mut ChaCha8Rng| -> Vec<f32> {
            let mean = &means[i / per * dim..][..dim];
            mean.iter().map(|m| m + rng.random_range(-0.2..0.2f32)).collect()
        };
        let values: Vec<f32> = (0..classes * per).flat_map(|i| near(i, &mut rng)).collect();
        let features = Features { dim, values: &values };
        let groups = Arc::new(Groups::new(&labels));
        for bits in [5, 8, 16] {
            let plume = Plume::new(groups.clone(), bits, 1, false, Options::default());
            let hash = plume.refit(features, &labels).unwrap().unwrap();
            let codes = hash.encode(&features).unwrap();
            let distance = |a: usize, b: usize| {
                crate::code::BinaryCodes::distance(codes.row(a), codes.row(b)) as f64
            };
            let mean = |same: bool| {
                let pairs = (0..labels.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
                let of: Vec<f64> = pairs
                    .filter(|(i, j)| (labels[*i] == labels[*j]) == same)
                    .map(|(i, j)| distance(i, j))
                    .collect();
                of.iter().sum::<f64>() / of.len() as f64
            };
            assert!(mean(true) < 0.25 * mean(false), "{bits} bits: {} {}", mean(true), mean(false));
        }
    }
}
