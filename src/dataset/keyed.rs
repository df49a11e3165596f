/*!
Lists of lines `key value`, and lists that speak of the same keys.
*/

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use super::DatasetError;
use super::list::List;

/// The lines of a list of the form `key value`, each key once.
pub(super) struct Keyed<'a, K> {
    list: &'a List,
    /// Key, line, value.
    pub rows: Vec<(K, usize, &'a str)>,
    /// From a key to its row.
    at: HashMap<K, usize>,
}

impl<'a, K: Copy + Eq + Hash + Display> Keyed<'a, K> {
    /// Reads all lines; `key` gives none for what cannot be one.
    pub fn read(
        list: &'a List,
        key: impl Fn(&'a str) -> Option<K>,
        expected: &str,
    ) -> Result<Self, DatasetError> {
        let (mut rows, mut at) = (Vec::new(), HashMap::new());
        for (line, text) in list.lines() {
            let (id, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let value = value.trim();
            let Some(id) = key(id).filter(|_| !value.is_empty()) else {
                return Err(list.error(line, expected, text));
            };
            if at.insert(id, rows.len()).is_some() {
                return Err(list.error(line, "every number only once", text));
            }
            rows.push((id, line, value));
        }
        Ok(Self { list, rows, at })
    }

    /// Line and value of a key that `other` lists.
    pub fn get(&self, id: K, other: &List) -> Result<(usize, &'a str), DatasetError> {
        let row = self.at.get(&id).and_then(|row| self.rows.get(*row));
        row.map(|(_, line, value)| (*line, *value)).ok_or_else(|| DatasetError::NoPartner {
            path: self.list.path.clone(),
            what: format!("image {id}"),
            other: other.path.clone(),
        })
    }

    /// Refuses a key that `other` does not list.
    pub fn no_more_than(&self, other: &Self, list: &str) -> Result<(), DatasetError> {
        match self.rows.iter().find(|(id, _, _)| !other.at.contains_key(id)) {
            Some((id, line, _)) => {
                let found = format!("{id}");
                Err(self.list.error(*line, format!("an image number of {list}"), &found))
            }
            None => Ok(()),
        }
    }

    /// What is wrong with a line.
    pub fn error(&self, line: usize, expected: impl Into<String>) -> DatasetError {
        let row = self.rows.iter().find(|(_, l, _)| *l == line);
        let found = row.map(|(id, _, value)| format!("{id} {value}")).unwrap_or_default();
        self.list.error(line, expected, &found)
    }
}
