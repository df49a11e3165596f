/*!
Which part of a list a Parquet file holds.
*/

/// Identifies the list a part belongs to, and its position in it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Share {
    /// Number of the part, from 1.
    pub part: usize,
    /// Number of parts.
    pub of: usize,
    /// BLAKE3 hash of all paths of the list.
    pub list: String,
}
