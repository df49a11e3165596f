/*!
Writing a model file: everything or nothing.
*/

use std::fs::File;
use std::io;
use std::path::Path;

use burn_store::{ModuleSnapshot, SafetensorsStore};

use super::format::{CARD, has_card};
use super::layers::{HashAlone, HashWeights, KERNEL, Network};
use super::{Card, ModelError};
use crate::cause::Cause;
use crate::device::Device;
use crate::file;
use crate::hash::{Hash, KernelHash};
use crate::network::Extractor;
use crate::trunk::weights::{self, half_precision};

/// Writes a model: everything or nothing.
///
/// # Errors
/// When the card and the hash disagree or the file cannot be written.
pub fn write(path: &Path, card: &Card, network: Extractor, hash: &Hash) -> Result<(), ModelError> {
    let device = network.stem.device();
    let card = Card { shared_trunk: None, ..card.clone() };
    let network = Network { trunk: network, hash: HashWeights::new(hash, &device) };
    let bytes = module_bytes(path, &card, hash, &network)?;
    file::write_whole(path, |out| out.write_all(&bytes)).map_err(unwritten(path))
}

/// Writes a model of pooled features without its trunk, which is the shipped one:
/// everything or nothing.
///
/// # Errors
/// As [`write()`].
pub fn write_sharing_trunk(
    path: &Path,
    card: &Card,
    hash: &Hash,
    device: &Device,
) -> Result<(), ModelError> {
    let bytes = bytes_sharing_trunk(path, card, hash, device)?;
    file::write_whole(path, |out| out.write_all(&bytes)).map_err(unwritten(path))
}

/// Returns the bytes of the file that [`write_sharing_trunk`] writes. `name` is the model's name in
/// errors.
///
/// # Errors
/// When the card and the hash disagree or the trunk does not ship.
pub fn bytes_sharing_trunk(
    name: &Path,
    card: &Card,
    hash: &Hash,
    device: &Device,
) -> Result<Vec<u8>, ModelError> {
    let burn = device.burn();
    let failed = |reason: Cause| unwritten(name)(io::Error::other(reason));
    if !card.trunk.ships() {
        return Err(failed(
            format!("its trunk {} does not ship and cannot be shared", card.trunk).into(),
        ));
    }
    let trunk = weights::shipped(&burn).map_err(|error| failed(error.into()))?;
    let trunk = weights::fingerprint(&trunk).map_err(|error| failed(error.into()))?;
    let card = Card { shared_trunk: Some(trunk.to_hex().to_string()), ..card.clone() };
    module_bytes(name, &card, hash, &HashAlone { hash: HashWeights::new(hash, &burn) })
}

/// Returns the bytes of a model file; `name` is its name in errors.
fn module_bytes(
    name: &Path,
    card: &Card,
    hash: &Hash,
    module: &impl ModuleSnapshot,
) -> Result<Vec<u8>, ModelError> {
    let failed = |reason: Cause| unwritten(name)(io::Error::other(reason));
    if *card != card.clone().with_hash(hash) || card.features() != hash.dim() {
        return Err(failed("the hash does not belong to the card".into()));
    }
    let mut card = card.clone();
    // Times differ from run to run, and the same training is to give the same file.
    card.figures.retain(|name, _| !name.starts_with("seconds"));
    let card = serde_json::to_string(&card).map_err(|error| failed(error.into()))?;
    // The card alone: several entries would be written in another order each time.
    let store = SafetensorsStore::from_bytes(None).clear_metadata().metadata(CARD, card);
    // Anchors that were rounded before the fit lose nothing.
    let rounded = hash.kernel().is_some_and(KernelHash::is_half_precision);
    let adapter = half_precision();
    let adapter = if rounded { adapter.with_module(KERNEL) } else { adapter };
    let mut store = store.with_to_adapter(adapter).skip_enum_variants(true);
    module.save_into(&mut store).map_err(|error| failed(error.into()))?;
    store.get_bytes().map_err(|error| failed(error.into()))
}

/// Makes sure that a model can be written to `path`, before anything long begins.
///
/// # Errors
/// If the folder is missing or not writable, or `path` is a folder or a file that holds something
/// else than a model.
pub fn check_writable(path: &Path) -> Result<(), ModelError> {
    file::check_writable(path).map_err(unwritten(path))?;
    let Ok(file) = File::open(path) else { return Ok(()) };
    // An empty file is one whose name was only reserved.
    let is_empty = file.metadata().is_ok_and(|meta| meta.len() == 0);
    if is_empty || has_card(file) {
        return Ok(());
    }
    Err(ModelError::Occupied { path: path.to_owned() })
}

/// For `map_err`: that a model could not be written.
fn unwritten(path: &Path) -> impl Fn(io::Error) -> ModelError {
    let path = path.to_owned();
    move |source| ModelError::Write { path: path.clone(), source }
}
