/*!
Imports weights that others published: torchvision's and timm's ResNets, and the released
EfficientNet-Lite.
*/

use std::path::Path;

use burn::prelude::*;
use burn_store::{KeyRemapper, SafetensorsStore};

use super::efficientnet_lite::STEM_BLOCKS;
use super::pytorch::{self, Stored};
use super::weights::{fill_reporting, from_pytorch, named, read, unfit};
use super::{Trunk, TrunkKind, WeightsError};
use crate::cause::Cause;

/// Imports published weights. The trunk is detected from the tensor names, and must be `kind`
/// if given.
///
/// The file is a `.safetensors` file or a PyTorch checkpoint. Tensors must have the names of
/// torchvision's ResNets (which timm shares) or of the released EfficientNet-Lite checkpoints
/// (`_conv_stem`, `_blocks.0._depthwise_conv`, …). The classifier and the norms' batch
/// counters are ignored.
///
/// # Errors
/// If the file cannot be read, does not contain such a network, or has other tensors too.
pub fn import_weights(
    path: &Path,
    kind: Option<TrunkKind>,
    device: &Device,
) -> Result<Trunk, WeightsError> {
    let unknown = |reason: Cause| WeightsError::Unknown { path: path.to_owned(), reason };
    let bytes = read(path)?;
    if named(&bytes).is_some() {
        let reason = "it is already in Barbule's own format, and can be used as it is";
        return Err(unknown(reason.into()));
    }
    let tensors = match bytes.get(8) {
        // Safetensors: a length in eight bytes, then JSON.
        Some(b'{') => safetensors_of(&bytes).map_err(unknown)?,
        _ => pytorch::read(&bytes).map_err(|reason| unknown(reason.into()))?,
    };
    drop(bytes);
    let tensors = relevant(tensors);
    let found = recognise(&tensors)
        .ok_or_else(|| unknown("its tensor names match no known network".into()))?;
    if let Some(wanted) = kind.filter(|wanted| *wanted != found) {
        return Err(WeightsError::OtherTrunk { path: path.to_owned(), found, wanted });
    }
    let unfit = |reason: Cause| unfit(path, found, reason);
    let serialized = safetensors::serialize(tensors.iter().map(|t| (&t.name, t)), None);
    let serialized = serialized.map_err(|error| unfit(error.into()))?;
    drop(tensors);
    let remapper = match found {
        TrunkKind::EfficientNetLite0 => lite_names(),
        TrunkKind::ResNet18 | TrunkKind::ResNet50 => resnet_names(),
    };
    let store = SafetensorsStore::from_bytes(Some(serialized));
    let store = store.remap(remapper.map_err(unfit)?).with_from_adapter(from_pytorch());
    let mut trunk = Trunk::new(found, device);
    // A deeper network has all these tensors plus others.
    let unused = fill_reporting(&mut trunk, store).map_err(unfit)?;
    match unused.first() {
        None => Ok(trunk),
        Some(name) => Err(unfit(format!("unexpected tensor {name}").into())),
    }
}

/// Reads the tensors of a safetensors file.
fn safetensors_of(bytes: &[u8]) -> Result<Vec<Stored>, Cause> {
    let file = safetensors::SafeTensors::deserialize(bytes)?;
    let stored = |(name, view): (String, safetensors::tensor::TensorView<'_>)| Stored {
        name,
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        data: view.data().to_vec(),
    };
    Ok(file.tensors().into_iter().map(stored).collect())
}

/// Keeps the tensors of a trunk and strips wrapper prefixes from their names.
fn relevant(mut tensors: Vec<Stored>) -> Vec<Stored> {
    for tensor in &mut tensors {
        while let Some((first, rest)) = tensor.name.split_once('.')
            && WRAPPERS.contains(&first)
        {
            tensor.name = rest.to_owned();
        }
    }
    tensors.retain(|tensor| {
        let (first, last) = (tensor.name.split('.').next(), tensor.name.rsplit('.').next());
        let classifies = first.is_some_and(|first| CLASSIFIERS.contains(&first));
        !classifies && last != Some("num_batches_tracked")
    });
    tensors
}

/// Prefixes that training programs add to tensor names.
const WRAPPERS: [&str; 3] = ["state_dict", "model", "module"];
/// First name components of classifiers.
const CLASSIFIERS: [&str; 3] = ["fc", "_fc", "classifier"];

/// Detects the trunk from tensor names.
fn recognise(tensors: &[Stored]) -> Option<TrunkKind> {
    let has = |name: &str| tensors.iter().any(|tensor| tensor.name == name);
    match () {
        () if has("_conv_stem.weight") => Some(TrunkKind::EfficientNetLite0),
        () if has("conv1.weight") && has("layer1.0.conv3.weight") => Some(TrunkKind::ResNet50),
        () if has("conv1.weight") && has("layer1.0.conv2.weight") => Some(TrunkKind::ResNet18),
        () => None,
    }
}

/// Maps torchvision's names to ours.
fn resnet_names() -> Result<KeyRemapper, Cause> {
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

/// Maps the names of the released EfficientNet-Lite checkpoints to ours.
fn lite_names() -> Result<KeyRemapper, Cause> {
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
    for block in 0..16 {
        let ours = match block {
            0..STEM_BLOCKS => format!("stem.blocks.{block}."),
            _ => format!("refine.blocks.{}.", block - STEM_BLOCKS),
        };
        patterns.push((format!(r"^_blocks\.{block}\."), ours));
    }
    Ok(KeyRemapper::from_patterns(patterns)?)
}
