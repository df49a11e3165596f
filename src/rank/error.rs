/*!
Errors of ranking.
*/

use crate::cause::Cause;

/// Errors of ranking.
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
    /// More codes than 32-bit ids can number.
    #[error("{0} codes are too many for one ranking; split them into parts of 4 billion")]
    TooMany(usize),
    /// The set of allowed ids was made for another database.
    #[error(
        "the id set covers {allowed} ids, but the database has {codes} codes; create the set for this database"
    )]
    Allowed {
        /// Size of the id set's universe.
        allowed: usize,
        /// Codes of the database.
        codes: usize,
    },
    /// The graphics device failed.
    #[error("{adapter} failed while ranking: {reason}")]
    Gpu {
        /// The adapter's name.
        adapter: String,
        /// Its message.
        #[source]
        reason: Cause,
    },
}
