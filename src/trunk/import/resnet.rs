/*!
torchvision's ResNets, whose names timm shares.
*/

use burn_store::KeyRemapper;

use super::found::Found;
use super::tensors::Tensors;
use crate::cause::Cause;
use crate::trunk::TrunkKind;

/// Recognises a ResNet; `None` if it is another network.
pub(super) fn recognise(tensors: &Tensors) -> Option<Result<Found, Cause>> {
    if !tensors.has("conv1.weight") {
        return None;
    }
    match () {
        () if tensors.has("layer1.0.conv3.weight") => Some(Ok(Found::of(TrunkKind::ResNet50))),
        () if tensors.has("layer1.0.conv2.weight") => Some(Ok(Found::of(TrunkKind::ResNet18))),
        () => None,
    }
}

/// Maps torchvision's names to ours.
pub(super) fn names() -> Result<KeyRemapper, Cause> {
    let patterns = [
        (r"^conv1\.", "stem.entry."),
        (r"^bn1\.", "stem.entry.norm."),
        (r"^layer([123])\.", "stem.layer$1."),
        (r"^layer4\.", "refine.layer4."),
        (r"\.conv1\.", ".convs.0."),
        (r"\.bn1\.", ".convs.0.norm."),
        (r"\.conv2\.", ".convs.1."),
        (r"\.bn2\.", ".convs.1.norm."),
        (r"\.conv3\.", ".convs.2."),
        (r"\.bn3\.", ".convs.2.norm."),
        (r"\.downsample\.0\.", ".shortcut."),
        (r"\.downsample\.1\.", ".shortcut.norm."),
    ];
    Ok(KeyRemapper::from_patterns(patterns.to_vec())?)
}
