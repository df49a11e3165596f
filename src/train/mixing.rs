/*!
Mixing the weights of a trained network with the pretrained ones.

Training moves the weights to suit the classes it sees. The weighted mean of trained and pretrained
weights keeps most of what it learned, and more of what the network knew of other classes (Wortsman
et al., "Robust fine-tuning of zero-shot models", CVPR 2022). The running statistics of norms are not
those of the mixed weights, so they are computed again.
*/

use std::vec;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::TrainError;
use super::images::{Begins, Images};
use super::plan::LearnPlan;
use super::step::read;
use crate::device::Device;
use crate::method::net::Net;
use crate::trunk::{Trunk, pool};

/// Images per pass.
const BATCH: usize = 64;
/// Passes, at least. A pass replaces a tenth of the running statistics.
const PASSES: usize = 40;

/// Returns `net` with a share `kept` of the weights of `trunk`, from 0 to 1, in its trunk.
///
/// # Errors
/// If an image or the device fails.
pub(super) fn mixed(
    mut net: Net,
    kept: f32,
    trunk: &Trunk,
    plan: &LearnPlan,
    images: &Images<'_>,
    device: &Device,
) -> Result<Net, TrainError> {
    if kept <= 0.0 || images.begins() == Begins::Features {
        return Ok(net);
    }
    net.stem = net.stem.map(|stem| mix(stem, &trunk.stem, kept));
    net.refine = mix(net.refine, &trunk.refine, kept);
    let numbers: Vec<usize> = (0..images.len()).collect();
    let batches = numbers.chunks(BATCH);
    let passes = batches.len().max(PASSES);
    for some in batches.cycle().take(passes) {
        let values = images.plain(plan, some)?;
        let mut maps = images.tensor(values, some.len(), &device.burn().autodiff());
        if let Some(stem) = &net.stem {
            maps = stem.forward(maps);
        }
        // Norms in training update their statistics. Reading the result bounds what is queued.
        read(device, pool(net.refine.forward(maps)).inner())?;
    }
    Ok(net)
}

/// Returns `trained` with a share of the weights of `pretrained`, which has the same layers.
fn mix<M: Module>(trained: M, pretrained: &M, kept: f32) -> M {
    let mut all = Weights(Vec::new());
    pretrained.visit(&mut all);
    trained.map(&mut Mix { pretrained: all.0.into_iter(), kept })
}

/// The weights of a module in the order of its layers, flattened.
struct Weights(Vec<Tensor<1>>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weights = param.val();
        let count = weights.shape().num_elements();
        self.0.push(weights.reshape([count]));
    }
}

struct Mix {
    pretrained: vec::IntoIter<Tensor<1>>,
    kept: f32,
}

impl ModuleMapper for Mix {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(pretrained) = self.pretrained.next() else { return param };
        let kept = self.kept;
        param.map(|trained| {
            let pretrained = pretrained.reshape(trained.shape());
            let (is_autodiff, learns) = (trained.is_autodiff(), trained.is_require_grad());
            let trained = if is_autodiff { trained.inner() } else { trained };
            let mixed = trained * (1.0 - kept) + pretrained * kept;
            if is_autodiff { Tensor::from_inner(mixed).set_require_grad(learns) } else { mixed }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{BatchNormConfig, Linear, LinearConfig};
    use burn::tensor::Device as BurnDevice;

    #[test]
    fn weights_are_weighted_means() {
        let device = BurnDevice::flex();
        let layer = |device: &BurnDevice, of: f32| -> Linear {
            let mut linear = LinearConfig::new(2, 3).init(device);
            linear.weight = linear.weight.map(|w| Tensor::full(w.shape(), of, &w.device()));
            linear
        };
        for training in [device.clone(), device.clone().autodiff()] {
            let found = mix(layer(&training, 5.0), &layer(&device, 1.0), 0.25);
            let weights = found.weight.val();
            assert_eq!(weights.is_autodiff(), training.is_autodiff());
            let weights = if training.is_autodiff() { weights.inner() } else { weights };
            assert_eq!(weights.into_data().try_into_vec::<f32>().unwrap(), [4.0; 6]);
        }
    }

    #[test]
    fn running_statistics_are_mixed_too() {
        let device = BurnDevice::flex();
        let norm = |mean: f32| {
            let norm = BatchNormConfig::new(2).init(&device);
            norm.running_mean.update(Tensor::full([2], mean, &device));
            norm
        };
        let found = mix(norm(3.0), &norm(1.0), 0.5);
        let mean = found.running_mean.value_sync().into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(mean, [2.0; 2]);
    }
}
