/*!
Why a ranking could not be made.
*/

/// Why a ranking could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RankError {
    /// Queries and database have codes of different lengths.
    #[error("queries have {queries} bits but the database has {database}; use the same model")]
    Bits {
        /// Bits of the queries.
        queries: usize,
        /// Bits of the database.
        database: usize,
    },
    /// Ids are 32-bit numbers.
    #[error("{0} codes are too many for one ranking; split them into parts of 4 thousand million")]
    TooMany(usize),
    /// The ids that a search may find are of another database.
    #[error(
        "{allowed} ids were allowed or not, but there are {codes} codes; make the set for this database"
    )]
    Allowed {
        /// Ids that the set chooses from.
        allowed: usize,
        /// Codes of the database.
        codes: usize,
    },
    /// The graphics device failed.
    #[error("{adapter} failed while ranking: {reason}")]
    Gpu {
        /// The adapter's name.
        adapter: String,
        /// What it said.
        reason: String,
    },
}
