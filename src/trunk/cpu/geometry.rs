/*!
The geometry of a depthwise convolution, for the forward pass and the gradients.
*/

use super::maps::Shape;

/// The geometry of a depthwise convolution.
#[derive(Debug, Clone, Copy)]
pub(in crate::trunk) struct Geometry {
    /// Side of the kernel.
    pub kernel: usize,
    pub stride: usize,
    /// Shape of the input.
    pub input: Shape,
}

impl Geometry {
    /// Shape of the output.
    pub fn output(&self) -> Shape {
        Shape {
            height: self.input.height.div_ceil(self.stride),
            width: self.input.width.div_ceil(self.stride),
            ..self.input
        }
    }
}
