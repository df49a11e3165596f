/*!
Creating the network of a plan.
*/

use burn::module::{Module, Param};
use burn::nn::LinearConfig;
use burn::tensor::{Device as BurnDevice, Tensor};

use super::TrainError;
use super::plan::LearnPlan;
use crate::method::Trained;
use crate::method::draw::new_weights;
use crate::method::net::Net;
use crate::network::{Parts, Saliency};
use crate::trunk::{Trunk, weights};

/// Creates the network of a plan on pretrained weights. New layers are drawn from the seed.
///
/// # Errors
/// If the weights cannot be copied.
pub(super) fn build(
    plan: &LearnPlan,
    trunk: &Trunk,
    device: &BurnDevice,
) -> Result<Net, TrainError> {
    let additions = plan.additions()?;
    // A clone would share weights and running statistics, so read the file again.
    let copy = || weights::rounded(trunk.clone(), device);
    let training = device.clone().autodiff();
    let Trunk { stem, refine, .. } = copy()?.train();
    let stem = (plan.trained == Trained::Full).then_some(stem);
    let parts = match additions.parts {
        0 => None,
        count => {
            let mut parts = Parts::new(count, copy()?.refine.train(), &training);
            parts.attention = new_weights(parts.attention, plan.seed);
            parts.begin_with(additions.attention_gain);
            Some(parts)
        }
    };
    let saliency = additions.saliency.map(|level| {
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
    let features = trunk.kind().pooled() * (1 + additions.parts);
    let linear = LinearConfig::new(features, plan.bits).with_bias(false).init(&training);
    let mut linear = new_weights(linear, plan.seed);
    linear.bias = Some(Param::from_tensor(Tensor::zeros([plan.bits], &training)));
    Ok(Net { stem, refine, parts, saliency, linear })
}
