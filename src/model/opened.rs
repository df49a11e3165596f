/*!
A model opened on a device.
*/

use std::path::Path;

use ::image::RgbImage;
use burn::prelude::*;
use burn::tensor::DType;
use burn_store::{FloatCastAdapter, SafetensorsStore};

use super::format::read_card;
use super::layers::{HashAlone, HashWeights, Network};
use super::{Card, ModelError};
use crate::cause::Cause;
use crate::code::{BinaryCodes, Code};
use crate::device::Device as BarbuleDevice;
use crate::encoder::Encoder;
use crate::explain::{Attention, Pair, shares};
use crate::file;
use crate::hash::{FeatureError, Features, Hash, HashError};
use crate::network::Extractor;
use crate::trunk::Trunk;
use crate::trunk::weights::{self, fill_whole};

/// The model for photos that nobody has trained on; see `assets/README.md`.
const GENERAL: &[u8] = include_bytes!("../../assets/general-256.safetensors");
/// The name of the general model in messages, where others have a path.
const GENERAL_NAME: &str = "the built-in general model";
/// A model file larger than this is not a model (bytes).
const MAX_BYTES: u64 = 4 << 30;

/// A trained model, opened on a device.
///
/// ```
/// use barbule::{Device, Model};
///
/// let model = Model::general(&Device::Cpu)?;
/// let ramp = |shift: u32| {
///     image::RgbImage::from_fn(96, 96, |x, y| image::Rgb([(x * 2) as u8, (y * 2) as u8, shift as u8]))
/// };
/// let (one, other) = (model.encode(&ramp(0))?, model.encode(&ramp(20))?);
/// assert_eq!((one.bits(), model.bits()), (256, 256));
/// assert!(one.distance(&other)? < 128, "nearly the same picture");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Model {
    card: Card,
    encoder: Encoder,
    hash: Hash,
    fingerprint: String,
}

impl Model {
    /// Opens a model file.
    ///
    /// # Errors
    /// When the file cannot be read, is not a model, or is of a later version.
    pub fn open(path: &Path, device: &BarbuleDevice) -> Result<Self, ModelError> {
        Self::from_bytes(path, read(path)?, device)
    }

    /// The model that ships with Barbule: 256 bits for photos of any kind.
    ///
    /// # Errors
    /// Only if the program itself is damaged.
    pub fn general(device: &BarbuleDevice) -> Result<Self, ModelError> {
        Self::from_bytes(Path::new(GENERAL_NAME), GENERAL.to_vec(), device)
    }

    /// The fingerprint of the model that [`Model::general`] opens.
    pub fn general_fingerprint() -> String {
        fingerprint(GENERAL)
    }

    /// Opens the bytes of a model file; `path` is its name in errors.
    ///
    /// # Errors
    /// When they are not a model, or of a later version.
    pub fn from_bytes(
        path: &Path,
        bytes: Vec<u8>,
        device: &BarbuleDevice,
    ) -> Result<Self, ModelError> {
        let unfit = |reason: Cause| ModelError::Unfit { path: path.to_owned(), reason };
        let card = read_card(path, &bytes)?;
        let fingerprint = fingerprint(&bytes);
        let burn = device.burn();
        let hash = HashWeights::zeros(&card, &burn);
        let store = SafetensorsStore::from_bytes(Some(bytes));
        let store = store.with_from_adapter(FloatCastAdapter::to(DType::F32));
        let (trunk, hash) = match &card.shared_trunk {
            Some(expected) => {
                let trunk = shipped(expected, &burn).map_err(unfit)?;
                let mut alone = HashAlone { hash };
                fill_whole(&mut alone, store).map_err(unfit)?;
                (trunk.into(), alone.hash)
            }
            None => {
                let trunk = Extractor::new(card.trunk, &card.layers(), &burn);
                let mut network = Network { trunk, hash };
                fill_whole(&mut network, store).map_err(unfit)?;
                (network.trunk, network.hash)
            }
        };
        let hash = hash.hash(&card).map_err(unfit)?;
        let encoder = Encoder::new(trunk, card.preprocess.clone(), device.clone());
        Ok(Self { card, encoder, hash, fingerprint })
    }

    /// The model's description of itself.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The network that computes the features.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Bits per code.
    pub fn bits(&self) -> usize {
        self.card.bits
    }

    /// BLAKE3 of the file, in hexadecimal: codes of models with different
    /// fingerprints are not comparable.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The hash of the features.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Makes sure that codes are signs, which can be compared by Hamming distance.
    ///
    /// # Errors
    /// [`ModelError::NotHamming`].
    pub fn check_hamming(&self) -> Result<(), ModelError> {
        match self.hash.codebooks() {
            None => Ok(()),
            Some(_) => Err(ModelError::NotHamming(self.card.method.clone())),
        }
    }

    /// Codes for pooled features, one row an image: signs, or words if the hash has codebooks.
    ///
    /// # Errors
    /// When the features are not of this trunk or not finite.
    pub fn codes(&self, features: &[f32]) -> Result<BinaryCodes, ModelError> {
        let features = Features { dim: self.hash.dim(), values: features };
        Ok(self.hash.encode(&features)?)
    }

    /// Returns the code of pooled features of one image.
    ///
    /// # Errors
    /// When the features are not one row of this trunk or not finite.
    pub fn code(&self, features: &[f32]) -> Result<Code, ModelError> {
        let codes = self.codes(features)?;
        let (dim, values) = (self.hash.dim(), features.len());
        let code = codes.get(0).filter(|_| codes.len() == 1);
        code.ok_or_else(|| HashError::from(FeatureError::Rows { dim, values }).into())
    }

    /// Returns the real values of which codes keep the signs or the nearest sums of words, one row
    /// an image: `bits` numbers each, or as many as a word has.
    ///
    /// # Errors
    /// When the features are not of this trunk or not finite.
    pub fn values(&self, features: &[f32]) -> Result<Vec<f32>, ModelError> {
        Ok(self.hash.values(&Features { dim: self.hash.dim(), values: features })?)
    }

    /// Returns the code of one image.
    ///
    /// # Errors
    /// When the device fails.
    pub fn encode(&self, picture: &RgbImage) -> Result<Code, ModelError> {
        self.code(&self.features(picture)?)
    }

    /// Returns the pooled features of one image.
    ///
    /// # Errors
    /// When the device fails.
    pub fn features(&self, picture: &RgbImage) -> Result<Vec<f32>, ModelError> {
        Ok(self.encoder.features(self.encoder.preprocess().apply(picture))?)
    }

    /// Returns where the network looks in an image.
    ///
    /// # Errors
    /// When the model has no parts or the device fails.
    pub fn attention(&self, picture: &RgbImage) -> Result<Attention, ModelError> {
        let input = self.encoder.preprocess().apply(picture);
        self.attention_of(picture, input)
    }

    /// Explains the distance of two images: where the network looks in each, and what each part
    /// contributes.
    ///
    /// # Errors
    /// As [`Model::attention`], and when codes are no signs.
    pub fn explain(&self, first: &RgbImage, second: &RgbImage) -> Result<Pair, ModelError> {
        self.check_hamming()?;
        let inputs = [first, second].map(|picture| self.encoder.preprocess().apply(picture));
        let features = self.encoder.features(inputs.concat())?;
        let codes = self.codes(&features)?;
        let (a, b) = features.split_at(features.len() / 2);
        // Only parts share a code out between them, by a hash that is linear.
        let shares = match (&self.hash, self.card.parts) {
            (Hash::Linear(hash), parts @ 1..) => shares(hash, [a, b], parts + 1),
            _ => Vec::new(),
        };
        let [one, other] = inputs;
        Ok(Pair {
            first: self.attention_of(first, one)?,
            second: self.attention_of(second, other)?,
            distance: BinaryCodes::distance(codes.row(0), codes.row(1)),
            bits: self.bits(),
            shares,
        })
    }

    fn attention_of(&self, picture: &RgbImage, input: Vec<f32>) -> Result<Attention, ModelError> {
        let preprocess = self.encoder.preprocess();
        let values = self.encoder.attention(input)?;
        let values = values.ok_or_else(|| ModelError::NoParts(self.card.method.clone()))?;
        let size = preprocess.size();
        let side = self.card.trunk.attention_side(size as usize);
        let maps = values.chunks_exact(side * side).map(<[f32]>::to_vec).collect();
        let seen = RgbImage::from_raw(size, size, preprocess.crop(picture)).unwrap_or_default();
        Ok(Attention { seen, maps, side })
    }
}

/// The shipped trunk, if it is the one of this hash.
fn shipped(expected: &str, device: &Device) -> Result<Trunk, Cause> {
    let trunk = weights::shipped(device)?;
    let found = weights::fingerprint(&trunk)?;
    if found.to_hex().as_str() == expected {
        Ok(trunk)
    } else {
        Err("it shares a trunk that does not ship with this program".into())
    }
}

fn fingerprint(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    file::read_whole(path, MAX_BYTES)
        .map_err(|source| ModelError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::super::format::{FORMAT, FORMAT_MORE};
    use super::super::{write, write_sharing_trunk};
    use super::*;
    use crate::device::DeviceChoice;
    use crate::hash::{Codebooks, KernelHash, LinearHash, Quantizer};
    use crate::network::{AttentionKind, Layers, Parts, Projections};
    use crate::trunk::TrunkKind;
    use crate::trunk::efficientnet_lite::POOLED;

    fn device() -> BarbuleDevice {
        BarbuleDevice::open(DeviceChoice::Cpu, None).unwrap()
    }

    #[test]
    fn a_linear_model_is_written_as_it_always_was() {
        let (device, folder) = (device(), tempfile::tempdir().unwrap());
        let general = Model::general(&device).unwrap();
        let path = folder.path().join("again.safetensors");
        write_sharing_trunk(&path, general.card(), &general.hash, &device).unwrap();
        assert!(std::fs::read(&path).unwrap() == GENERAL, "the built-in file is another now");
    }

    #[test]
    fn every_branch_comes_back_with_norms_of_its_own() {
        let (device, folder) = (device(), tempfile::tempdir().unwrap());
        let burn = device.burn();
        let fresh = || Trunk::new(TrunkKind::EfficientNetLite0, &burn).refine;
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 500.0 - 1.0;
        let input = || {
            let values: Vec<f32> = (0..3 * 64 * 64).map(value).collect();
            Tensor::<4>::from_data(TensorData::new(values, [1, 3, 64, 64]), &burn)
        };
        let read = |x: Tensor<2>| x.into_data().try_into_vec::<f32>().unwrap();
        let usual = Layers::default();
        for (layers, format) in [
            (Layers { parts: 2, ..usual }, 1),
            (Layers { original: true, ..usual }, 2),
            (Layers { parts: 3, attention: AttentionKind::Chain, ..usual }, 5),
            (Layers { parts: 3, attention: AttentionKind::Strips, ..usual }, 5),
            (Layers { parts: 3, attention: AttentionKind::Glance, ..usual }, 7),
            (Layers { projections: 6, ..usual }, 5),
        ] {
            // A trained refine beside one whose norms have seen nothing.
            let mut network = Extractor::from(weights::shipped(&burn).unwrap());
            let Layers { parts, attention, projections, .. } = layers;
            network.parts = (parts > 0).then(|| Parts::of_kind(attention, parts, fresh(), &burn));
            network.original = layers.original.then(fresh);
            let project = || Projections::new(POOLED, projections, &burn);
            network.projections = (projections > 0).then(project);
            let features = read(network.clone().features(input()));
            let hash = LinearHash::new(vec![0.0; features.len()], vec![1.0; features.len()]);
            let hash = Hash::from(hash.unwrap());
            let general = Model::general(&device).unwrap();
            let card = Card { shared_trunk: None, ..general.card().clone() };
            let card = card.with_layers(layers).with_hash(&hash);
            assert_eq!((card.format, card.features()), (format, features.len()));
            let path = folder.path().join("branches.safetensors");
            write(&path, &card, network, &hash).unwrap();
            let again = Model::open(&path, &device).unwrap();
            let found = again.encoder().features(read(input().reshape([1, -1]))).unwrap();
            let most = features.iter().fold(0f32, |m, v| m.max(v.abs()));
            for (before, after) in features.iter().zip(found) {
                // Weights are kept in half precision.
                assert!((before - after).abs() < 0.02 * most, "{before} {after}");
            }
        }
    }

    #[test]
    fn codebooks_come_back_as_they_were() {
        let (device, folder) = (device(), tempfile::tempdir().unwrap());
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 500.0 - 1.0;
        let linear = LinearHash::new(vec![0.0; 1280], (0..1280 * 12).map(value).collect()).unwrap();
        let codebooks = Codebooks::new(12, (0..3 * 16 * 12).map(value).collect()).unwrap();
        let hash = Hash::from(Quantizer::new(linear, codebooks).unwrap());
        let general = Model::general(&device).unwrap();
        let card = Card { method: "dtq".to_owned(), ..general.card().clone() }.with_hash(&hash);
        assert_eq!((card.format, card.codebooks), (3, Some(3)));
        let path = folder.path().join("words.safetensors");
        write_sharing_trunk(&path, &card, &hash, &device).unwrap();
        let model = Model::open(&path, &device).unwrap();
        assert_eq!((model.card(), model.hash()), (&card, &hash));
        assert_eq!(model.code(&[0.5; 1280]).unwrap().bits(), 12);
        assert_eq!(model.values(&[0.5; 1280]).unwrap().len(), 12);
        let picture = RgbImage::new(8, 8);
        let error = model.explain(&picture, &picture).unwrap_err().to_string();
        assert!(error.contains("codes of dtq are words"), "{error}");
        for card in [
            Card { codebooks: None, ..card.clone() },
            Card { codebooks: Some(4), ..card.clone() },
            Card { format: FORMAT_MORE, ..card.clone() },
        ] {
            let error = write_sharing_trunk(&path, &card, &hash, &device).unwrap_err();
            assert!(error.to_string().contains("does not belong"), "{error}");
        }
    }

    #[test]
    fn words_of_a_kernels_values_come_back_as_they_were() {
        let (device, folder) = (device(), tempfile::tempdir().unwrap());
        // Multiples of 1/64 up to 8 are numbers of half precision.
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 64.0 - 8.0;
        let linear = LinearHash::new(vec![0.5; 6], (0..6 * 5).map(value).collect()).unwrap();
        let anchors: Vec<f32> = (0..6 * 1280).map(value).collect();
        let kernel = KernelHash::new(anchors, 2f32.powi(-9), linear.clone()).unwrap();
        assert!(kernel.is_half_precision());
        let words = || Codebooks::new(5, (0..2 * 16 * 5).map(value).collect()).unwrap();
        let wide = LinearHash::new(vec![0.5; 1280], (0..1280 * 5).map(value).collect()).unwrap();
        let general = Model::general(&device).unwrap();
        let path = folder.path().join("words.safetensors");
        let mut sizes = Vec::new();
        for hash in [
            Hash::from(Quantizer::new(kernel, words()).unwrap().at_unit_length()),
            Quantizer::new(wide, words()).unwrap().into(),
        ] {
            let card = general.card().clone().with_hash(&hash);
            assert_eq!((card.format, card.bits, card.values), (4, 8, Some(5)));
            write_sharing_trunk(&path, &card, &hash, &device).unwrap();
            sizes.push(std::fs::metadata(&path).unwrap().len());
            let model = Model::open(&path, &device).unwrap();
            assert_eq!(model.hash(), &hash);
            for card in [
                Card { values: Some(6), ..card.clone() },
                Card { unit: !card.unit, ..card.clone() },
                Card { format: 3, ..card.clone() },
            ] {
                let error = write_sharing_trunk(&path, &card, &hash, &device).unwrap_err();
                assert!(error.to_string().contains("does not belong"), "{error}");
            }
        }
        assert!(sizes[0] < 6 * 1280 * 4, "the anchors take two bytes a number");
        // Signs of the same kernel.
        let linear = LinearHash::new(vec![0.5; 6], (0..6 * 8).map(value).collect()).unwrap();
        let anchors: Vec<f32> = (0..6 * 1280).map(value).collect();
        let signs = Hash::from(KernelHash::new(anchors, 2f32.powi(-9), linear).unwrap());
        let card = general.card().clone().with_hash(&signs);
        assert_eq!((card.format, card.codebooks), (4, None));
        write_sharing_trunk(&path, &card, &signs, &device).unwrap();
        assert_eq!(Model::open(&path, &device).unwrap().hash(), &signs);
    }

    #[test]
    fn features_that_pass_by_a_kernel_come_back() {
        let (device, folder) = (device(), tempfile::tempdir().unwrap());
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 64.0 - 8.0;
        let linear = LinearHash::new(vec![0.5; 46], (0..46 * 8).map(value).collect()).unwrap();
        let anchors: Vec<f32> = (0..6 * 1240).map(value).collect();
        let kernel = KernelHash::behind(40, anchors, 2f32.powi(-9), linear).unwrap();
        let hash = Hash::from(kernel);
        let general = Model::general(&device).unwrap();
        let card = general.card().clone().with_hash(&hash);
        assert_eq!((card.format, card.anchors, card.plain), (6, Some(6), 40));
        let path = folder.path().join("plain.safetensors");
        write_sharing_trunk(&path, &card, &hash, &device).unwrap();
        assert_eq!(Model::open(&path, &device).unwrap().hash(), &hash);
        for plain in [0, 39, 1280] {
            let card = Card { plain, ..card.clone() };
            let error = write_sharing_trunk(&path, &card, &hash, &device).unwrap_err();
            assert!(error.to_string().contains("does not belong"), "{error}");
        }
    }

    #[test]
    fn a_kernel_comes_back_as_it_was() {
        let (device, folder) = (device(), tempfile::tempdir().unwrap());
        let value = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 500.0 - 1.0;
        let mean: Vec<f32> = (0..5).map(|i| value(i).abs()).collect();
        let linear = LinearHash::new(mean, (0..5 * 12).map(value).collect()).unwrap();
        let linear = linear.with_bias((7..19).map(value).collect()).unwrap();
        let hash = KernelHash::new((0..5 * 1280).map(value).collect(), 7e-4, linear).unwrap();
        let hash = Hash::from(hash);
        let general = Model::general(&device).unwrap();
        let card = general.card().clone().with_hash(&hash);
        let path = folder.path().join("kernel.safetensors");
        write_sharing_trunk(&path, &card, &hash, &device).unwrap();
        let model = Model::open(&path, &device).unwrap();
        assert_eq!((model.card(), &model.hash), (&card, &hash));
        let features: Vec<f32> = (3..3 + 1280 * 4).map(value).collect();
        let expected = hash.encode(&Features { dim: 1280, values: &features }).unwrap();
        assert_eq!(model.codes(&features).unwrap().words(), expected.words());
        // A card that says something else than the hash is not written.
        for card in [
            Card { anchors: None, ..card.clone() },
            Card { anchors: Some(4), ..card.clone() },
            Card { format: FORMAT, ..card.clone() },
        ] {
            let error = write_sharing_trunk(&path, &card, &hash, &device).unwrap_err();
            assert!(error.to_string().contains("does not belong"), "{error}");
        }
    }
}
