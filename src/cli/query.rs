/*!
The index, the filter and the query arguments of the commands that search.
*/

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueHint;

use super::Context;
use super::context::{BUILT_IN, default_index};
use crate::device::Device;
use crate::engine::postgres::Remote;
use crate::index::{
    Catalogue, Collection, Filter, Index, IndexError, QueryImage, QueryOptions, indexed_path,
};
use crate::model::Model;
use crate::task::Task;

/// The index and its model.
#[derive(Debug, clap::Args)]
pub struct IndexArgs {
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub index: Option<PathBuf>,
    /// The model file of the index; only needed for images that are not indexed, if the file was
    /// moved [default: the model that made the index]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub model: Option<PathBuf>,
}

/// The path of the index: the named one or the default.
pub fn index_path(named: Option<&Path>) -> Result<PathBuf> {
    named.map_or_else(default_index, |path| Ok(path.to_owned()))
}

/// The filter of a search.
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
    /// Returns whether folders or labels are wanted.
    pub fn names_any(&self) -> bool {
        !self.under.is_empty() || !self.label.is_empty()
    }

    pub fn filter(&self) -> Result<Filter> {
        let under: Result<Vec<String>> = self.under.iter().map(|folder| absolute(folder)).collect();
        let (labels, not) = (self.label.clone(), self.not.clone());
        Ok(Filter { under: under?, labels, not, labelled: false })
    }
}

/// Warns of folders and labels of a filter that no image is in.
pub fn warn_unmatched(context: &Context, filter: &Filter, catalogue: &Catalogue) {
    let (folders, labels) = (catalogue.folders(), catalogue.labels());
    for folder in &filter.under {
        let mut within = folders.keys().map(Path::new);
        let file = || Path::new(folder).is_file();
        if !within.any(|other| other.starts_with(folder)) && !file() {
            context.warn(format_args!("no image in {folder} is indexed (--under)"));
        }
    }
    for label in filter.labels.iter().filter(|label| !labels.contains_key(label.as_str())) {
        context.warn(format_args!("no indexed image has the label {label} (--label)"));
    }
}

/// A path as an index stores it.
pub fn absolute(path: &Path) -> Result<String> {
    indexed_path(path).with_context(|| format!("{} is not a valid path", path.display()))
}

/// An image to search for, and its name.
pub struct FileQuery {
    pub name: String,
    pub image: QueryImage,
}

/// Opens an index; its model is opened on first need.
pub fn collection(context: &Context, named: Option<&Path>) -> Result<Collection> {
    // Before the device, so that a missing index fails at once.
    let index = Index::open(&index_path(named)?)?;
    let device = context.device()?;
    let collection = Collection::load(index, &device, &Task::unwatched())?;
    Ok(collection.limited(context.limits))
}

/// Turns files into queries.
pub trait Queries {
    /// Bits of the codes.
    fn bits(&self) -> usize;
    /// Returns the query for an image file. Opens the model on first need; the code of an indexed
    /// image needs none.
    fn of_file(&self, path: &Path) -> Result<QueryImage>;
}

/// Queries of an index.
pub struct LocalQueries<'a> {
    context: &'a Context,
    collection: Collection,
    options: QueryOptions,
    /// Whether the user knows which model is used.
    said: Cell<bool>,
}

impl<'a> LocalQueries<'a> {
    /// Opens the model `named` at once, so that a wrong one fails early.
    pub fn new(
        context: &'a Context,
        collection: Collection,
        named: Option<&Path>,
        options: QueryOptions,
    ) -> Result<Self> {
        let said = Cell::new(named.is_some());
        let Some(file) = named else { return Ok(Self { context, collection, options, said }) };
        let model = context.model(Some(file), collection.device())?;
        Ok(Self { context, collection: collection.using(model)?, options, said })
    }

    pub fn collection(&self) -> &Collection {
        &self.collection
    }
}

impl Queries for LocalQueries<'_> {
    fn bits(&self) -> usize {
        self.collection.bits()
    }

    fn of_file(&self, path: &Path) -> Result<QueryImage> {
        let query = self.collection.query_file(path, &self.options);
        let built_in = || self.collection.fingerprint() == Model::general_fingerprint();
        if self.collection.has_model() && !self.said.replace(true) && built_in() {
            self.context.say(BUILT_IN);
        }
        match query {
            Err(IndexError::NoModel(_)) => bail!(not_indexed(path)),
            query => Ok(query?),
        }
    }
}

/// Queries of a collection on a server.
pub struct RemoteQueries<'a> {
    context: &'a Context,
    device: &'a Device,
    remote: &'a Remote,
    options: QueryOptions,
    model: OnceCell<Model>,
}

impl<'a> RemoteQueries<'a> {
    /// Opens the model `named` at once, so that a wrong one fails early.
    pub fn new(
        context: &'a Context,
        device: &'a Device,
        remote: &'a Remote,
        named: Option<&Path>,
        options: QueryOptions,
    ) -> Result<Self> {
        let model = named.map(|file| context.model(Some(file), device)).transpose()?;
        model.iter().try_for_each(|model| check_model(remote, model))?;
        let model = model.map_or_else(OnceCell::new, OnceCell::from);
        let options = options.with_limits(context.limits);
        Ok(Self { context, device, remote, options, model })
    }

    fn model(&self, path: &Path) -> Result<&Model> {
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let head = self.remote.head();
        let model = head.open_model(self.device)?.with_context(|| not_indexed(path))?;
        check_model(self.remote, &model)?;
        if head.model == Model::general_fingerprint() {
            self.context.say(BUILT_IN);
        }
        Ok(self.model.get_or_init(|| model))
    }
}

impl Queries for RemoteQueries<'_> {
    fn bits(&self) -> usize {
        self.remote.head().bits
    }

    fn of_file(&self, path: &Path) -> Result<QueryImage> {
        QueryImage::of_file(path, self.remote, &self.options, || self.model(path))
    }
}

/// Fails unless `model` made the collection.
fn check_model(remote: &Remote, model: &Model) -> Result<()> {
    let head = remote.head();
    let short = |fingerprint: &str| fingerprint.chars().take(8).collect::<String>();
    ensure!(
        (head.bits, head.model.as_str()) == (model.bits(), model.fingerprint()),
        "{} was made with another model ({} bits, {}, not {} bits, {}); pass that model with --model (omit it for the built-in one), or choose another --table",
        remote.place(),
        head.bits,
        short(&head.model),
        model.bits(),
        short(model.fingerprint())
    );
    Ok(())
}

fn not_indexed(path: &Path) -> String {
    format!(
        "{} is not indexed, so its code must be computed: pass the model of this index with --model",
        path.display()
    )
}
