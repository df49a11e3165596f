/*!
Maps of several images, and what a layer is to the networks: one function of them.
*/

use std::fmt;

use super::buffers::{Buffer, Buffers};

/// Height, width and channels of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trunk) struct Shape {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Shape {
    pub fn len(self) -> usize {
        self.height * self.width * self.channels
    }
}

/// Maps of several images, channels-last.
#[derive(Debug, Clone, Copy)]
pub(in crate::trunk) struct Maps<'a> {
    pub values: &'a [f32],
    pub batch: usize,
    pub shape: Shape,
}

/// A layer with its weights in the form that the CPU reads.
pub(in crate::trunk) trait Layer: fmt::Debug + Send + Sync {
    /// Computes the layer.
    fn run(&self, x: Maps<'_>, buffers: &Buffers) -> (Buffer, Shape);
}
