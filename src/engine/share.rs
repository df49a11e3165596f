/*!
Which part of a list a Parquet file holds.
*/

/// Identifies the list a part belongs to, and its position in it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Share {
    /// Number of the part, from 1.
    pub part: usize,
    /// Number of parts.
    pub of: usize,
    /// BLAKE3 hash of all paths of the list.
    pub list: String,
}

impl Share {
    /// Part `part`, from 1, of `of` parts of the list with the hash `list`.
    pub fn new(part: usize, of: usize, list: impl Into<String>) -> Self {
        Self { part, of, list: list.into() }
    }
}
