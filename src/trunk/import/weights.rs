/*!
From a published file to a trunk.
*/

use std::path::Path;

use burn::prelude::*;
use burn_store::{KeyRemapper, SafetensorsStore};

use super::found::Found;
use super::tensors::Tensors;
use super::{convnext, efficientnet_lite, resnet, vit};
use crate::cause::Cause;
use crate::trunk::kind::Design;
use crate::trunk::pytorch::{self, Stored};
use crate::trunk::weights::{fill_reporting, from_pytorch, named, read, unfit};
use crate::trunk::{Input, Trunk, TrunkKind, WeightsError};

/// First name components of classifiers of convolutional networks.
const CLASSIFIERS: [&str; 3] = ["fc", "_fc", "classifier"];

/// What is known of a file besides its content.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Import {
    /// The trunk that it must be.
    pub trunk: Option<TrunkKind>,
    /// The preparation of images; `None` for the usual one of the trunk.
    pub input: Option<Input>,
    /// The licence of the weights.
    pub licence: Option<String>,
}

impl Import {
    /// Changes fields.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Imports published weights. The trunk is detected from the names and shapes of tensors.
///
/// The file is a `.safetensors` file or a PyTorch checkpoint. Classifiers, text towers and counters
/// are ignored.
///
/// # Errors
/// If the file cannot be read, does not contain such a network, or has other tensors too; if it is
/// of another trunk than the wanted one, or of several that tensors do not tell apart.
pub fn import_weights(
    path: &Path,
    import: &Import,
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
    let mut tensors = Tensors::new(tensors);
    let found = recognise(&mut tensors).map_err(unknown)?;
    let kind = choose(&found, import.trunk, path)?;
    let unfit = |reason: Cause| unfit(path, kind, reason);
    let remapper = prepare(&mut tensors, kind).map_err(unfit)?;
    let tensors = tensors.into_inner();
    let serialized = safetensors::serialize(tensors.iter().map(|t| (&t.name, t)), None);
    let serialized = serialized.map_err(|error| unfit(error.into()))?;
    drop(tensors);
    let mut store = SafetensorsStore::from_bytes(Some(serialized));
    if let Some(remapper) = remapper {
        store = store.remap(remapper);
    }
    let mut trunk = Trunk::new(kind, device);
    // A deeper network has all these tensors plus others.
    let store = store.with_from_adapter(from_pytorch());
    let unused = fill_reporting(&mut trunk, store).map_err(unfit)?;
    if let Some(name) = unused.first() {
        return Err(unfit(format!("unexpected tensor {name}").into()));
    }
    let input = import.input.or(found.input).unwrap_or(kind.input());
    Ok(trunk.with_input(input).with_licence(import.licence.clone().or(found.licence)))
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

/// Detects the trunk.
fn recognise(tensors: &mut Tensors) -> Result<Found, Cause> {
    let found = efficientnet_lite::recognise(tensors)
        .or_else(|| resnet::recognise(tensors))
        .or_else(|| convnext::recognise(tensors))
        .or_else(|| vit::recognise(tensors));
    found.unwrap_or_else(|| {
        Err("its tensor names match no known network; supported are EfficientNet-Lite, \
                         ResNet-18 and -50, ConvNeXt, DINOv2, DINOv3, CLIP and plain transformers"
            .into())
    })
}

/// Chooses the wanted kind among those that have such tensors.
fn choose(
    found: &Found,
    wanted: Option<TrunkKind>,
    path: &Path,
) -> Result<TrunkKind, WeightsError> {
    let path = || path.to_owned();
    match (&found.kinds[..], wanted) {
        (kinds, Some(wanted)) if kinds.contains(&wanted) => Ok(wanted),
        ([found, ..], Some(wanted)) => {
            Err(WeightsError::OtherTrunk { path: path(), found: *found, wanted })
        }
        ([kind], None) => Ok(*kind),
        (kinds, None) => Err(WeightsError::Several { path: path(), kinds: kinds.to_vec() }),
        ([], Some(wanted)) => Err(unfit(&path(), wanted, "it has no tensors")),
    }
}

/// Gives the tensors our names, or returns how to.
fn prepare(tensors: &mut Tensors, kind: TrunkKind) -> Result<Option<KeyRemapper>, Cause> {
    match kind.design() {
        Design::EfficientNetLite(size) => {
            tensors.drop(classifies);
            efficientnet_lite::names(size).map(Some)
        }
        Design::ResNet(_) => {
            tensors.drop(classifies);
            resnet::names().map(Some)
        }
        Design::ConvNext(_) => {
            convnext::rename(tensors);
            Ok(None)
        }
        Design::Vit(shape) => vit::rename(tensors, shape).map(|()| None),
    }
}

fn classifies(name: &str) -> bool {
    name.split('.').next().is_some_and(|first| CLASSIFIERS.contains(&first))
}
