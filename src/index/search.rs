/*!
A search and its hits.
*/

use std::path::Path;

use serde::Serialize;

use super::paths::stored_path;
use super::{Filter, IndexError, Region};
use crate::code::{BinaryCodes, Code, CodeError};
use crate::hash::Asymmetric;

/// Number of nearest images that the values of a query order, if nothing else is asked for.
pub const CANDIDATES: usize = 1000;

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
    order: Order,
    whole: bool,
}

/// The order of the hits.
///
/// A finer order than that of distances concerns the nearest images, the candidates: those with
/// the smallest (distance, id). They are ordered by descending score, then by id; the others follow
/// in the order of (distance, id).
///
/// An index whose codes are words compares all images with the query's values, if
/// [`Order::Asymmetric`] gives them, or else with the sum of its own words. Its order is that of
/// (−score, id) in both cases, and candidates matter for [`Order::Cosine`] alone.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Order {
    /// By (distance, id).
    #[default]
    Hamming,
    /// By the score of their codes and the query's values: see [`Asymmetric`].
    Asymmetric {
        /// Number of nearest images to order.
        candidates: usize,
        /// The query's values, one for each bit; those of several queries one after another.
        values: Vec<f32>,
    },
    /// By the cosine of their features and the query's, which the index must store.
    Cosine {
        /// Number of nearest images to order.
        candidates: usize,
        /// The query's features; for several images, the sum of features of unit length.
        features: Vec<f32>,
    },
}

impl Order {
    /// The name of the order: `hamming`, `asymmetric` or `cosine`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hamming => "hamming",
            Self::Asymmetric { .. } => "asymmetric",
            Self::Cosine { .. } => "cosine",
        }
    }

    /// Number of nearest images that are put into a finer order.
    pub fn candidates(&self) -> usize {
        match self {
            Self::Hamming => 0,
            Self::Asymmetric { candidates, .. } | Self::Cosine { candidates, .. } => *candidates,
        }
    }

    /// Sorts the first images, the candidates, by descending score and by id. `key` returns both.
    pub(crate) fn sort<T>(&self, images: &mut [T], key: impl Fn(&T) -> (f32, i64)) {
        let count = images.len().min(self.candidates());
        images[..count].sort_unstable_by(|a, b| {
            let ((a, first), (b, second)) = (key(a), key(b));
            b.total_cmp(&a).then(first.cmp(&second))
        });
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
        let order = Order::Hamming;
        Self { codes, contents: Vec::new(), k, radius: None, filter, order, whole: false }
    }

    /// Only images up to this distance (see [`Hit::distance`]); of several codes, up to this mean
    /// distance.
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

    /// Orders the `candidates` nearest images by the scores of their codes and `values`: those of
    /// the query, one for each bit; of several queries, one after another. See
    /// [`Order::Asymmetric`].
    pub fn by_values(self, candidates: usize, values: Vec<f32>) -> Self {
        Self { order: Order::Asymmetric { candidates, values }, ..self }
    }

    /// Orders the `candidates` nearest images by the cosine of their features and `features`: the
    /// query's; for several images, the sum of features of unit length. The index must store
    /// features. See [`Order::Cosine`].
    pub fn by_features(self, candidates: usize, features: Vec<f32>) -> Self {
        Self { order: Order::Cosine { candidates, features }, ..self }
    }

    /// Compares with the codes of whole images only, even if the index has codes of their regions.
    pub fn with_whole_images(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Returns whether only the codes of whole images are compared.
    pub fn is_of_whole_images(&self) -> bool {
        self.whole
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

    /// The largest distance; of several codes, the largest mean distance.
    pub fn radius(&self) -> Option<u32> {
        self.radius
    }

    /// The filter of the hits.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The order of the hits.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Number of nearest images to look at: the hits, and the candidates of a finer order.
    pub(crate) fn depth(&self) -> usize {
        self.k.max(self.order.candidates())
    }

    /// Returns the tables of the query's values, if they order the hits.
    pub(crate) fn tables(&self) -> Result<Option<Asymmetric>, IndexError> {
        let Order::Asymmetric { values, .. } = &self.order else { return Ok(None) };
        Ok(Some(Asymmetric::new(self.codes.bits(), values)?))
    }

    /// Returns the sum of the distances from `code` to all codes of the search.
    pub(super) fn distance_to(&self, code: &Code) -> Result<u32, CodeError> {
        self.codes.iter().map(|own| own.distance(code)).sum()
    }
}

/// A hit, with the field names of `barbule search --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hit {
    /// Position among the hits, from 1.
    pub rank: usize,
    /// Path of the image when it was indexed.
    pub path: String,
    /// Hamming distance in bits; of several codes, the sum of the distances. Of words, a thousand
    /// times the squared distance between the query's values, or its own words, and the words of
    /// the image.
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
    /// Score of its code and the query's values, if it was computed: their cosine, from −1 to 1; of
    /// several queries, the sum. See [`Asymmetric`]. Of words, 1 less half of the squared distance,
    /// which is nearly a cosine if values have unit length.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "short")]
    pub score: Option<f32>,
    /// The region of the image whose code was nearest, if it was nearer than that of the whole
    /// image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
}

/// Writes a score with the same digits in every document. A JSON value in memory holds 64-bit
/// numbers, and 0.1 would become 0.10000000149011612 there.
fn short<S: serde::Serializer>(score: &Option<f32>, to: S) -> Result<S::Ok, S::Error> {
    let number = score.and_then(|score| score.to_string().parse::<f64>().ok());
    number.serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_has_the_same_digits_in_every_document() {
        for (score, digits) in [(0.1f32, "0.1"), (-0.801878, "-0.801878"), (1e-7, "1e-7")] {
            let hit = Hit {
                rank: 1,
                path: String::new(),
                distance: 0,
                id: 1,
                label: None,
                same: false,
                gone: false,
                similarity: None,
                score: Some(score),
                region: None,
            };
            let (text, value) = (serde_json::to_string(&hit), serde_json::to_value(&hit));
            let (text, value) = (text.unwrap(), value.unwrap().to_string());
            for text in [text, value] {
                assert!(text.contains(&format!("\"score\":{digits}")), "{text}");
            }
        }
    }
}
