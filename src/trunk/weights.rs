/*!
Weights of a trunk: the shipped ones, Barbule's own files, and published checkpoints.

Tensors in Barbule's files are named by the module tree. Convolutions and linear layers are stored
in half precision, norms in single precision (a variance can be too small for half precision). The
metadata contain the trunk's name, and the preparation of images and the licence where they are
known. The importer (feature `train`) converts other files.
*/

use std::io;
use std::path::Path;

use burn::prelude::*;
use burn::tensor::DType;
use burn_store::{
    ApplyError, FloatCastAdapter, HalfPrecisionAdapter, ModuleAdapter, ModuleSnapshot,
    PyTorchToBurnAdapter, SafetensorsStore, SafetensorsStoreError,
};

use super::{Input, Trunk, TrunkKind, WeightsError};
use crate::cause::{Cause, told};
use crate::file;

/// EfficientNet-Lite0, ImageNet-1k, half precision, without the classifier (Apache-2.0).
static EFFICIENTNET_LITE0: &[u8] = include_bytes!("../../assets/efficientnet-lite0.safetensors");

/// The metadata key of the trunk's name.
const TRUNK: &str = "trunk";
/// The metadata key of the preparation of images, where it is not the usual one of the trunk.
const INPUT: &str = "input";
/// The metadata key of the licence.
const LICENCE: &str = "licence";
/// Maximum size of a weights file, in bytes.
const MAX_BYTES: u64 = 4 << 30;

/// Returns the trunk that ships with Barbule.
///
/// # Errors
/// Only if the program file is damaged.
pub fn shipped(device: &Device) -> Result<Trunk, WeightsError> {
    let kind = TrunkKind::EfficientNetLite0;
    let store = SafetensorsStore::from_bytes(Some(EFFICIENTNET_LITE0.to_vec()));
    let mut trunk = Trunk::new(kind, device);
    let filled = fill_whole(&mut trunk, store.with_from_adapter(from_pytorch()));
    let failed = |reason| unfit(Path::new("the shipped trunk"), kind, reason);
    filled.map(|()| trunk).map_err(failed)
}

/// Loads weights from a file written by [`save`].
///
/// # Errors
/// If the file cannot be read or contains another network.
pub fn load(path: &Path, kind: TrunkKind, device: &Device) -> Result<Trunk, WeightsError> {
    let bytes = read(path)?;
    if let Some(found) = named(&bytes).filter(|found| *found != kind) {
        return Err(WeightsError::OtherTrunk { path: path.to_owned(), found, wanted: kind });
    }
    let input = match metadata(&bytes, INPUT) {
        Some(text) => input(&text).map_err(|reason| unfit(path, kind, reason))?,
        None => kind.input(),
    };
    let licence = metadata(&bytes, LICENCE);
    let trunk = fill(path, kind, SafetensorsStore::from_bytes(Some(bytes)), device)?;
    Ok(trunk.with_input(input).with_licence(licence))
}

/// Reads a preparation of images, and makes sure that it can be one.
fn input(text: &str) -> Result<Input, Cause> {
    let damaged = |error: serde_json::Error| {
        told(format!("its preparation of images is damaged ({error})"), error)
    };
    let input: Input = serde_json::from_str(text).map_err(damaged)?;
    input.preprocess(224)?;
    Ok(input)
}

/// Returns the trunk named in a file's metadata, if any.
pub(super) fn named(bytes: &[u8]) -> Option<TrunkKind> {
    metadata(bytes, TRUNK)?.parse().ok()
}

fn metadata(bytes: &[u8], key: &str) -> Option<String> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).ok()?;
    header.metadata().as_ref()?.get(key).cloned()
}

/// Writes a trunk's weights, in half precision if `half`.
///
/// # Errors
/// If the file cannot be written. No partial file is left behind then.
pub fn save(trunk: &Trunk, path: &Path, half: bool) -> Result<(), WeightsError> {
    let mut store = SafetensorsStore::from_bytes(None).skip_enum_variants(true);
    store = store.metadata(TRUNK, trunk.kind().name());
    if let Some(licence) = trunk.known_licence() {
        store = store.metadata(LICENCE, licence);
    } else if trunk.kind().ships() {
        store = store.metadata(LICENCE, "Apache-2.0");
    }
    if trunk.input() != trunk.kind().input() {
        let input = serde_json::to_string(&trunk.input());
        store = store.metadata(INPUT, input.map_err(|error| failed_json(path, error))?);
    }
    if half {
        store = store.with_to_adapter(half_precision());
    }
    let failed = |source| WeightsError::Write { path: path.to_owned(), source };
    let other = |error: SafetensorsStoreError| failed(io::Error::other(error));
    trunk.save_into(&mut store).map_err(other)?;
    let bytes = store.get_bytes().map_err(other)?;
    file::write_whole(path, |out| out.write_all(&bytes)).map_err(failed)
}

fn failed_json(path: &Path, error: serde_json::Error) -> WeightsError {
    WeightsError::Write { path: path.to_owned(), source: io::Error::other(error) }
}

/// Rounds the weights as if written in half precision and read back.
///
/// # Errors
/// Only if memory runs out.
pub fn rounded(trunk: Trunk, device: &Device) -> Result<Trunk, WeightsError> {
    let (path, kind) = (Path::new("the trunk in memory"), trunk.kind());
    let failed = |error: SafetensorsStoreError| unfit(path, kind, error);
    let store = SafetensorsStore::from_bytes(None).skip_enum_variants(true);
    let mut store = store.with_to_adapter(half_precision());
    trunk.save_into(&mut store).map_err(failed)?;
    let bytes = store.get_bytes().map_err(failed)?;
    let (input, licence) = (trunk.input(), trunk.known_licence().map(str::to_owned));
    let rounded = fill(path, kind, SafetensorsStore::from_bytes(Some(bytes)), device)?;
    Ok(rounded.with_input(input).with_licence(licence))
}

/// Returns a hash of all weights in the half precision of [`save`].
///
/// # Errors
/// Only if memory runs out.
pub fn fingerprint(trunk: &Trunk) -> Result<blake3::Hash, WeightsError> {
    let failed = |error: SafetensorsStoreError| unfit(Path::new("the trunk"), trunk.kind(), error);
    // Without metadata, whose order changes from run to run.
    let store = SafetensorsStore::from_bytes(None).clear_metadata().skip_enum_variants(true);
    let mut store = store.with_to_adapter(half_precision());
    trunk.save_into(&mut store).map_err(failed)?;
    Ok(blake3::hash(&store.get_bytes().map_err(failed)?))
}

/// Half precision for convolutions and linear layers. Norms, positions and the scales of branches
/// stay in single precision.
pub(crate) fn half_precision() -> HalfPrecisionAdapter {
    ["ConvNorm", "Conv", "Dense"]
        .into_iter()
        .fold(HalfPrecisionAdapter::new(), |all, module| all.with_module(module))
        .without_module("LayerNorm")
}

/// Accepts PyTorch's names for the tensors of norms, and any floating-point type.
pub(super) fn from_pytorch() -> impl ModuleAdapter + 'static {
    PyTorchToBurnAdapter.chain(FloatCastAdapter::to(DType::F32))
}

fn fill(
    path: &Path,
    kind: TrunkKind,
    store: SafetensorsStore,
    device: &Device,
) -> Result<Trunk, WeightsError> {
    let mut trunk = Trunk::new(kind, device);
    let store = store.with_from_adapter(from_pytorch());
    fill_whole(&mut trunk, store).map_err(|reason| unfit(path, kind, reason))?;
    Ok(trunk)
}

/// Reads a file's content without parsing it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    file::read_whole(path, MAX_BYTES)
        .map_err(|source| WeightsError::Read { path: path.to_owned(), source })
}

/// Fills every tensor of `module`. The error is a short phrase about the first tensor that
/// cannot be filled (the store's own report is a page long).
pub(crate) fn fill_whole(
    module: &mut impl ModuleSnapshot,
    store: SafetensorsStore,
) -> Result<(), Cause> {
    fill_reporting(module, store).map(drop)
}

/// Like [`fill_whole`], but returns the names of unused tensors.
pub(super) fn fill_reporting(
    module: &mut impl ModuleSnapshot,
    store: SafetensorsStore,
) -> Result<Vec<String>, Cause> {
    let mut store = store.validate(false).allow_partial(true).skip_enum_variants(true);
    let filled = module.load_from(&mut store)?;
    let Some(error) = filled.errors.into_iter().next() else {
        return match filled.missing.first() {
            None => Ok(filled.unused),
            Some((name, _)) => Err(format!("missing tensor {name}").into()),
        };
    };
    let text = match &error {
        ApplyError::ShapeMismatch { path, expected, found } => {
            format!("{path} has the shape {:?} instead of {:?}", &found[..], &expected[..])
        }
        ApplyError::DTypeMismatch { path, found, .. } => {
            format!("{path} has the type {found:?} instead of floating point")
        }
        _ => return Err(error.into()),
    };
    Err(told(text, error))
}

pub(super) fn unfit(path: &Path, network: TrunkKind, reason: impl Into<Cause>) -> WeightsError {
    WeightsError::Unfit { path: path.to_owned(), network, reason: reason.into() }
}
