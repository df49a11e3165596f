/*!
A trunk's weights: the ones that ship, Barbule's own files, and those of others.

Barbule's file has the names of the module tree, convolutions in half precision and
batch norms in single (a variance can be too small for half precision), and the trunk's
name in its metadata. Other files are converted once by [`import`].
*/

use std::io;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use burn::tensor::DType;
use burn_store::{
    ApplyError, FloatCastAdapter, HalfPrecisionAdapter, KeyRemapper, ModuleAdapter, ModuleSnapshot,
    PyTorchToBurnAdapter, SafetensorsStore, SafetensorsStoreError,
};

use super::efficientnet_lite::STEM_BLOCKS;
use super::pytorch::{self, Stored};
use super::{EfficientNetLite0, Trunk, TrunkKind};
use crate::file;

/// EfficientNet-Lite0, ImageNet-1k, half precision, without the classifier (Apache-2.0).
static EFFICIENTNET_LITE0: &[u8] = include_bytes!("../../assets/efficientnet-lite0.safetensors");

/// The metadata key of the trunk's name.
const TRUNK: &str = "trunk";
/// A file of weights larger than this is not one of ours (bytes).
const MAX_BYTES: u64 = 4 << 30;

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be read.
    #[error("cannot read the weights {}: {error}; name a file of weights", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not a file of weights, or not of this network.
    #[error("{} does not hold the weights of {network}: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The network that was to be filled.
        network: TrunkKind,
        /// What is wrong.
        reason: String,
    },
    /// The file is of another trunk.
    #[error("{} holds the weights of {found}, not of {wanted}; use --trunk {found}", path.display())]
    OtherTrunk {
        /// The file.
        path: PathBuf,
        /// Its trunk.
        found: TrunkKind,
        /// The trunk that was asked for.
        wanted: TrunkKind,
    },
    /// Nothing in a published file says which trunk it is of.
    #[error(
        "{} cannot be imported: {reason}; published weights of efficientnet-lite0, resnet18 and resnet50 can, as .pth or .safetensors", path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The trunk's weights have to be given.
    #[error(
        "the weights of {0} do not ship with Barbule; convert torchvision's ImageNet weights (a .pth file) by `barbule weights import FILE --out {0}.safetensors` and name the result with --weights"
    )]
    NotShipped(TrunkKind),
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
    let kind = TrunkKind::EfficientNetLite0;
    let store = SafetensorsStore::from_bytes(Some(EFFICIENTNET_LITE0.to_vec()));
    let mut trunk = EfficientNetLite0::new(device);
    let filled = fill_whole(&mut trunk, store.with_from_adapter(from_pytorch()));
    let failed = |reason| unfit(Path::new("the shipped trunk"), kind, reason);
    filled.map(|()| trunk).map_err(failed)
}

/// Weights from a file that [`save`] wrote.
///
/// # Errors
/// When the file cannot be read or is not one of this network.
pub fn load(path: &Path, kind: TrunkKind, device: &Device) -> Result<Trunk, WeightsError> {
    let bytes = read(path)?;
    if let Some(found) = named(&bytes).filter(|found| *found != kind) {
        return Err(WeightsError::OtherTrunk { path: path.to_owned(), found, wanted: kind });
    }
    fill(path, kind, SafetensorsStore::from_bytes(Some(bytes)), device)
}

/// The trunk that the metadata of a file name, if they do.
fn named(bytes: &[u8]) -> Option<TrunkKind> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).ok()?;
    header.metadata().as_ref()?.get(TRUNK)?.parse().ok()
}

/// Published weights, of the trunk that the names in the file tell, which must be `kind` if
/// one is given.
///
/// A file is a `.safetensors` file or what PyTorch saved, with the names of torchvision's
/// ResNets (which timm shares) or of the released EfficientNet-Lite checkpoints
/// (`_conv_stem`, `_blocks.0._depthwise_conv`, …). The classifier and the counters of the
/// norms are left out.
///
/// # Errors
/// When the file cannot be read, or is not one of such a network and of nothing else.
pub fn import(
    path: &Path,
    kind: Option<TrunkKind>,
    device: &Device,
) -> Result<Trunk, WeightsError> {
    let unknown = |reason: String| WeightsError::Unknown { path: path.to_owned(), reason };
    let bytes = read(path)?;
    if named(&bytes).is_some() {
        let reason = "it is in Barbule's own form already, for --weights";
        return Err(unknown(reason.to_owned()));
    }
    let tensors = match bytes.get(8) {
        // A length in eight bytes, then JSON.
        Some(b'{') => safetensors_of(&bytes).map_err(unknown)?,
        _ => pytorch::read(&bytes).map_err(unknown)?,
    };
    drop(bytes);
    let tensors = relevant(tensors);
    let found = recognise(&tensors)
        .ok_or_else(|| unknown("its tensors do not have the names of such a network".to_owned()))?;
    if let Some(wanted) = kind.filter(|wanted| *wanted != found) {
        return Err(WeightsError::OtherTrunk { path: path.to_owned(), found, wanted });
    }
    let unfit = |reason| unfit(path, found, reason);
    let serialized = safetensors::serialize(tensors.iter().map(|t| (&t.name, t)), None);
    let serialized = serialized.map_err(|error| unfit(error.to_string()))?;
    drop(tensors);
    let remapper = match found {
        TrunkKind::EfficientNetLite0 => lite_names(),
        TrunkKind::ResNet18 | TrunkKind::ResNet50 => resnet_names(),
    };
    let store = SafetensorsStore::from_bytes(Some(serialized));
    let store = store.remap(remapper.map_err(unfit)?).with_from_adapter(from_pytorch());
    let mut trunk = Trunk::new(found, device);
    // A deeper network has all these tensors, and others.
    let unused = fill_reporting(&mut trunk, store).map_err(unfit)?;
    match unused.first() {
        None => Ok(trunk),
        Some(name) => Err(unfit(format!("it has no place for the tensor {name}"))),
    }
}

/// The tensors of a safetensors file.
fn safetensors_of(bytes: &[u8]) -> Result<Vec<Stored>, String> {
    let file = safetensors::SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let stored = |(name, view): (String, safetensors::tensor::TensorView<'_>)| Stored {
        name,
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        data: view.data().to_vec(),
    };
    Ok(file.tensors().into_iter().map(stored).collect())
}

/// What belongs to a trunk, without the names that wrappers put in front.
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

/// Names that training programs put in front of a network's own.
const WRAPPERS: [&str; 3] = ["state_dict", "model", "module"];
/// What classifiers are called.
const CLASSIFIERS: [&str; 3] = ["fc", "_fc", "classifier"];

/// Which trunk the tensors are of.
fn recognise(tensors: &[Stored]) -> Option<TrunkKind> {
    let has = |name: &str| tensors.iter().any(|tensor| tensor.name == name);
    match () {
        () if has("_conv_stem.weight") => Some(TrunkKind::EfficientNetLite0),
        () if has("conv1.weight") && has("layer1.0.conv3.weight") => Some(TrunkKind::ResNet50),
        () if has("conv1.weight") && has("layer1.0.conv2.weight") => Some(TrunkKind::ResNet18),
        () => None,
    }
}

/// Writes a trunk's weights, in half precision if asked for.
///
/// # Errors
/// When the file cannot be written; nothing is left behind then.
pub fn save(trunk: &Trunk, path: &Path, half: bool) -> Result<(), WeightsError> {
    let mut store = SafetensorsStore::from_bytes(None).skip_enum_variants(true);
    store = store.metadata(TRUNK, trunk.kind().name());
    if trunk.kind().ships() {
        store = store.metadata("licence", "Apache-2.0");
    }
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
pub fn rounded(trunk: Trunk, device: &Device) -> Result<Trunk, WeightsError> {
    let (path, kind) = (Path::new("the trunk in memory"), trunk.kind());
    let failed = |error: SafetensorsStoreError| unfit(path, kind, error.to_string());
    let store = SafetensorsStore::from_bytes(None).skip_enum_variants(true);
    let mut store = store.with_to_adapter(half_precision());
    trunk.save_into(&mut store).map_err(failed)?;
    let bytes = store.get_bytes().map_err(failed)?;
    fill(path, kind, SafetensorsStore::from_bytes(Some(bytes)), device)
}

/// A hash of all weights as [`save`] writes them in half precision.
///
/// # Errors
/// Only if memory runs out.
pub fn fingerprint(trunk: &Trunk) -> Result<blake3::Hash, WeightsError> {
    let failed = |error: SafetensorsStoreError| {
        unfit(Path::new("the trunk"), trunk.kind(), error.to_string())
    };
    // Without metadata, whose entries are in another order each time.
    let store = SafetensorsStore::from_bytes(None).clear_metadata().skip_enum_variants(true);
    let mut store = store.with_to_adapter(half_precision());
    trunk.save_into(&mut store).map_err(failed)?;
    Ok(blake3::hash(&store.get_bytes().map_err(failed)?))
}

/// Half precision for convolutions; batch norms keep theirs.
pub(crate) fn half_precision() -> HalfPrecisionAdapter {
    HalfPrecisionAdapter::new().with_module("ConvNorm")
}

/// Names of norms' tensors as PyTorch has them, and any floating point.
fn from_pytorch() -> impl ModuleAdapter + 'static {
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

/// The content of a file, not looked at yet.
fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    file::read_whole(path, MAX_BYTES)
        .map_err(|error| WeightsError::Read { path: path.to_owned(), error })
}

/// Fills every tensor of `module`, or says in half a sentence which one cannot be filled
/// (the store's own report is a page).
pub(crate) fn fill_whole(
    module: &mut impl ModuleSnapshot,
    store: SafetensorsStore,
) -> Result<(), String> {
    fill_reporting(module, store).map(drop)
}

/// The same; gives the names that were not used.
fn fill_reporting(
    module: &mut impl ModuleSnapshot,
    store: SafetensorsStore,
) -> Result<Vec<String>, String> {
    let mut store = store.validate(false).allow_partial(true).skip_enum_variants(true);
    let filled = module.load_from(&mut store).map_err(|error| error.to_string())?;
    match (filled.errors.first(), filled.missing.first()) {
        (None, None) => Ok(filled.unused),
        (Some(ApplyError::ShapeMismatch { path, expected, found }), _) => {
            Err(format!("{path} has the shape {:?} instead of {:?}", &found[..], &expected[..]))
        }
        (Some(ApplyError::DTypeMismatch { path, found, .. }), _) => {
            Err(format!("{path} has numbers of the type {found:?} instead of floating point"))
        }
        (Some(error), _) => Err(error.to_string()),
        (None, Some((name, _))) => Err(format!("there is no tensor {name} in it")),
    }
}

fn unfit(path: &Path, network: TrunkKind, reason: String) -> WeightsError {
    WeightsError::Unfit { path: path.to_owned(), network, reason }
}

/// From torchvision's names to ours.
fn resnet_names() -> Result<KeyRemapper, String> {
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
    KeyRemapper::from_patterns(patterns.to_vec()).map_err(|error| error.to_string())
}

/// From the names of the released EfficientNet-Lite checkpoints to ours.
fn lite_names() -> Result<KeyRemapper, String> {
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
