/*!
The training state of ExchNet: the asymmetric skeleton on global and local features, plus the loss
terms of parts.
*/

use std::sync::Arc;

use burn::prelude::*;

use super::diversity::diversity;
use super::exchange::{Anchors, Exchange, draw, exchange};
use super::guide::{Maps, guidance, of_images};
use super::options::Options;
use crate::encoder::EncodeError;
use crate::method::OneKind;
use crate::method::asymmetric::Asymmetric;
use crate::method::classes::Classes;
use crate::method::definition::{Additions, LearnedMethod, Start};
use crate::method::groups::Groups;
use crate::method::laps::{Lap, Laps};
use crate::method::learned_codes::LearnedCodes;
use crate::method::learner::{Learner, Seen, Shown, Survey};
use crate::method::net::{Net, Output, joined};
use crate::network::{AttentionKind, Layers, PartFeatures};

impl LearnedMethod for Options {
    fn additions(&self) -> Additions {
        // Where a class differs from another one depends on the class.
        let attention =
            if self.is_guided() { AttentionKind::Glance } else { AttentionKind::Together };
        let layers = Layers { parts: self.parts, attention, ..Layers::default() };
        let classifiers = usize::from(self.classifier > 0.0);
        Additions {
            layers,
            attention_gain: self.attention_gain,
            classifiers,
            ..Additions::default()
        }
    }

    fn learner(&self, Start { groups, bits, seed, init }: Start) -> Box<dyn Learner> {
        let codes = LearnedCodes::first(init, &groups, bits, seed);
        // ExchNet's loss lacks the pull of ADSH.
        let skeleton = Asymmetric::new(groups.clone(), codes, 0.0);
        let classes = Classes::new(groups.clone());
        Box::new(ExchNet {
            skeleton,
            groups,
            classes,
            options: *self,
            seed,
            anchors: None,
            guides: None,
        })
    }
}

/// The training state of ExchNet.
#[derive(Debug)]
struct ExchNet {
    skeleton: Asymmetric,
    groups: Arc<Groups>,
    classes: Classes,
    options: Options,
    seed: u64,
    /// Class anchors if the current outer iteration exchanges parts, `[classes, M·C']`.
    anchors: Option<Vec<f32>>,
    /// Guides of the attention, `[classes, C + 1]`.
    guides: Option<Vec<f32>>,
}

/// The survey before an outer iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Guides of the attention.
    Guides,
    /// Class anchors of the parts.
    Anchors,
}

impl ExchNet {
    /// Returns what is surveyed before outer iteration `outer` of `of`: guides before the first one
    /// and half-way, when the network tells classes better; anchors in those that exchange parts.
    fn wanted(&self, outer: usize, of: usize) -> Option<Wanted> {
        let guided = self.options.is_guided();
        let late = (of as f32 * self.options.exchange_share).ceil() as usize;
        match outer {
            0 if guided => Some(Wanted::Guides),
            _ if late > 0 && outer + late >= of => Some(Wanted::Anchors),
            _ if guided && outer == of / 2 => Some(Wanted::Guides),
            _ => None,
        }
    }
}

/// Runs a network with parts on images and exchanges the given parts.
///
/// # Errors
/// If the device fails.
pub(crate) fn look(
    net: &Net,
    shown: Shown<'_>,
    exchanged: Option<Exchange>,
    guides: Option<Tensor<2>>,
    options: &Options,
    laps: &mut Laps,
) -> Result<Output, EncodeError> {
    let e = net.maps(shown.values, laps)?;
    let Some(parts) = &net.parts else { return net.whole(e, laps) };
    let global = net.refine.pooled(e.clone());
    laps.end(Lap::Refine)?;
    let attention = parts.attention.forward(e.clone(), &global);
    laps.end(Lap::Attention)?;
    let guided = guides.map(|guides| guidance(e.clone(), attention.clone(), guides));
    let found = parts.refine(e, attention);
    laps.end(Lap::Refine)?;
    let (local, mut extra) = terms(found, exchanged, options);
    if let Some(guided) = guided {
        extra = extra + guided * options.guide;
    }
    laps.end(Lap::Loss)?;
    Ok(Output { extra: Some(extra), ..net.hash(joined(Some(local), global)) })
}

/// Returns the local features for the hash, `[batch, M, C']`, and the additional loss: the
/// diversities, and the pull to the anchors if it has a weight.
pub fn terms(
    features: PartFeatures,
    exchanged: Option<Exchange>,
    options: &Options,
) -> (Tensor<3>, Tensor<1>) {
    let extra = diversity(&features, options);
    let Some(exchanged) = exchanged else { return (features.local, extra) };
    let anchors = exchanged.anchors.clone();
    let local = exchange(features.local, exchanged);
    if options.pull <= 0.0 {
        return (local, extra);
    }
    let apart = local.clone() - anchors;
    (local, extra + (apart.clone() * apart).mean() * options.pull)
}

impl Learner for ExchNet {
    fn begin(&mut self, sample: &[usize], fresh: bool) -> Result<(), OneKind> {
        self.skeleton.begin(sample, fresh)
    }

    fn survey(&self, net: &Net, outer: usize, of: usize) -> Option<Box<dyn Survey>> {
        let groups = self.groups.clone();
        match self.wanted(outer, of)? {
            Wanted::Guides => Some(Box::new(Maps::new(net, groups))),
            Wanted::Anchors => Some(Box::new(Anchors::new(net, groups)?)),
        }
    }

    fn surveyed(&mut self, found: Option<Vec<f32>>, outer: usize, of: usize) {
        match self.wanted(outer, of) {
            Some(Wanted::Guides) => self.guides = found,
            _ => self.anchors = found,
        }
    }

    fn exchanges(&self) -> bool {
        self.anchors.is_some()
    }

    fn look(&self, net: &Net, shown: Shown<'_>, laps: &mut Laps) -> Result<Output, EncodeError> {
        let (parts, seed) = (self.options.parts, self.seed);
        let anchors = self.anchors.as_ref();
        let exchanged = anchors.map(|anchors| draw(anchors, &self.groups, &shown, parts, seed));
        let images = shown.images;
        let guides = self
            .guides
            .as_ref()
            .map(|guides| of_images(guides, &self.groups, shown.images, &shown.values.device()));
        let output = look(net, shown, exchanged, guides, &self.options, laps)?;
        let Some(classifier) = net.classifiers.first() else { return Ok(output) };
        // The global features come last.
        let ([width, _], [_, all]) = (classifier.weight.dims(), output.features.dims());
        let global = output.features.clone().narrow(1, all - width, width);
        let logits = classifier.forward(global);
        let apart = self.classes.cross_entropy(logits, images) * self.options.classifier;
        let extra = match output.extra {
            Some(extra) => extra + apart,
            None => apart,
        };
        Ok(Output { extra: Some(extra), ..output })
    }

    fn loss(&self, seen: Seen<'_>) -> Tensor<1> {
        self.skeleton.loss(seen)
    }

    fn saw(&mut self, rows: &[usize], codes: &[f32]) {
        self.skeleton.saw(rows, codes);
    }

    fn end(&mut self, sample: &[usize]) {
        self.skeleton.end(sample);
    }

    fn learned(&self) -> Option<&LearnedCodes> {
        self.skeleton.learned()
    }

    fn state(&self) -> Vec<Vec<f32>> {
        let mut state = self.skeleton.state();
        state.extend([&self.anchors, &self.guides].map(|found| found.clone().unwrap_or_default()));
        state
    }

    fn restore(&mut self, mut state: Vec<Vec<f32>>) -> bool {
        // The anchors and the guides, empty if there are none, follow those of the skeleton.
        let mut last = || state.pop().filter(|found| !found.is_empty());
        (self.guides, self.anchors) = (last(), last());
        self.skeleton.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::super::diversity::tests::{features, value};
    use super::*;
    use burn::tensor::Distribution;

    #[test]
    fn what_keeps_every_part_changes_nothing() {
        let device = Device::flex();
        let maps = Tensor::<4>::random([6, 4, 2, 2], Distribution::Default, &device);
        let found = features(maps, 3);
        let (keep, anchors) =
            (Tensor::ones([2, 3, 1], &device), Tensor::full([2, 3, 4], 9.0, &device));
        let options = Options { pull: 0.5, ..Options::default() };
        let values = |local: Tensor<3>| local.into_data().try_into_vec::<f32>().unwrap();
        let own = values(found.local.clone());
        let exchanged = Some(Exchange { keep, anchors });
        let (with, pulled) = terms(found.clone(), exchanged, &options);
        let (without, extra) = terms(found, None, &options);
        assert_eq!((values(with), values(without)), (own.clone(), own.clone()));
        // The pull is its weight times the mean squared distance to the anchors.
        let apart = own.iter().map(|v| (v - 9.0) * (v - 9.0)).sum::<f32>() / own.len() as f32;
        assert!((value(pulled) - value(extra) - 0.5 * apart).abs() < 1e-3);
    }
}
