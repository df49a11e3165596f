/*!
The version of a model file, and the card in its header.
*/

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{Card, ModelError};
use crate::cause::{Cause, told};
use crate::code::BinaryCodes;
use crate::hash::Hash;
use crate::hash::codebooks::{WORD_BITS, WORDS};
use crate::network::{AttentionKind, Layers};

/// Version of most model files.
pub const FORMAT: u32 = 1;
/// Version of a model file with a kernel, with saliency, or with the pretrained layers beside
/// the trained ones. Programs of before would take it for a damaged one, or leave a part of it
/// out; by the version they know to ask for a newer program.
pub(super) const FORMAT_MORE: u32 = 2;
/// Version of a model file with a codebook for every 4 values of a linear hash.
pub(super) const FORMAT_CODEBOOKS: u32 = 3;
/// Version of a model file with any other codebooks (of values of unit length, of more or fewer
/// values than bits, or of those of a kernel), or with anchors in half precision.
pub(super) const FORMAT_WORDS: u32 = 4;
/// Version of a model file with a linear hash of parts that another attention than ExchNet's finds,
/// or of projections.
pub(super) const FORMAT_LAYERS: u32 = 5;
/// Version of a model file with features that pass by a kernel.
pub(super) const FORMAT_PLAIN: u32 = 6;
/// Version of a model file with a linear hash of parts that a first look at the image directs to.
pub(super) const FORMAT_GLANCE: u32 = 7;
/// The newest version that this program reads.
pub(super) const NEWEST: u32 = FORMAT_GLANCE;
/// The metadata key of the card.
pub(super) const CARD: &str = "barbule";
/// More than any model's header, in bytes.
const MAX_HEADER: u64 = 16 << 20;
/// More parts than any network has.
const MAX_PARTS: usize = 64;

/// Returns the version of a file with this hash of a network with these layers.
pub fn format_of(hash: &Hash, layers: &Layers) -> u32 {
    if let Some(format) = format_of_layers(layers) {
        return format;
    }
    let more = layers.saliency.is_some() || layers.original;
    match hash {
        _ if hash.kernel().is_some_and(|kernel| kernel.plain() > 0) => FORMAT_PLAIN,
        Hash::Quantizer(words) => {
            let usual = hash.linear().bits() == hash.bits() && hash.kernel().is_none();
            if usual && !words.is_unit() { FORMAT_CODEBOOKS } else { FORMAT_WORDS }
        }
        Hash::Linear(_) if !more => FORMAT,
        Hash::Kernel(kernel) if kernel.is_half_precision() => FORMAT_WORDS,
        Hash::Linear(_) | Hash::Kernel(_) => FORMAT_MORE,
    }
}

/// Returns the version that layers need whatever the hash, if they do.
fn format_of_layers(layers: &Layers) -> Option<u32> {
    match layers.attention {
        AttentionKind::Glance => Some(FORMAT_GLANCE),
        AttentionKind::Chain | AttentionKind::Strips => Some(FORMAT_LAYERS),
        AttentionKind::Together => (layers.projections > 0).then_some(FORMAT_LAYERS),
    }
}

/// Returns whether a file has the card of a model, of any version.
pub(super) fn has_card(file: impl Read) -> bool {
    let mut file = file;
    let mut length = [0; 8];
    if file.read_exact(&mut length).is_err() || u64::from_le_bytes(length) > MAX_HEADER {
        return false;
    }
    let mut header = Vec::new();
    let read = file.take(u64::from_le_bytes(length)).read_to_end(&mut header);
    let header = read.ok().and_then(|_| serde_json::from_slice::<Value>(&header).ok());
    header.is_some_and(|header| header["__metadata__"][CARD].is_string())
}

/// Reads the card of the model file with the content `bytes`, and checks that it is one of a
/// model of this program.
pub(super) fn read_card(path: &Path, bytes: &[u8]) -> Result<Card, ModelError> {
    let unfit = |reason: Cause| ModelError::Unfit { path: path.to_owned(), reason };
    let (_, header) =
        safetensors::SafeTensors::read_metadata(bytes).map_err(|error| unfit(error.into()))?;
    let empty = HashMap::new();
    let text = header.metadata().as_ref().unwrap_or(&empty).get(CARD);
    let text = text.ok_or_else(|| unfit("it has no card".into()))?;
    // The version is looked at first: a later card may have other fields.
    #[derive(Deserialize)]
    struct Version {
        format: u64,
    }
    let damaged =
        |error: serde_json::Error| unfit(told(format!("its card is damaged ({error})"), error));
    let Version { format } = serde_json::from_str(text).map_err(damaged)?;
    if format > u64::from(NEWEST) {
        return Err(ModelError::Newer { path: path.to_owned(), found: format });
    }
    let card: Card = serde_json::from_str(text).map_err(damaged)?;
    let layers = card.layers();
    if card.shared_trunk.is_some() && layers != Layers::default() {
        return Err(unfit("its card names parts, which the trunk it shares has not".into()));
    }
    if card.shared_trunk.is_some() && !card.trunk.ships() {
        return Err(unfit(
            format!("it shares the trunk {}, which does not ship", card.trunk).into(),
        ));
    }
    check_layers(&card, &layers).map_err(unfit)?;
    check_trunk(&card, bytes.len()).map_err(unfit)?;
    let plain = card.plain;
    if plain > 0
        && (card.anchors.is_none() || plain >= card.features() || card.format < FORMAT_PLAIN)
    {
        let reason = format!("its card names {plain} features before a kernel, which it has not");
        return Err(unfit(reason.into()));
    }
    // Room for them is made before the file is read.
    if let Some(anchors) = card.anchors
        && anchors.checked_mul(card.features() - plain).is_none_or(|n| n > bytes.len() / 2)
    {
        return Err(unfit(format!("its card names {anchors} anchors, more than it holds").into()));
    }
    BinaryCodes::new(card.bits).map_err(|error| unfit(error.into()))?;
    check_words(&card, bytes.len()).map_err(unfit)?;
    Ok(card)
}

/// Makes sure that a trunk suits the card's layers and input, and that a file of `length` bytes can
/// hold it. Room for it is made before the file is read.
fn check_trunk(card: &Card, length: usize) -> Result<(), Cause> {
    let trunk = card.trunk;
    if card.layers().weigh_positions() && !trunk.has_positions() {
        return Err(format!("its card names layers that the trunk {trunk} cannot have").into());
    }
    trunk.check_size(card.preprocess.size())?;
    let numbers: usize = trunk.weights().iter().sum();
    if card.shared_trunk.is_none() && numbers > length / 2 {
        return Err(format!("its card names the trunk {trunk}, which is more than it holds").into());
    }
    Ok(())
}

/// Makes sure that a card describes layers of its version.
fn check_layers(card: &Card, layers: &Layers) -> Result<(), Cause> {
    for (name, count) in [("parts", layers.parts), ("projections", layers.projections)] {
        if count > MAX_PARTS {
            return Err(format!("its card names {count} {name}, more than {MAX_PARTS}").into());
        }
    }
    let own = [FORMAT_LAYERS, FORMAT_GLANCE];
    let needed = format_of_layers(layers);
    if needed != own.contains(&card.format).then_some(card.format) {
        let format = card.format;
        return Err(
            format!("its card names other layers than a file of format {format} has").into()
        );
    }
    let found = layers.parts > 0 || layers.attention == AttentionKind::Together;
    let beside = layers.parts > 0 || layers.saliency.is_some() || layers.original;
    if !found || (layers.projections > 0 && beside) || (needed.is_some() && card.anchors.is_some())
    {
        return Err("its card names layers that do not belong together".into());
    }
    Ok(())
}

/// Makes sure that a card describes codebooks of its version that fit into a file of `length`
/// bytes.
fn check_words(card: &Card, length: usize) -> Result<(), Cause> {
    let words = [FORMAT_CODEBOOKS, FORMAT_WORDS, FORMAT_PLAIN].contains(&card.format);
    let Some(count) = card.codebooks else {
        let kernel = card.format >= FORMAT_WORDS && card.anchors.is_some();
        return match (words && !kernel) || card.values.is_some() || card.unit {
            true => {
                let format = card.format;
                Err(format!("its card names no codebooks in a file of format {format}").into())
            }
            false => Ok(()),
        };
    };
    if !words {
        return Err(format!("its card names codebooks in a file of format {}", card.format).into());
    }
    let plain = card.anchors.is_none() && card.values.is_none() && !card.unit;
    if count.checked_mul(WORD_BITS) != Some(card.bits)
        || (card.format == FORMAT_CODEBOOKS && !plain)
    {
        return Err(format!("its card names {count} codebooks for {} bits", card.bits).into());
    }
    // Room for them is made before the file is read.
    let values = card.values.unwrap_or(card.bits);
    let rows = card.hashed().saturating_add(count * WORDS);
    match rows.checked_mul(values) {
        Some(numbers) if numbers <= length / 4 => Ok(()),
        _ => Err(format!("its card names words of {values} numbers, more than it holds").into()),
    }
}
