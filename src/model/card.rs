/*!
What a model says about itself: JSON in the metadata of its file.
*/

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::format::format_of;
use crate::code::{BinaryCodes, Code};
use crate::hash::{Codebooks, Hash, KernelHash, Quantizer};
use crate::image::Preprocess;
use crate::network::{AttentionKind, Layers, Level};
use crate::trunk::TrunkKind;

/// The data that a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DataCard {
    /// Name of the data set's folder.
    pub name: String,
    /// Its layout.
    pub layout: String,
    /// Images trained on.
    pub images: usize,
    /// BLAKE3 of their names in order, so that another training set is told apart.
    #[serde(default)]
    pub files: String,
    /// Names of classes that were kept out of training.
    #[serde(default)]
    pub held_out: Vec<String>,
    /// Seed of the split, where the data set has none of its own.
    pub split_seed: Option<u64>,
}

/// A model's description of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Card {
    /// Version of the file's format: `format_of` the hash.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// The method, as on the command line.
    pub method: String,
    /// Bits per code.
    pub bits: usize,
    /// The trunk.
    pub trunk: TrunkKind,
    /// Parts that the network attends to; 0 for pooled features alone.
    #[serde(default)]
    pub parts: usize,
    /// The attention that finds them.
    #[serde(default, skip_serializing_if = "is_together")]
    pub attention: AttentionKind,
    /// The input of the network's saliency, if only what is salient is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saliency: Option<Level>,
    /// Whether the hash sees the features of the pretrained layers beside those of the trained
    /// ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub original: bool,
    /// Projections of the last map that are hashed instead of pooled features; 0 for none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub projections: usize,
    /// Anchors of the kernel between features and hash; none for a linear hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<usize>,
    /// First features that the kernel does not see.
    #[serde(default, skip_serializing_if = "is_none")]
    pub plain: usize,
    /// Codebooks that codes are words of: one for each 4 bits. None where codes are signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codebooks: Option<usize>,
    /// Numbers that the words quantize, where they are not as many as bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<usize>,
    /// Set if these numbers are scaled to unit length first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unit: bool,
    /// The preparation of images.
    pub preprocess: Preprocess,
    /// Names of the classes trained on; empty for methods that need none.
    pub classes: Vec<String>,
    /// The training data.
    pub data: DataCard,
    /// Seed of every draw.
    pub seed: u64,
    /// Figures of the training, by name.
    pub figures: BTreeMap<String, f64>,
    /// Licence of the weights.
    pub licence: String,
    /// BLAKE3 of the shipped trunk, where the file holds the hash alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_trunk: Option<String>,
    /// The learned codes of the training images in order, as hexadecimal; none for
    /// methods that learn only a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<String>,
}

impl Card {
    /// Changes fields.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Length of the features that the hash sees.
    pub fn features(&self) -> usize {
        self.layers().features(self.trunk.pooled())
    }

    /// The layers beside trunk and hash.
    pub fn layers(&self) -> Layers {
        let Self { parts, attention, saliency, original, projections, .. } = *self;
        Layers { parts, attention, saliency, original, projections }
    }

    /// Sets the layers beside trunk and hash.
    pub fn with_layers(self, layers: Layers) -> Self {
        let Layers { parts, attention, saliency, original, projections } = layers;
        Self { parts, attention, saliency, original, projections, ..self }
    }

    /// Length of the input of the matrix product: features, or plain ones and kernel values.
    pub(super) fn hashed(&self) -> usize {
        self.anchors.map_or(self.features(), |anchors| anchors.saturating_add(self.plain))
    }

    /// Sets what describes a hash: bits, anchors, codebooks and the version of the format, which
    /// depends on the layers too.
    pub fn with_hash(self, hash: &Hash) -> Self {
        let dim = hash.linear().bits();
        let words = match hash {
            Hash::Quantizer(hash) => Some(hash),
            Hash::Linear(_) | Hash::Kernel(_) => None,
        };
        Self {
            format: format_of(hash, &self.layers()),
            bits: hash.bits(),
            anchors: hash.anchors(),
            plain: hash.kernel().map_or(0, KernelHash::plain),
            codebooks: hash.codebooks().map(Codebooks::count),
            values: words.map(|_| dim).filter(|dim| *dim != hash.bits()),
            unit: words.is_some_and(Quantizer::is_unit),
            ..self
        }
    }

    /// Number of attention maps: one per part, one of saliency, or one per head of a transformer.
    pub fn attention_maps(&self) -> usize {
        match (self.parts, self.saliency) {
            (0, Some(_)) => 1,
            (0, None) => self.trunk.heads(),
            (parts, _) => parts,
        }
    }

    /// The learned codes of the training images, if there are any and they are whole.
    pub fn learned_codes(&self) -> Option<BinaryCodes> {
        let digits = self.bits.div_ceil(8) * 2;
        let mut codes = BinaryCodes::new(self.bits).ok()?;
        for code in self.learned.as_ref()?.as_bytes().chunks(digits) {
            let code = std::str::from_utf8(code).ok()?;
            codes.push(&Code::from_hex(self.bits, code).ok()?).ok()?;
        }
        (codes.len() == self.data.images).then_some(codes)
    }
}

/// For serialisation: whether the attention is the usual one.
fn is_together(kind: &AttentionKind) -> bool {
    *kind == AttentionKind::Together
}

/// For serialisation: whether there are none.
fn is_none(count: &usize) -> bool {
    *count == 0
}
