/*!
Creating the network of a plan.
*/

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device as BurnDevice, Tensor};

use super::TrainError;
use super::plan::LearnPlan;
use crate::method::Trained;
use crate::method::draw::new_weights;
use crate::method::groups::Groups;
use crate::method::mining::Mining;
use crate::method::net::Net;
use crate::network::{Layers, Parts, Projections, Saliency};
use crate::trunk::{Trunk, weights};

/// Creates the network of a plan on pretrained weights, for training images with these labels. New
/// layers are drawn from the seed.
///
/// # Errors
/// If the weights cannot be copied.
pub(super) fn build(
    plan: &LearnPlan,
    trunk: &Trunk,
    labels: &[Vec<u32>],
    device: &BurnDevice,
) -> Result<Net, TrainError> {
    let additions = plan.additions()?;
    // A clone would share weights and running statistics, so read the file again.
    let copy = || weights::rounded(trunk.clone(), device);
    let training = device.clone().autodiff();
    let Trunk { stem, refine, .. } = copy()?.train();
    let stem = (plan.trained == Trained::Full).then_some(stem);
    let Layers { parts, attention, saliency, projections, .. } = additions.layers;
    let parts = match parts {
        0 => None,
        count => {
            let local = copy()?.refine.train();
            let mut parts = Parts::of_kind(attention, count, local, &training);
            parts.attention = new_weights(parts.attention, plan.seed);
            parts.begin_with(additions.attention_gain);
            Some(parts)
        }
    };
    let saliency = saliency.map(|level| {
        let channels = trunk.kind().stem_channels();
        new_weights(Saliency::new(channels, level, &training), plan.seed)
    });
    let (refine, parts) = match plan.trained {
        Trained::Full | Trained::Refine => (refine, parts),
        Trained::Head => {
            let frozen = |Parts { attention, local }| Parts { attention, local: local.freeze() };
            (refine.freeze(), parts.map(frozen))
        }
    };
    let pooled = trunk.kind().pooled();
    let layers = Layers { original: false, ..additions.layers };
    let linear = |features: usize, outputs: usize| {
        let linear = LinearConfig::new(features, outputs).with_bias(false).init(&training);
        new_weights(linear, plan.seed)
    };
    let with_bias = |mut linear: Linear, outputs: usize| {
        linear.bias = Some(Param::from_tensor(Tensor::zeros([outputs], &training)));
        linear
    };
    let hash = linear(layers.features(pooled), plan.bits);
    let classes = Groups::new(labels).classes().len();
    let classifier = |_| with_bias(linear(pooled, classes), classes);
    Ok(Net {
        stem,
        refine,
        parts,
        saliency,
        projections: (projections > 0)
            .then(|| new_weights(Projections::new(pooled, projections, &training), plan.seed)),
        linear: if additions.unbiased { hash } else { with_bias(hash, plan.bits) },
        classifiers: (0..additions.classifiers).map(classifier).collect(),
        mining: additions
            .mining
            .then(|| new_weights(Mining::new(pooled, projections, &training), plan.seed)),
    })
}
