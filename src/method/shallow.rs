/*!
The shallow methods: they take the features of a frozen trunk as plain numbers and
fit one [`Hash`], in seconds and without a GPU.
*/

use std::fmt;
use std::str::FromStr;

use faer::MatRef;

use super::{MethodError, itq, lda, lsh, sdh, whitened};
use crate::code::BinaryCodes;
use crate::hash::{Features, Hash, LinearHash};
use crate::task::Task;

/// The methods that need features only, no network of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shallow {
    /// Random rotation: [`lsh`].
    Lsh,
    /// Random rotation of whitened features: [`whitened`].
    WhitenedLsh,
    /// Principal directions and a learned rotation, without labels: [`itq`].
    Itq,
    /// Discriminant directions and a learned rotation: [`lda`].
    LdaItq,
    /// A kernel on anchors, and bits that labels follow from: [`sdh`].
    Sdh,
}

impl Shallow {
    /// Every shallow method, the simplest first.
    pub const ALL: [Self; 5] = [Self::Lsh, Self::WhitenedLsh, Self::Itq, Self::LdaItq, Self::Sdh];

    /// Whether the method looks at labels.
    pub fn needs_labels(self) -> bool {
        matches!(self, Self::LdaItq | Self::Sdh)
    }

    /// Fits the method to N images of d features.
    ///
    /// `labels` holds each image's labels; a method looks at them if it
    /// [needs](Shallow::needs_labels) them. What can be chosen is as it is by default. The
    /// same input and `seed` give the same hash, on any number of threads. Another kind of
    /// processor may round otherwise, and ITQ and SDH can turn that into another, equally
    /// good hash.
    ///
    /// # Errors
    /// When the input is too small, not finite, of unequal lengths, without variance,
    /// or, where labels are needed, has fewer than two classes; when `bits` is out of range,
    /// or the work is stopped.
    pub fn fit(
        &self,
        features: Features<'_>,
        labels: &[Vec<u32>],
        bits: usize,
        seed: u64,
        task: &Task<'_>,
    ) -> Result<Hash, MethodError> {
        let linear = match self {
            Self::Lsh => lsh::fit(features, bits, seed),
            Self::WhitenedLsh => whitened::fit(features, bits, seed),
            Self::Itq => itq::fit(features, bits, seed, task),
            Self::LdaItq => lda::fit(features, labels, bits, lda::SHRINKAGE, seed, task),
            Self::Sdh => {
                let options = sdh::Options::default();
                return Ok(sdh::fit(features, labels, bits, &options, seed, task)?.into());
            }
        };
        Ok(linear?.into())
    }
}

impl fmt::Display for Shallow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lsh => "lsh",
            Self::WhitenedLsh => "whitened-lsh",
            Self::Itq => "itq",
            Self::LdaItq => "lda-itq",
            Self::Sdh => "sdh",
        })
    }
}

impl FromStr for Shallow {
    type Err = MethodError;

    fn from_str(name: &str) -> Result<Self, MethodError> {
        let found = Self::ALL.into_iter().find(|method| method.to_string() == name);
        found.ok_or_else(|| MethodError::Name(name.to_string()))
    }
}

/// What every fit asks of its input.
pub(super) fn check_fit(
    features: Features<'_>,
    bits: usize,
    least: usize,
) -> Result<(), MethodError> {
    features.check()?;
    BinaryCodes::new(bits)?;
    match features.len() {
        found if found < least => Err(MethodError::Images { least, found }),
        _ => Ok(()),
    }
}

/// Refuses images that all have the same features.
///
/// Their computed variance need not be zero, since their mean is rounded.
pub(super) fn check_variance<'a>(
    mut rows: impl Iterator<Item = &'a [f32]>,
) -> Result<(), MethodError> {
    let first = rows.next();
    match rows.all(|row| Some(row) == first) {
        true => Err(MethodError::NoVariance),
        false => Ok(()),
    }
}

/// The hash of `mean` (d numbers) and `projection` (d×c), in single precision.
pub(super) fn hash(mean: &[f64], projection: MatRef<'_, f64>) -> Result<LinearHash, MethodError> {
    let mean = mean.iter().map(|v| *v as f32).collect();
    let rows = projection.row_iter();
    let weights = rows.flat_map(|row| row.iter().map(|v| *v as f32).collect::<Vec<_>>());
    Ok(LinearHash::new(mean, weights.collect())?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::code::CodeError;
    use crate::eval::evaluate;
    use crate::hash::FeatureError;
    use crate::task::Stopped;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Labelled features made up for a test.
    pub struct Set {
        pub dim: usize,
        pub values: Vec<f32>,
        pub labels: Vec<Vec<u32>>,
    }

    impl Set {
        pub fn features(&self) -> Features<'_> {
            Features { dim: self.dim, values: &self.values }
        }
    }

    /// `per_class` images around each of `classes` centres. The centres differ along the
    /// first half of the axes only, where images also vary most: along the first eighth
    /// `nuisance` times as much as along the others.
    pub fn planted(classes: u32, per_class: usize, dim: usize, nuisance: f32, seed: u64) -> Set {
        let noise = |rng: &mut ChaCha8Rng| (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
        // The same centres for every seed, so that two seeds are two samples of one set
        // of classes.
        let mut rng = ChaCha8Rng::seed_from_u64(1000);
        let spread = |j: usize| if j < dim / 2 { 2.0 } else { 0.0 };
        let mut centre = || (0..dim).map(|j| spread(j) * noise(&mut rng)).collect();
        let centres: Vec<Vec<f32>> = (0..classes).map(|_| centre()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut set = Set { dim, values: Vec::new(), labels: Vec::new() };
        for image in 0..classes as usize * per_class {
            let class = image % classes as usize;
            for (j, centre) in centres[class].iter().enumerate() {
                let scale = if j < dim / 8 { nuisance } else { 1.0 };
                set.values.push(centre + 3.0 + 2.0 * scale * noise(&mut rng));
            }
            set.labels.push(vec![class as u32]);
        }
        set
    }

    /// mAP of queries from one sample against a database of another, which is what
    /// the method was fitted to.
    fn map(method: Shallow, bits: usize, seed: u64) -> f64 {
        let (database, queries) = (planted(10, 40, 32, 3.0, 1), planted(10, 8, 32, 3.0, 2));
        let hash = method
            .fit(database.features(), &database.labels, bits, seed, &Task::unwatched())
            .unwrap();
        let codes = |set: &Set| hash.encode(&set.features()).unwrap();
        let (d, q) = (codes(&database), codes(&queries));
        evaluate(&q, &queries.labels, &d, &database.labels, &Task::unwatched()).unwrap().map
    }

    #[test]
    fn labels_help_and_learning_does_not_hurt() {
        for bits in [8, 24] {
            let mean = |method| (0..5).map(|seed| map(method, bits, seed)).sum::<f64>() / 5.0;
            let [lsh, _, itq, lda, sdh] = Shallow::ALL.map(mean);
            assert!(itq >= lsh - 0.01, "{bits} bits: ITQ {itq}, LSH {lsh}");
            assert!(lda > itq + 0.1, "{bits} bits: LDA+ITQ {lda}, ITQ {itq}");
            assert!(sdh > itq + 0.1, "{bits} bits: SDH {sdh}, ITQ {itq}");
        }
    }

    #[test]
    fn a_fit_is_decided_by_its_seed_alone() {
        let set = planted(5, 300, 24, 1.0, 3);
        for method in Shallow::ALL {
            for bits in [7, 24, 60] {
                let fit = |seed| {
                    method.fit(set.features(), &set.labels, bits, seed, &Task::unwatched()).unwrap()
                };
                let first = fit(11);
                assert_eq!(first.bits(), bits);
                let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
                assert_eq!(one_thread.install(|| fit(11)), first, "{method} {bits}");
                assert_ne!(fit(12), first, "{method} {bits}");
            }
        }
    }

    #[test]
    fn a_fit_that_learns_can_be_stopped() {
        let set = planted(3, 20, 16, 1.0, 7);
        let told = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let progress = |done: usize, total: usize| {
            assert!(done < total);
            // In the second step.
            stop.store(told.fetch_add(1, Ordering::Relaxed) == 1, Ordering::Relaxed);
        };
        for method in [Shallow::Itq, Shallow::LdaItq, Shallow::Sdh] {
            told.store(0, Ordering::Relaxed);
            let task = Task::new(&progress, &stop);
            let fitted = method.fit(set.features(), &set.labels, 8, 1, &task);
            assert_eq!(fitted, Err(MethodError::Stopped(Stopped)), "{method}");
            assert_eq!(told.load(Ordering::Relaxed), 2, "{method}");
        }
    }

    #[test]
    fn names_read_back() {
        for method in Shallow::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        assert_eq!("ITQ".parse::<Shallow>(), Err(MethodError::Name("ITQ".into())));
    }

    #[test]
    fn bad_input_is_an_error_for_every_method() {
        let mut set = planted(3, 4, 6, 1.0, 5);
        for method in Shallow::ALL {
            let fit =
                |features, bits| method.fit(features, &set.labels, bits, 0, &Task::unwatched());
            assert_eq!(fit(set.features(), 0), Err(CodeError::Bits(0).into()));
            assert_eq!(fit(set.features(), 1025), Err(CodeError::Bits(1025).into()));
            let none = Features { dim: 6, values: &[] };
            assert!(matches!(fit(none, 8), Err(MethodError::Images { .. })));
            let cut = Features { dim: 5, values: &set.values };
            assert!(matches!(fit(cut, 8), Err(MethodError::Features(_))));
        }
        for broken in [f32::NAN, f32::INFINITY] {
            set.values[20] = broken;
            for method in Shallow::ALL {
                let error =
                    method.fit(set.features(), &set.labels, 8, 0, &Task::unwatched()).unwrap_err();
                assert_eq!(error, FeatureError::NotFinite(3).into());
            }
        }
    }

    #[test]
    fn more_bits_than_directions_are_filled() {
        // 4 images span 3 directions; 6 features give 6.
        let set = planted(2, 2, 6, 1.0, 5);
        for method in Shallow::ALL {
            for bits in [3, 6, 17] {
                let hash =
                    method.fit(set.features(), &set.labels, bits, 1, &Task::unwatched()).unwrap();
                assert_eq!(hash.encode(&set.features()).unwrap().bits(), bits);
                // No bit stays without a direction; only labels can ask for a constant one.
                if method == Shallow::Sdh {
                    continue;
                }
                let weight = |bit: usize| hash.linear().projection().iter().skip(bit).step_by(bits);
                assert!((0..bits).all(|bit| weight(bit).any(|w| w.abs() > 1e-6)));
            }
        }
    }
}
