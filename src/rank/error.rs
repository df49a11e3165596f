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
    /// The bits of the codes do not divide into word indices.
    #[error("codes of {0} bits do not consist of word indices, which have 4 bits each")]
    Words(usize),
    /// The number of entries is not that of a table of words.
    #[error("{entries} entries are no table of words, which has 1 to 256 rows of 16")]
    Table {
        /// The number of entries.
        entries: usize,
    },
    /// Tables and codes have different numbers of words.
    #[error("the table is for codes of {table} words, but those of the database have {database}")]
    Mixed {
        /// Rows of the table.
        table: usize,
        /// Word indices per code of the database.
        database: usize,
    },
    /// There are not as many lengths as codes.
    #[error("{lengths} lengths were given for {codes} codes; every code needs one")]
    Lengths {
        /// The number of lengths.
        lengths: usize,
        /// The number of codes.
        codes: usize,
    },
    /// A number is so large that a sum of such numbers could overflow.
    #[error("{value} is too large for codes of {words} words; numbers can be -{most} to {most}")]
    Large {
        /// The number.
        value: i32,
        /// Word indices per code.
        words: usize,
        /// The greatest absolute value.
        most: i32,
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
