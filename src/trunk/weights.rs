/*!
A trunk's weights: the ones that ship, Barbule's own files, and those of others.

Barbule's file has the names of the module tree, convolutions in half precision and
batch norms in single (a variance can be too small for half precision). Other files
are converted once by [`import`].
*/

use std::io;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use burn::tensor::DType;
use burn_store::{
    ApplyError, FloatCastAdapter, HalfPrecisionAdapter, KeyRemapper, ModuleAdapter, ModuleSnapshot,
    PyTorchToBurnAdapter, SafetensorsStore, SafetensorsStoreError,
};

use super::EfficientNetLite0;
use super::efficientnet_lite::STEM_BLOCKS;
use crate::file;

/// EfficientNet-Lite0, ImageNet-1k, half precision, without the classifier (Apache-2.0).
static EFFICIENTNET_LITE0: &[u8] = include_bytes!("../../assets/efficientnet-lite0.safetensors");

/// A file of weights larger than this is not one of ours (bytes).
const MAX_BYTES: u64 = 4 << 30;

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be read.
    #[error("cannot read the weights {}: {error}; name a .safetensors file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not a safetensors file, or not of this network.
    #[error("{} does not hold the weights of {network}: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The network that was to be filled.
        network: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The file could not be written.
    #[error("{} could not be written: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The weights that ship with Barbule.
///
/// # Errors
/// Only if the program itself is damaged.
pub fn shipped(device: &Device) -> Result<EfficientNetLite0, WeightsError> {
    let store = SafetensorsStore::from_bytes(Some(EFFICIENTNET_LITE0.to_vec()));
    fill(Path::new("the shipped trunk"), store, device)
}

/// Weights from a file that [`save`] or [`import`] wrote.
///
/// # Errors
/// When the file cannot be read or is not one of this network.
pub fn load(path: &Path, device: &Device) -> Result<EfficientNetLite0, WeightsError> {
    fill(path, read(path)?, device)
}

/// Weights from a `.safetensors` file with the names of the released EfficientNet-Lite
/// checkpoints (`_conv_stem`, `_blocks.0._depthwise_conv`, …). A classifier is ignored.
///
/// # Errors
/// When the file cannot be read or is not one of this network.
pub fn import(path: &Path, device: &Device) -> Result<EfficientNetLite0, WeightsError> {
    let remapper = released_names().map_err(|reason| unfit(path, reason))?;
    fill(path, read(path)?.remap(remapper), device)
}

/// Writes a trunk's weights, in half precision if asked for.
///
/// # Errors
/// When the file cannot be written; nothing is left behind then.
pub fn save(trunk: &EfficientNetLite0, path: &Path, half: bool) -> Result<(), WeightsError> {
    let mut store = SafetensorsStore::from_bytes(None);
    store = store.metadata("licence", "Apache-2.0").metadata("trunk", "efficientnet-lite0");
    if half {
        store = store.with_to_adapter(half_precision());
    }
    let failed = |reason| WeightsError::Write { path: path.to_owned(), reason };
    trunk.save_into(&mut store).map_err(|error| failed(error.to_string()))?;
    let bytes = store.get_bytes().map_err(|error| failed(error.to_string()))?;
    file::write_whole(path, |out| out.write_all(&bytes)).map_err(|error| failed(error.to_string()))
}

/// The trunk as it is after being written in half precision and read back.
///
/// # Errors
/// Only if memory runs out.
pub fn rounded(
    trunk: EfficientNetLite0,
    device: &Device,
) -> Result<EfficientNetLite0, WeightsError> {
    let path = Path::new("the trunk in memory");
    let failed = |error: SafetensorsStoreError| unfit(path, error.to_string());
    let mut store = SafetensorsStore::from_bytes(None).with_to_adapter(half_precision());
    trunk.save_into(&mut store).map_err(failed)?;
    let bytes = store.get_bytes().map_err(failed)?;
    fill(path, SafetensorsStore::from_bytes(Some(bytes)), device)
}

/// A hash of all weights as [`save`] writes them in half precision.
///
/// # Errors
/// Only if memory runs out.
pub fn fingerprint(trunk: &EfficientNetLite0) -> Result<blake3::Hash, WeightsError> {
    let failed = |error: SafetensorsStoreError| unfit(Path::new("the trunk"), error.to_string());
    // Without metadata, whose entries are in another order each time.
    let store = SafetensorsStore::from_bytes(None).clear_metadata();
    let mut store = store.with_to_adapter(half_precision());
    trunk.save_into(&mut store).map_err(failed)?;
    Ok(blake3::hash(&store.get_bytes().map_err(failed)?))
}

/// Half precision for convolutions; batch norms keep theirs.
pub(crate) fn half_precision() -> HalfPrecisionAdapter {
    HalfPrecisionAdapter::new().with_module("ConvNorm")
}

fn fill(
    path: &Path,
    store: SafetensorsStore,
    device: &Device,
) -> Result<EfficientNetLite0, WeightsError> {
    let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(DType::F32));
    let mut trunk = EfficientNetLite0::new(device);
    fill_whole(&mut trunk, store.with_from_adapter(adapter)).map_err(|e| unfit(path, e))?;
    Ok(trunk)
}

/// The content of a file, not looked at yet.
fn read(path: &Path) -> Result<SafetensorsStore, WeightsError> {
    let bytes = file::read_whole(path, MAX_BYTES)
        .map_err(|error| WeightsError::Read { path: path.to_owned(), error })?;
    Ok(SafetensorsStore::from_bytes(Some(bytes)))
}

/// Fills every tensor of `module`, or says in half a sentence which one cannot be filled
/// (the store's own report is a page).
pub(crate) fn fill_whole(
    module: &mut impl ModuleSnapshot,
    store: SafetensorsStore,
) -> Result<(), String> {
    let mut store = store.validate(false).allow_partial(true);
    let filled = module.load_from(&mut store).map_err(|error| error.to_string())?;
    match (filled.errors.first(), filled.missing.first()) {
        (None, None) => Ok(()),
        (Some(ApplyError::ShapeMismatch { path, expected, found }), _) => {
            Err(format!("{path} has the shape {found:?} instead of {expected:?}"))
        }
        (Some(ApplyError::DTypeMismatch { path, found, .. }), _) => {
            Err(format!("{path} has numbers of the type {found:?} instead of floating point"))
        }
        (Some(error), _) => Err(error.to_string()),
        (None, Some((name, _))) => Err(format!("there is no tensor {name} in it")),
    }
}

fn unfit(path: &Path, reason: String) -> WeightsError {
    WeightsError::Unfit { path: path.to_owned(), network: "efficientnet-lite0", reason }
}

/// From the released checkpoints' names to ours.
fn released_names() -> Result<KeyRemapper, String> {
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
    KeyRemapper::from_patterns(patterns).map_err(|error| error.to_string())
}
