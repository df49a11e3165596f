/*!
ExchNet's options.
*/

use crate::method::settings::{MethodOption, Settings};
use crate::method::{Ablation, MethodError, Value};

/// Maximum number of parts.
const MOST_PARTS: usize = 16;

/// The number of parts, an option of successors too.
pub(in crate::method) const PARTS: MethodOption =
    MethodOption::count("parts", "M", "3", [1, MOST_PARTS], "Number of parts").with_paper("4");

/// The initial attention, an option of successors too.
pub(in crate::method) const ATTENTION_GAIN: MethodOption = MethodOption::number(
    "attention-gain",
    "GAIN",
    "0.1",
    "Initial scale of the attention's last norm, around 1 minus the scale; 1 is a norm's usual \
     start, 0 makes every map 1 everywhere",
);

/// The weight of a classifier, an option of successors too.
pub(in crate::method) const CLASSIFIER: MethodOption = MethodOption::number(
    "classifier",
    "W",
    "0",
    "Weight of the cross entropy of a linear classifier on the global features, in training only",
);

/// The declarations of the options.
pub(super) static OPTIONS: [MethodOption; 10] = [
    PARTS,
    ATTENTION_GAIN,
    MethodOption::number(
        "guide",
        "W",
        "0",
        "Weight of the loss that leads the attention to where a class differs from the one that \
         resembles it most; such an attention looks at the whole image first; 30 is a good weight, \
         0 leaves it alone",
    ),
    MethodOption::number("spatial", "W", "1", "Weight of the spatial diversity of parts"),
    MethodOption::flag(
        "spatial-sum",
        "Compute the spatial diversity from the sum over channels instead of the mean",
    ),
    MethodOption::number("channel", "W", "1", "Weight of the channel diversity of parts"),
    MethodOption::number(
        "channel-margin",
        "T",
        "0.4",
        "Margin: greater channel diversity adds no loss",
    ),
    MethodOption::number(
        "exchange",
        "SHARE",
        "0.125",
        "Share of the outer iterations, at the end of training, that exchange parts",
    ),
    MethodOption::number(
        "pull",
        "W",
        "0",
        "Weight of the squared distance of exchanged features to the anchors of their class",
    ),
    CLASSIFIER,
];

/// Ablations of ExchNet.
pub(super) static ABLATIONS: [Ablation; 4] = [
    Ablation { name: "without exchange", option: "exchange", value: Value::Number(0.0) },
    Ablation { name: "without L_sp", option: "spatial", value: Value::Number(0.0) },
    Ablation { name: "without L_cp", option: "channel", value: Value::Number(0.0) },
    Ablation { name: "global only", option: "parts", value: Value::Count(0) },
];

/// The reduction of a part's refined map to one value per position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spatial {
    /// The mean over channels.
    #[default]
    Mean,
    /// The sum over channels.
    Sum,
}

/// The options of ExchNet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Number of parts, M. With 0, the network has global features only.
    pub parts: usize,
    /// Initial scale of the last norm of the attention, around 1 minus the scale.
    ///
    /// 1 is a norm's usual start and hides half of each image from every part; the pretrained
    /// layers that follow then get maps unlike any in their training. Maps close to 1 keep these
    /// layers useful, and parts still differ enough to move apart.
    pub attention_gain: f32,
    /// Weight of the guides of the attention; 0 for none, and for attention without a first look.
    pub guide: f32,
    /// Weight of the spatial diversity.
    pub spatial_weight: f32,
    /// The input of the spatial diversity.
    pub spatial: Spatial,
    /// Weight of the channel diversity.
    pub channel_weight: f32,
    /// Margin t of the channel diversity.
    pub channel_margin: f32,
    /// Share of the outer iterations, at the end, that exchange parts.
    pub exchange_share: f32,
    /// Weight of the squared distance of exchanged features to their anchors. One re-implementation
    /// adds this term; the paper does not have it.
    pub pull: f32,
    /// Weight of the cross entropy of a linear classifier on the global features. DAHNet adds this
    /// term with ½; ExchNet does not have it.
    pub classifier: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parts: 3,
            attention_gain: 0.1,
            guide: 0.0,
            spatial_weight: 1.0,
            spatial: Spatial::Mean,
            channel_weight: 1.0,
            channel_margin: 0.4,
            exchange_share: 0.125,
            pull: 0.0,
            classifier: 0.0,
        }
    }
}

impl Options {
    /// Returns whether guides lead the attention.
    pub(super) fn is_guided(&self) -> bool {
        self.guide > 0.0 && self.parts > 0
    }

    /// Checks `settings`.
    ///
    /// # Errors
    /// [`MethodError::Value`] for too many parts.
    pub(super) fn new(settings: &Settings) -> Result<Self, MethodError> {
        let usual = Self::default();
        let parts = settings.count("parts").unwrap_or(usual.parts);
        if parts > MOST_PARTS {
            return Err(MethodError::Value {
                option: "parts",
                expected: format!("a whole number up to {MOST_PARTS}"),
                value: parts.to_string(),
            });
        }
        let single = |name: &str, usual: f32| settings.single(name).unwrap_or(usual);
        Ok(Self {
            parts,
            attention_gain: single("attention-gain", usual.attention_gain),
            guide: single("guide", usual.guide),
            spatial_weight: single("spatial", usual.spatial_weight),
            spatial: if settings.flag("spatial-sum") { Spatial::Sum } else { usual.spatial },
            channel_weight: single("channel", usual.channel_weight),
            channel_margin: single("channel-margin", usual.channel_margin),
            exchange_share: single("exchange", usual.exchange_share).clamp(0.0, 1.0),
            pull: single("pull", usual.pull),
            classifier: single("classifier", usual.classifier),
        })
    }
}
