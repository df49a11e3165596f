/*!
ConvNeXt's published forms: those of its authors (which DINOv3 shares) and of the library timm.
*/

use super::found::{DINOV3, Found};
use super::tensors::Tensors;
use crate::cause::Cause;
use crate::trunk::convnext::Shape;
use crate::trunk::input::Input;
use crate::trunk::kind::{Design, TrunkKind};

/// First letters of the names of tensors behind the trunk.
const BEHIND: [&str; 4] = ["head.fc.", "head.weight", "head.bias", "projectors."];

/// Recognises a ConvNeXt; `None` if it is another network.
pub(super) fn recognise(tensors: &Tensors) -> Option<Result<Found, Cause>> {
    let entry = ["downsample_layers.0.0.weight", "stem.0.weight"];
    let entry = entry.into_iter().find(|name| tensors.shape(name).get(2..) == Some(&[4, 4]))?;
    if tensors.any(".grn.") {
        let reason = "it is a ConvNeXt V2, whose weights must not be used commercially; ConvNeXt \
                      (V1) is supported";
        return Some(Err(reason.into()));
    }
    let timm = entry.starts_with("stem.");
    let block = |stage: usize| match timm {
        true => format!("stages.{stage}.blocks."),
        false => format!("stages.{stage}."),
    };
    let depths = [0, 1, 2, 3].map(|stage| tensors.count(&block(stage)));
    let widths = [0, 1, 2, 3].map(|stage| {
        tensors.shape(&format!("{}0.norm.weight", block(stage))).first().copied().unwrap_or(0)
    });
    let shape = Shape { depths, widths };
    let all = TrunkKind::ALL.into_iter().filter_map(|kind| match kind.design() {
        Design::ConvNext(shape) => Some((kind, shape)),
        _ => None,
    });
    let kinds: Vec<(TrunkKind, Shape)> = all.collect();
    if let Some((kind, _)) = kinds.iter().find(|(_, known)| *known == shape) {
        // DINOv3's has a norm for each stage.
        let dinov3 = tensors.has("norms.3.weight");
        let found = Found::of(*kind);
        return Some(Ok(match dinov3 {
            true => {
                Found { input: Some(Input::STRETCHED), licence: Some(DINOV3.to_owned()), ..found }
            }
            false => found,
        }));
    }
    let blocks: usize = depths.iter().sum();
    let off = |known: &Shape| {
        known.widths[0].abs_diff(widths[0]) * 100
            + known.depths.iter().sum::<usize>().abs_diff(blocks)
    };
    let nearest = kinds.iter().min_by_key(|(_, known)| off(known)).map(|(kind, _)| *kind)?;
    Some(Err(format!(
        "it is a ConvNeXt with {depths:?} blocks of {widths:?} channels, which is not supported; the nearest is {nearest}"
    )
    .into()))
}

/// Gives the tensors our names.
pub(super) fn rename(tensors: &mut Tensors) {
    tensors.drop(|name| BEHIND.iter().any(|first| name.starts_with(first)));
    // DINOv3 keeps the last norm twice, and norms of other stages that it does not use.
    tensors.drop(|name| name.starts_with("norms."));
    tensors.rename_first(&[
        ("downsample_layers.0.0.", "stem.entry."),
        ("downsample_layers.0.1.", "stem.norm."),
        ("downsample_layers.1.0.", "stem.halving1.norm."),
        ("downsample_layers.1.1.", "stem.halving1.conv."),
        ("downsample_layers.2.0.", "stem.halving2.norm."),
        ("downsample_layers.2.1.", "stem.halving2.conv."),
        ("downsample_layers.3.0.", "stem.last."),
        ("downsample_layers.3.1.", "refine.halve."),
        ("stem.0.", "stem.entry."),
        ("stem.1.", "stem.norm."),
        ("stages.1.downsample.0.", "stem.halving1.norm."),
        ("stages.1.downsample.1.", "stem.halving1.conv."),
        ("stages.2.downsample.0.", "stem.halving2.norm."),
        ("stages.2.downsample.1.", "stem.halving2.conv."),
        ("stages.3.downsample.0.", "stem.last."),
        ("stages.3.downsample.1.", "refine.halve."),
        ("stages.0.", "stem.stage1."),
        ("stages.1.", "stem.stage2."),
        ("stages.2.", "stem.stage3."),
        ("stages.3.", "refine.stage4."),
        ("head.norm.", "refine.norm."),
        ("norm.", "refine.norm."),
    ]);
    tensors.rename(&[
        (".blocks.", "."),
        (".conv_dw.", ".depthwise."),
        (".dwconv.", ".depthwise."),
        (".mlp.fc1.", ".widen."),
        (".mlp.fc2.", ".narrow."),
        (".pwconv1.", ".widen."),
        (".pwconv2.", ".narrow."),
    ]);
    tensors.rename(&[(".gamma", ".scale")]);
    // In timm's small networks these are 1×1 convolutions.
    tensors.reshape(|name| name.ends_with("widen.weight") || name.ends_with("narrow.weight"), 2);
}
