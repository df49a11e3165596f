/*!
KLDA+ITQ: discriminant directions of a Gaussian kernel, and signs along rotations of them.

A kernel lets directions bend: classes that no plane separates become separable. See
[`super::space`] for the directions and [`super::favour`] for the rotations.
*/

use super::MethodError;
use super::definition::{FitInput, FittedMethod, Method};
use super::favour::{self, Favour};
use super::fit::check_fit;
use super::settings::{MethodOption, Settings};
use super::space::{KernelOptions, Space};
use crate::hash::{Features, Hash};
use crate::task::Task;

/// The method `klda-itq`.
pub static METHOD: Method = Method {
    options: &OPTIONS,
    ..Method::fitted(
        "klda-itq",
        &["discriminant directions of a kernel, then signs along learned or random rotations"],
        "Mika, Rätsch, Weston, Schölkopf and Müller, \"Fisher discriminant analysis with kernels\", \
         NNSP 1999; ITQ",
        |settings| Ok(Box::new(Klda(Options::new(settings, SIGNS)?, Favour::of(settings)))),
    )
};

static OPTIONS: [MethodOption; 4] = [favour::OPTION, ANCHORS, WIDTH, SHRINKAGE];

/// The options of a kernel space, for every method that has one.
pub(super) const ANCHORS: MethodOption = MethodOption::count(
    "anchors",
    "N",
    "2000",
    [0, usize::MAX],
    "Number of training images that serve as anchors of the kernel",
);
pub(super) const WIDTH: MethodOption = MethodOption::number(
    "width",
    "SHARE",
    "1",
    "Variance of the kernel, as a share of the mean squared distance between images",
);
pub(super) const SHRINKAGE: MethodOption = MethodOption::number(
    "shrinkage",
    "SHARE",
    "0.1",
    "Shrinkage of the covariances within classes, above 0 and up to 1: lower values suit known \
     classes, higher values new ones",
);

/// Usual shrinkage of a kernel space for signs.
const SIGNS: f64 = 0.1;

/// The options of a kernel space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Number of images drawn as anchors; all images if there are fewer. A model file with 2,000 of
    /// them, of the features of EfficientNet-Lite0, has less than 15 MB.
    pub anchors: usize,
    /// σ² as a share of the mean squared distance between images and anchors.
    pub width: f64,
    /// Shrinkage γ.
    pub shrinkage: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { anchors: 2000, width: 1.0, shrinkage: SIGNS }
    }
}

impl Options {
    /// Returns the settings' options; `shrinkage` is the usual one.
    pub(super) fn new(settings: &Settings, shrinkage: f64) -> Result<Self, MethodError> {
        let options = Self::with_or_without(settings, shrinkage)?;
        match options.anchors {
            0 => Err(MethodError::Option { name: "anchors", value: "0".to_owned() }),
            _ => Ok(options),
        }
    }

    /// Returns the settings' options, which may name no anchors.
    pub(super) fn with_or_without(
        settings: &Settings,
        shrinkage: f64,
    ) -> Result<Self, MethodError> {
        let usual = Self { shrinkage, ..Self::default() };
        let options = Self {
            anchors: settings.count("anchors").unwrap_or(usual.anchors),
            width: settings.number("width").unwrap_or(usual.width),
            shrinkage: settings.number("shrinkage").unwrap_or(usual.shrinkage),
        };
        let Self { width, shrinkage, .. } = options;
        if !(width.is_finite() && width > 0.0) {
            return Err(MethodError::Option { name: "width", value: width.to_string() });
        }
        if !(shrinkage > 0.0 && shrinkage <= 1.0) {
            return Err(MethodError::Shrinkage(shrinkage.to_string()));
        }
        Ok(options)
    }

    /// Fits the space.
    pub(super) fn space(
        &self,
        features: Features<'_>,
        labels: &[Vec<u32>],
        seed: u64,
    ) -> Result<Space, MethodError> {
        let &Self { anchors, width, shrinkage } = self;
        Space::kernel(features, labels, shrinkage, KernelOptions { anchors, width }, seed)
    }

    /// Returns the options that a model card records.
    pub(super) fn figures(&self) -> Vec<(&'static str, f64)> {
        vec![("width", self.width), ("shrinkage", self.shrinkage)]
    }
}

/// A kernel space, and what its bits favour.
#[derive(Debug, Clone, Copy)]
struct Klda(Options, Favour);

impl FittedMethod for Klda {
    fn fit(&self, input: FitInput<'_>, task: &Task<'_>) -> Result<Hash, MethodError> {
        let FitInput { features, labels, bits, seed } = input;
        check_fit(features, bits, 2)?;
        let space = self.0.space(features, labels, seed)?;
        let directions = self.1.directions(space.rows(), bits, seed, task)?;
        space.signs(directions.as_ref())
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        self.0.figures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::planted::planted;
    use crate::method::settings::Value;

    #[test]
    fn all_that_bits_may_favour_gives_codes() {
        let set = planted(5, 20, 12, 1.0, 4);
        let input = FitInput { features: set.features(), labels: &set.labels, bits: 40, seed: 1 };
        let hashes = [Favour::Known, Favour::New, Favour::Both].map(|favour| {
            Klda(Options { anchors: 50, ..Options::default() }, favour)
                .fit(input, &Task::unwatched())
                .unwrap()
        });
        for hash in &hashes {
            assert_eq!((hash.bits(), hash.anchors()), (40, Some(50)));
            assert!(hashes.iter().filter(|other| *other == hash).count() == 1);
        }
    }

    #[test]
    fn options_out_of_range_are_errors() {
        for (name, value) in [("width", 0.0), ("width", f64::NAN), ("shrinkage", 1.5)] {
            let mut settings = Settings::default();
            settings.set(name, Value::Number(value));
            let error = Options::new(&settings, SIGNS).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("above 0"), "{error}");
        }
    }
}
