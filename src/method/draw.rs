/*!
Random draws. Each draw has its own generator, keyed by its purpose. It therefore does not depend on
earlier draws, on threads, or on the point at which a run was resumed.
*/

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The purpose of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The initial learned codes.
    Codes = 1,
    /// The sample of an outer iteration.
    Sample = 2,
    /// The order of an epoch.
    Order = 3,
    /// The view of an image.
    View = 4,
    /// The crop of a view.
    Crop = 5,
    /// The parts to exchange.
    Exchange = 6,
    /// Initial weights of new layers.
    Weights = 7,
}

/// Creates the generator for `purpose` at (`epoch`, `image`) of a run with this seed.
pub fn generator(seed: u64, purpose: Purpose, epoch: usize, image: usize) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    for part in [seed, purpose as u64, epoch as u64, image as u64] {
        hasher.update(&part.to_le_bytes());
    }
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// Draws the weights of new layers: uniform in ±√(3/fan-in) for convolutions
/// `[output, input, k, k]` (He et al., without the gain of a rectifier), ±1/√fan-in for linear
/// layers `[input, output]`. Norms keep their values.
///
/// Burn would draw them from one generator per process.
pub fn new_weights<M: Module>(module: M, seed: u64) -> M {
    module.map(&mut Drawer { seed, layers: 0 })
}

struct Drawer {
    seed: u64,
    layers: usize,
}

impl ModuleMapper for Drawer {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        let dims: Vec<usize> = (0..D).map(|d| shape[d]).collect();
        let bound = match dims[..] {
            [input, _] => 1.0 / (input.max(1) as f32).sqrt(),
            [_, input, height, width] => (3.0 / (input * height * width).max(1) as f32).sqrt(),
            _ => return param,
        };
        let mut rng = generator(self.seed, Purpose::Weights, 0, self.layers);
        self.layers += 1;
        let count = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|_| rng.random_range(-bound..=bound)).collect();
        let data = TensorData::new(values, dims);
        param.map(|tensor| {
            let drawn = Tensor::from_data(data, &tensor.device());
            if tensor.is_require_grad() { drawn.require_grad() } else { drawn }
        })
    }
}
