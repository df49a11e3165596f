/*!
Names in SQL: a collection's tables, and quoting.
*/

use std::fmt;

/// Name of a collection, and prefix of its tables' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table(String);

impl Table {
    /// Validates a name: `a-z`, `0-9` and `_`, at most 40 characters, no leading digit. Names that
    /// collide with the auxiliary tables of another collection, such as `birds_meta` and
    /// `birds_1`, are rejected.
    ///
    /// # Errors
    /// A message with the reason.
    pub fn new(name: &str) -> Result<Self, String> {
        let letters =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !letters || !(1..=40).contains(&name.len()) || name.as_bytes()[0].is_ascii_digit() {
            return Err("use a-z, 0-9 and _, at most 40 characters, and no digit first".to_owned());
        }
        match name.rsplit_once('_').filter(|(_, ending)| is_taken(ending)) {
            None => Ok(Self(name.to_owned())),
            Some((_, ending)) => Err(format!(
                "choose a name that does not end in _{ending}: it is reserved for tables of another collection"
            )),
        }
    }

    /// Returns the quoted name of an auxiliary table or index.
    pub(in super::super) fn with(&self, ending: &str) -> String {
        format!("\"{}{ending}\"", self.0)
    }

    /// Returns the name without quotes.
    pub(in super::super) fn name(&self) -> &str {
        &self.0
    }
}

/// Maximum number of shards: their numbers have three digits.
pub(in super::super) const MOST: usize = 999;

/// Returns whether names of auxiliary tables and indexes end in `_` and `ending`.
fn is_taken(ending: &str) -> bool {
    let number = (1..=3).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_digit());
    number || ["meta", "incoming", "id", "hnsw", "pkey"].contains(&ending)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl std::str::FromStr for Table {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text)
    }
}

/// Quotes a text as an SQL literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the tables with a collection's images, as named on the searched server.
pub(in super::super) fn parts(table: &Table, shards: usize) -> Vec<String> {
    match shards {
        0 => vec![table.to_string()],
        shards => (1..=shards).map(|number| table.with(&format!("_{number}"))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        for wrong in ["", "a\"b", "a b", "1a", "Ä", "a;drop", &"a".repeat(41)] {
            assert!(Table::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Table::new("birds_b").unwrap().with("_meta"), "\"birds_b_meta\"");
        assert_eq!(literal("it's"), "'it''s'");
    }

    #[test]
    fn names_of_tables_beside_a_collection_are_no_collections() {
        let taken = ["_meta", "_incoming", "_id", "_hnsw", "_pkey", "_1", "_12", "_shard_3"];
        for ending in taken {
            let said = Table::new(&format!("birds{ending}")).unwrap_err();
            assert!(said.contains("does not end in"), "{ending}: {said}");
        }
        for free in ["birds_2024", "birds2", "meta", "birds_metal", "b_"] {
            assert!(Table::new(free).is_ok(), "{free}");
        }
    }
}
