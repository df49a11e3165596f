/*!
LDA+ITQ: discriminant directions, and signs along rotations of them.

The directions are those of [`super::discriminant`], the rotations those of [`super::favour`].
*/

use super::definition::{FitInput, FittedMethod, Method};
use super::discriminant::{self, Length, Scatter};
use super::favour::{self, Favour};
use super::fit::check_fit;
use super::settings::{MethodOption, Settings};
use super::space::Space;
use super::{MethodError, itq, linalg};
use crate::hash::{Features, Hash, LinearHash};
use crate::task::Task;

/// The method `lda-itq`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    ..Method::fitted(
        "lda-itq",
        &["linear discriminant analysis, then signs along learned or random rotations"],
        "Fisher 1936 and Rao 1948; Friedman, \"Regularized discriminant analysis\", JASA 1989; ITQ",
        |settings| Ok(Box::new(LdaItq::new(settings))),
    )
};

static OPTIONS: [MethodOption; 2] = [
    favour::OPTION,
    MethodOption::number(
        "shrinkage",
        "SHARE",
        "0.1; 0.3 to favour new classes",
        "Shrinkage of the covariances within classes, above 0 and up to 1: lower values suit known \
         classes, higher values new ones",
    ),
];

/// The options of LDA+ITQ.
#[derive(Debug, Clone, Copy)]
struct LdaItq {
    favour: Favour,
    shrinkage: f64,
}

impl LdaItq {
    fn new(settings: &Settings) -> Self {
        let favour = Favour::of(settings);
        let usual = if favour == Favour::New { SHRINKAGE_OF_WORDS } else { SHRINKAGE };
        Self { favour, shrinkage: settings.number("shrinkage").unwrap_or(usual) }
    }
}

impl FittedMethod for LdaItq {
    fn fit(&self, input: FitInput<'_>, task: &Task<'_>) -> Result<Hash, MethodError> {
        let FitInput { features, labels, bits, seed } = input;
        check_fit(features, bits, 2)?;
        let space = Space::linear(features, labels, self.shrinkage)?;
        let directions = self.favour.directions(space.rows(), bits, seed, task)?;
        space.signs(directions.as_ref())
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        vec![("shrinkage", self.shrinkage)]
    }
}

/// Default shrinkage γ.
///
/// Chosen on the validation split of the Grocery Store data set (296 queries against 2,640 training
/// images of 81 classes; pooled features of a frozen EfficientNet-Lite0, 224²). mAP there at 48
/// bits, mean of four seeds that differ by about ±0.01, for γ = 0.03, 0.05, 0.1, 0.15, 0.2, 0.3:
/// 0.685, 0.693, 0.707, 0.687, 0.685, 0.675. At 12 bits, smaller values are slightly better: 0.320
/// for 0.03 against 0.288.
pub const SHRINKAGE: f64 = 0.1;

/// Shrinkage where classes outside of the training data count as much.
///
/// mAP of a NumPy prototype with classes held out of Grocery's training images, by the cosine of
/// coordinates, known and unseen classes (form B), γ = 0.1, 0.3 and 0.7: 0.906 and 0.605, 0.888 and
/// 0.632, 0.831 and 0.643. With 12 words of a kernel's coordinates (`klda-words`), γ = 0.1, 0.3 and
/// 0.6: 0.923 and 0.489, 0.913 and 0.531, 0.889 and 0.565 (mean of three draws).
pub const SHRINKAGE_OF_WORDS: f64 = 0.3;

/// Fits discriminant directions for `bits`, then the rotation of ITQ.
///
/// S_w is the covariance of the images around their class means, S_b that of the class means, τ the
/// mean variance of a feature, and `W = (1 − γ)·S_w + γ·τ·I`. The directions solve `S_b·a = λ·W·a`.
/// K classes have up to min(d, K − 1) of them. For more `bits`, principal directions of the
/// orthogonal complement are added. If these do not suffice either, several rotations are stacked
/// as in [`itq::fit`]. An image with several labels counts in each of its classes, an image without
/// labels in none. `features` is N×d; `shrinkage` is γ, for which [`SHRINKAGE`] is a good choice.
///
/// # Errors
/// If images and labels differ in number, there are fewer than two classes, all images are equal, a
/// feature is not finite, `bits` or `shrinkage` is out of range, or the work is stopped. The steps
/// of `task` are those of [`itq::fit`].
pub fn fit(
    features: Features<'_>,
    labels: &[Vec<u32>],
    bits: usize,
    shrinkage: f64,
    seed: u64,
    task: &Task<'_>,
) -> Result<LinearHash, MethodError> {
    check_fit(features, bits, 2)?;
    let classes = discriminant::check(features, labels, shrinkage)?;
    let directions =
        Scatter::new(features, &classes).directions(bits, shrinkage, Length::Between)?;
    itq::rotated(features, &linalg::mean(features), directions.as_ref(), bits, seed, task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::planted::planted;

    #[test]
    fn small_and_odd_training_sets() {
        let few = planted(6, 1, 40, 1.0, 2);
        // One image per class: no variance within classes, and N is less than both c and d.
        let hash = fit(few.features(), &few.labels, 48, SHRINKAGE, 0, &Task::unwatched()).unwrap();
        assert_eq!(hash.bits(), 48);
        // One class with a single image, larger classes, and images without labels.
        let mut odd = planted(3, 20, 10, 1.0, 2);
        odd.labels[0] = vec![99];
        odd.labels[1] = vec![];
        assert!(fit(odd.features(), &odd.labels, 4, SHRINKAGE, 0, &Task::unwatched()).is_ok());
        // A feature that is constant.
        odd.values.iter_mut().step_by(10).for_each(|v| *v = 0.3);
        assert!(fit(odd.features(), &odd.labels, 16, SHRINKAGE, 0, &Task::unwatched()).is_ok());
        // If all class means are equal, only principal directions remain.
        let same = Features { dim: 1, values: &[1.0, 2.0, 1.0, 2.0] };
        let labels = [vec![0], vec![0], vec![1], vec![1]];
        assert!(fit(same, &labels, 2, SHRINKAGE, 0, &Task::unwatched()).is_ok());
    }

    #[test]
    fn what_cannot_be_separated_is_an_error() {
        let set = planted(2, 3, 4, 1.0, 2);
        let fit = |labels: &[Vec<u32>], shrinkage| {
            fit(set.features(), labels, 4, shrinkage, 0, &Task::unwatched())
        };
        assert_eq!(fit(&vec![vec![7]; 6], 0.1), Err(MethodError::Classes(1)));
        assert_eq!(fit(&vec![vec![]; 6], 0.1), Err(MethodError::Classes(0)));
        let error = MethodError::Labels { images: 6, labels: 5 };
        assert_eq!(fit(&set.labels[..5], 0.1), Err(error));
        for bad in [0.0, -1.0, 1.5, f64::NAN] {
            assert!(matches!(fit(&set.labels, bad), Err(MethodError::Shrinkage(_))));
        }
        let equal = Features { dim: 1, values: &[0.1; 6] };
        assert_eq!(
            super::fit(equal, &set.labels, 4, 0.1, 0, &Task::unwatched()),
            Err(MethodError::NoVariance)
        );
        // The images with labels are equal, the others differ.
        let partly = Features { dim: 1, values: &[0.1, 0.1, 0.7, 0.2] };
        let labels = [vec![1], vec![2], vec![], vec![]];
        assert_eq!(
            super::fit(partly, &labels, 4, 0.1, 0, &Task::unwatched()),
            Err(MethodError::NoVariance)
        );
    }
}
