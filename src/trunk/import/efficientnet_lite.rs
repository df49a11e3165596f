/*!
The released EfficientNet-Lites.
*/

use burn_store::KeyRemapper;

use super::found::Found;
use super::tensors::Tensors;
use crate::cause::Cause;
use crate::trunk::TrunkKind;
use crate::trunk::efficientnet_lite::Size;

/// Recognises an EfficientNet-Lite; `None` if it is another network.
pub(super) fn recognise(tensors: &Tensors) -> Option<Result<Found, Cause>> {
    if !tensors.has("_conv_stem.weight") {
        return None;
    }
    if tensors.any("._se_reduce.") {
        let reason = "it is an EfficientNet with squeeze-excitation, which is not supported; the \
                      nearest is efficientnet-lite0";
        return Some(Err(reason.into()));
    }
    let sizes = [
        (TrunkKind::EfficientNetLite0, Size::Lite0),
        (TrunkKind::EfficientNetLite1, Size::Lite1),
        (TrunkKind::EfficientNetLite2, Size::Lite2),
    ];
    let (blocks, last) = (tensors.count("_blocks."), tensors.shape("_conv_head.weight"));
    let same = |(_, size): &&(TrunkKind, Size)| {
        size.blocks()[1] == blocks && last.get(1) == Some(&size.last_channels())
    };
    let found = sizes.iter().find(same).map(|(kind, _)| *kind);
    let unknown = format!(
        "it is an EfficientNet-Lite with {blocks} blocks, which is not supported; the nearest is \
         efficientnet-lite2"
    );
    Some(found.map(Found::of).ok_or(unknown.into()))
}

/// Maps the names of the released EfficientNet-Lite checkpoints to ours.
pub(super) fn names(size: Size) -> Result<KeyRemapper, Cause> {
    let mut patterns: Vec<(String, String)> = vec![
        (r"^_conv_stem\.".into(), "stem.entry.".into()),
        (r"^_bn0\.".into(), "stem.entry.norm.".into()),
        (r"^_conv_head\.".into(), "refine.head.".into()),
        (r"^_bn1\.".into(), "refine.head.norm.".into()),
        (r"\._expand_conv\.".into(), ".expand.".into()),
        (r"\._bn0\.".into(), ".expand.norm.".into()),
        (r"\._depthwise_conv\.".into(), ".depthwise.".into()),
        (r"\._bn1\.".into(), ".depthwise.norm.".into()),
        (r"\._project_conv\.".into(), ".project.".into()),
        (r"\._bn2\.".into(), ".project.norm.".into()),
    ];
    let [in_stem, all] = size.blocks();
    for block in 0..all {
        let ours = match block.checked_sub(in_stem) {
            None => format!("stem.blocks.{block}."),
            Some(behind) => format!("refine.blocks.{behind}."),
        };
        patterns.push((format!(r"^_blocks\.{block}\."), ours));
    }
    Ok(KeyRemapper::from_patterns(patterns)?)
}
