/*!
What the commands that search an index share: which index, which images may be found, and
queries made of files.
*/

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueHint;

use super::Context;
use super::context::default_index;
use crate::code::BinaryCodes;
use crate::device::Device;
use crate::image;
use crate::index::{Filter, Index};
use crate::model::{Model, ModelError};

/// Which index, and the model of its codes.
#[derive(Debug, clap::Args)]
pub struct IndexArgs {
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub index: Option<PathBuf>,
    /// The model that the index was made with; needed only for images that are not indexed,
    /// and only if its file was moved since [default: the one that made the index]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub model: Option<PathBuf>,
}

/// The file that is meant.
pub fn index_path(named: Option<&Path>) -> Result<PathBuf> {
    named.map_or_else(default_index, |path| Ok(path.to_owned()))
}

/// Which images may be found.
#[derive(Debug, clap::Args)]
pub struct FilterArgs {
    /// Only images in this folder; may be given several times
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    under: Vec<PathBuf>,
    /// Only images with this label; may be given several times
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// No images with this label; may be given several times
    #[arg(long, value_name = "LABEL")]
    not: Vec<String>,
}

impl FilterArgs {
    pub fn filter(&self) -> Result<Filter> {
        let under: Result<Vec<String>> = self.under.iter().map(|folder| absolute(folder)).collect();
        let (labels, not) = (self.label.clone(), self.not.clone());
        Ok(Filter { under: under?, labels, not, labelled: false })
    }
}

/// A path as an index keeps it. What is not there any more is spelled as it is given.
pub fn absolute(path: &Path) -> Result<String> {
    let absolute = path.canonicalize().or_else(|_| std::path::absolute(path));
    let absolute = absolute.with_context(|| format!("{} is no path", path.display()))?;
    Ok(absolute.to_string_lossy().into_owned())
}

/// What is looked for: its name, its code, and the content that is the same image.
pub struct FileQuery {
    pub name: String,
    pub code: BinaryCodes,
    pub content: Option<blake3::Hash>,
    /// Of unit length; only where they were asked for.
    pub features: Option<Vec<f32>>,
}

/// Where stored codes are looked up: in an index, or on a server.
pub trait Collection {
    /// Bits of its codes.
    fn bits(&self) -> usize;
    /// Fingerprint of the model that gave them.
    fn fingerprint(&self) -> &str;
    /// Where that model's file was.
    fn model_file(&self) -> Result<Option<PathBuf>>;
    /// Refuses another model.
    fn check_model(&self, model: &Model) -> Result<()>;
    /// The stored code of this content, and the features where they are kept and wanted.
    fn stored(&self, content: &blake3::Hash, features: bool) -> Result<Option<Stored>>;
    /// The content of the image at a path.
    fn content_at(&self, path: &str) -> Result<Option<blake3::Hash>>;
}

/// What is stored of an image: its code, and its features if they are kept and were asked for.
pub type Stored = (BinaryCodes, Option<Vec<f32>>);

impl Collection for Index {
    fn bits(&self) -> usize {
        self.bits()
    }

    fn fingerprint(&self) -> &str {
        self.model()
    }

    fn model_file(&self) -> Result<Option<PathBuf>> {
        Ok(self.model_file()?)
    }

    fn check_model(&self, model: &Model) -> Result<()> {
        Ok(self.same_model(model.bits(), model.fingerprint())?)
    }

    fn stored(&self, content: &blake3::Hash, features: bool) -> Result<Option<Stored>> {
        let Some(id) = self.with_content(content)?.first().copied() else { return Ok(None) };
        let features = if features { self.features(id)? } else { None };
        Ok(Some((self.code(id)?, features)))
    }

    fn content_at(&self, path: &str) -> Result<Option<blake3::Hash>> {
        Ok(self.at_path(path)?.map(|row| row.content))
    }
}

/// Makes queries of files. The model is opened when it is first needed: an indexed image
/// needs none.
pub struct Queries<'a> {
    pub context: &'a Context,
    pub device: &'a Device,
    pub collection: &'a dyn Collection,
    /// The model's file, if it was named.
    pub named: Option<&'a Path>,
    /// Whether features are wanted.
    pub features: bool,
    model: Option<Model>,
}

impl<'a> Queries<'a> {
    /// Opens a model that is named at once, so that a wrong one is noticed.
    pub fn new(
        context: &'a Context,
        device: &'a Device,
        collection: &'a dyn Collection,
        named: Option<&'a Path>,
        features: bool,
    ) -> Result<Self> {
        let mut queries = Self { context, device, collection, named, features, model: None };
        if named.is_some() {
            queries.model("")?;
        }
        Ok(queries)
    }

    /// The query that a file is: its stored code if its content, or the file of this name,
    /// is indexed.
    pub fn of_file(&mut self, path: &Path) -> Result<FileQuery> {
        let name = path.display().to_string();
        let bytes = match image::read(path) {
            Ok(bytes) => bytes,
            // What is indexed can be looked for although its file is gone.
            Err(error) => {
                let gone = if path.exists() { None } else { self.stored_at(path)? };
                let Some((content, (code, features))) = gone else { return Err(error.into()) };
                return Ok(FileQuery { name, code, content: Some(content), features });
            }
        };
        let content = blake3::hash(&bytes);
        if let Some((code, features)) = self.collection.stored(&content, self.features)? {
            return Ok(FileQuery { name, code, content: Some(content), features });
        }
        let decoded = image::decode(&bytes, &self.context.limits).with_context(|| name.clone())?;
        let wanted = self.features;
        let model = self.model(&name)?;
        let input = model.encoder().preprocess().apply(&decoded);
        let features = model.encoder().features(input).map_err(ModelError::from)?;
        let code = model.codes(&features)?;
        let features = wanted.then(|| unit(features));
        Ok(FileQuery { name, code, content: None, features })
    }

    /// What is stored of the image at a path.
    fn stored_at(&self, path: &Path) -> Result<Option<(blake3::Hash, Stored)>> {
        let Some(content) = self.collection.content_at(&absolute(path)?)? else { return Ok(None) };
        let stored = self.collection.stored(&content, self.features)?;
        Ok(stored.map(|stored| (content, stored)))
    }

    /// The index's model: the named one, the one that made it, or the built-in one.
    fn model(&mut self, asked_for: &str) -> Result<&Model> {
        let model = match self.model.take() {
            Some(model) => model,
            None => self.open(asked_for)?,
        };
        Ok(self.model.insert(model))
    }

    fn open(&self, asked_for: &str) -> Result<Model> {
        match model_of(self.context, self.device, self.collection, self.named)? {
            Some(model) => Ok(model),
            None => bail!(
                "{asked_for} is not indexed, so its code has to be computed: name the model of this index with --model"
            ),
        }
    }
}

/// The model of a collection: the named one, which has to be it, the built-in one, or the one that
/// made it. `None` when that is not where it was, or another is there now.
pub fn model_of(
    context: &Context,
    device: &Device,
    collection: &dyn Collection,
    named: Option<&Path>,
) -> Result<Option<Model>> {
    let built_in = collection.fingerprint() == Model::general_fingerprint();
    if named.is_some() || built_in {
        let model = context.model(named, device)?;
        collection.check_model(&model)?;
        return Ok(Some(model));
    }
    let made_with = collection.model_file()?;
    let opened = made_with.and_then(|file| context.model(Some(&file), device).ok());
    Ok(opened.filter(|model| model.fingerprint() == collection.fingerprint()))
}

/// Features made of unit length.
fn unit(mut features: Vec<f32>) -> Vec<f32> {
    let norm = features.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        features.iter_mut().for_each(|x| *x /= norm);
    }
    features
}
