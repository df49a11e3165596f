/*!
The hash that an index fits to its own images.
*/

use std::collections::BTreeMap;

use crate::cause::Cause;
use crate::hash::Features;
use crate::index::{Fit, Fitter, IndexError, Sample};
use crate::method::{FitInput, MethodError, Settings, itq, lda};
use crate::task::Task;

/// Bits of a fitted hash: those of the general one, so that a code stays as long as it was.
///
/// mAP of a NumPy prototype, fitted to one half of Grocery's training images and searched by the
/// other, with real-valued queries, and of the cosine of the 1,280 features: 0.543 and 0.527; fruit
/// and vegetables 0.596 and 0.575; packages 0.469 and 0.441; an aviary for development 0.263 and
/// 0.237. 128 partly whitened directions (exponent 1/4) differ by -0.005 to +0.005, twice as many
/// bits by -0.005 to +0.001.
const BITS: usize = 256;
/// Seed of the fit.
const SEED: u64 = 1;
/// Labels are used if there are at least this many images of each on average, and most images have
/// one: discriminant directions of fewer images follow those images.
const OF_EACH: usize = 4;

/// Fits the hash of an index to its own images: `itq` without labels, `lda-itq` if most images have
/// one.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnHash;

impl Fitter for OwnHash {
    fn fit(&self, sample: &Sample, task: &Task<'_>) -> Result<Fit, IndexError> {
        let labels = Labels::of(&sample.labels);
        let (method, labels, classes) = match labels.filter(Labels::are_enough) {
            Some(Labels { numbers, classes }) => (&lda::METHOD, numbers, classes),
            None => (&itq::METHOD, Vec::new(), Vec::new()),
        };
        let features = Features { dim: sample.dim, values: &sample.features };
        let input = FitInput::new(features, BITS, SEED).with_labels(&labels);
        let hash = method.make_fitted(&Settings::default()).and_then(|made| made.fit(input, task));
        let hash = hash.map_err(|error| match error {
            MethodError::Stopped(stopped) => IndexError::Stopped(stopped),
            error => IndexError::Fit(Cause::from(error)),
        })?;
        Ok(Fit { hash, method: method.name.to_owned(), classes })
    }
}

/// The labels of images as numbers.
struct Labels {
    /// None or one for each image.
    numbers: Vec<Vec<u32>>,
    /// Their names, in order.
    classes: Vec<String>,
}

impl Labels {
    /// Returns `None` if there are none.
    fn of(labels: &[Option<String>]) -> Option<Self> {
        let mut numbers: BTreeMap<&str, u32> =
            labels.iter().flatten().map(|label| (label.as_str(), 0)).collect();
        (0..).zip(numbers.values_mut()).for_each(|(number, place)| *place = number);
        let of = |label: &Option<String>| {
            let number = label.as_ref().and_then(|label| numbers.get(label.as_str()));
            number.copied().into_iter().collect()
        };
        let classes: Vec<String> = numbers.keys().map(|label| (*label).to_owned()).collect();
        (!classes.is_empty()).then(|| Self { numbers: labels.iter().map(of).collect(), classes })
    }

    fn are_enough(&self) -> bool {
        let labelled = self.numbers.iter().filter(|numbers| !numbers.is_empty()).count();
        let classes = self.classes.len();
        classes >= 2 && labelled * 2 >= self.numbers.len() && labelled >= OF_EACH * classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of three kinds, as random vectors around three centres.
    fn sample(images: usize, label: impl Fn(usize) -> Option<String>) -> Sample {
        let mut sample = Sample { dim: 40, ..Sample::default() };
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 500.0 - 1.0;
        for image in 0..images {
            let centre = |j: usize| 2.0 * value(7919 * (image % 3) + j);
            sample.features.extend((0..40).map(|j| centre(j) + value(image * 40 + j)));
            sample.labels.push(label(image));
        }
        sample
    }

    #[test]
    fn labels_are_used_if_most_images_have_one() {
        let name = |image: usize| Some(format!("kind {}", image % 3));
        let fit = |sample: &Sample| OwnHash.fit(sample, &Task::unwatched()).unwrap();
        let whole = fit(&sample(60, name));
        assert_eq!((whole.method.as_str(), whole.hash.bits()), ("lda-itq", BITS));
        assert_eq!(whole.classes, ["kind 0", "kind 1", "kind 2"]);
        for few in [
            sample(60, |_| None),
            sample(60, |image| name(image).filter(|_| image < 29)),
            sample(60, |image| Some((image / 2).to_string())),
            sample(60, |_| Some("one".to_owned())),
        ] {
            let fit = fit(&few);
            assert_eq!((fit.method.as_str(), fit.classes.len()), ("itq", 0));
        }
    }

    #[test]
    fn images_that_are_all_alike_have_no_hash() {
        let mut sample = sample(5, |_| None);
        sample.features = [1.0; 40].repeat(5);
        let error = OwnHash.fit(&sample, &Task::unwatched()).unwrap_err();
        assert!(error.to_string().contains("no hash can be fitted"), "{error}");
        let stop = std::sync::atomic::AtomicBool::new(true);
        let stopped = Task::new(&|_, _| (), &stop);
        let error = OwnHash.fit(&self::sample(50, |_| None), &stopped).unwrap_err();
        assert!(matches!(error, IndexError::Stopped(_)), "{error}");
    }
}
