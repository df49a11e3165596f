/*!
The layers that a method adds to a trunk.
*/

use super::parts::AttentionKind;
use super::projections::Projections;
use super::saliency::Level;

/// The layers of a network beside its trunk and its hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layers {
    /// Number of image parts that have their own features.
    pub parts: usize,
    /// The attention that finds them.
    pub attention: AttentionKind,
    /// The target of the network's saliency.
    pub saliency: Option<Level>,
    /// Set if the hash also takes the features of the pretrained layers.
    pub original: bool,
    /// Projections of the last map that take the place of its pooled features; 0 for none.
    pub projections: usize,
}

impl Layers {
    /// Whether layers weigh positions of the stem's or the last map.
    pub fn weigh_positions(&self) -> bool {
        self.parts > 0 || self.saliency.is_some() || self.projections > 0
    }

    /// Returns the number of features that the hash takes, for a trunk with `pooled` of them.
    pub fn features(&self, pooled: usize) -> usize {
        match self.projections {
            0 => pooled * (1 + self.parts + usize::from(self.original)),
            count => Projections::width(pooled) * count,
        }
    }
}
