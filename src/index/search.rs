/*!
A search and its hits.
*/

use std::path::Path;

use super::Filter;
use super::paths::stored_path;
use crate::code::{BinaryCodes, Code, CodeError};

/// A search: one or several codes, and the conditions on the hits.
///
/// ```
/// use barbule::code::Code;
/// use barbule::index::Search;
///
/// let code = Code::from_hex(16, "0f0f")?;
/// let search = Search::nearest(&code, 10).within(4).under("/photos/2024").not("cat");
/// assert_eq!((search.k(), search.radius()), (10, Some(4)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    codes: BinaryCodes,
    contents: Vec<blake3::Hash>,
    k: usize,
    radius: Option<u32>,
    filter: Filter,
    rerank: Option<Rerank>,
}

/// A finer order of the nearest images: by the cosine of their features.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Rerank {
    /// Number of nearest images to compare.
    pub candidates: usize,
    /// The query's features; for several images, the sum of features of unit length.
    pub features: Vec<f32>,
}

impl Rerank {
    /// Orders the `candidates` nearest images by the cosine of their features and `features`.
    pub fn new(candidates: usize, features: Vec<f32>) -> Self {
        Self { candidates, features }
    }
}

impl Search {
    /// Searches for the `k` images nearest to one code.
    pub fn nearest(code: &Code, k: usize) -> Self {
        Self::nearest_to_all(code.into(), k)
    }

    /// Searches for the `k` images nearest to several codes: those with the smallest sum of
    /// distances.
    pub fn nearest_to_all(codes: BinaryCodes, k: usize) -> Self {
        let filter = Filter::default();
        Self { codes, contents: Vec::new(), k, radius: None, filter, rerank: None }
    }

    /// Only images up to this distance, in bits; of several codes, up to this mean distance.
    pub fn within(self, radius: u32) -> Self {
        Self { radius: Some(radius), ..self }
    }

    /// Only images in this folder (an absolute path), or in that of another call.
    pub fn under(mut self, folder: impl AsRef<Path>) -> Self {
        self.filter.under.push(stored_path(folder.as_ref()));
        self
    }

    /// Only images with this label, or with that of another call.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.filter.labels.push(label.into());
        self
    }

    /// No images with this label.
    pub fn not(mut self, label: impl Into<String>) -> Self {
        self.filter.not.push(label.into());
        self
    }

    /// Only images that pass `filter`, which replaces the conditions given before.
    pub fn filtered(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// Images with this content (BLAKE3 of the file) are the query itself: they come first and
    /// are marked, however far they are.
    pub fn marking(mut self, content: blake3::Hash) -> Self {
        self.contents.push(content);
        self
    }

    /// Orders the `candidates` nearest images by the cosine of their features and `features`: the
    /// query's; for several images, the sum of features of unit length. The index must store
    /// features.
    pub fn rerank(self, candidates: usize, features: Vec<f32>) -> Self {
        Self { rerank: Some(Rerank { candidates, features }), ..self }
    }

    /// The codes.
    pub fn codes(&self) -> &BinaryCodes {
        &self.codes
    }

    /// The contents that are the query itself.
    pub fn contents(&self) -> &[blake3::Hash] {
        &self.contents
    }

    /// Maximum number of hits.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The largest distance in bits; of several codes, the largest mean distance.
    pub fn radius(&self) -> Option<u32> {
        self.radius
    }

    /// The filter of the hits.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The finer order of the nearest images.
    pub fn reranking(&self) -> Option<&Rerank> {
        self.rerank.as_ref()
    }

    /// Returns the sum of the distances from `code` to all codes of the search.
    pub(super) fn distance_to(&self, code: &Code) -> Result<u32, CodeError> {
        self.codes.iter().map(|own| own.distance(code)).sum()
    }
}

/// A hit, with the field names of `barbule search --json`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Hit {
    /// Position among the hits, from 1.
    pub rank: usize,
    /// Path of the image when it was indexed.
    pub path: String,
    /// Hamming distance in bits; of several codes, the sum of the distances.
    pub distance: u32,
    /// Id of the image in the index.
    pub id: i64,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Whether it is the query itself.
    pub same: bool,
    /// Whether its file is not there now. An index on a server does not know.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Cosine of its features and the query's, if they were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f32>,
}
