/*!
Lists of lines `key value`, and lookups across lists that share keys.
*/

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use super::DatasetError;
use super::list::List;

/// The lines `key value` of a list; keys are unique.
pub(super) struct Keyed<'a, K> {
    list: &'a List,
    /// Key, line number and value of each line.
    pub rows: Vec<(K, usize, &'a str)>,
    /// Index into `rows` for each key.
    at: HashMap<K, usize>,
}

impl<'a, K: Copy + Eq + Hash + Display> Keyed<'a, K> {
    /// Parses all lines; `key` returns `None` for text that is not a valid key.
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

    /// Returns the line number and value of a key that occurs in `other`.
    pub fn get(&self, id: K, other: &List) -> Result<(usize, &'a str), DatasetError> {
        let row = self.at.get(&id).and_then(|row| self.rows.get(*row));
        row.map(|(_, line, value)| (*line, *value)).ok_or_else(|| DatasetError::NoPartner {
            path: self.list.path.clone(),
            what: format!("image {id}"),
            other: other.path.clone(),
        })
    }

    /// Returns an error if a key does not occur in `other`, the list named `list`.
    pub fn no_more_than(&self, other: &Self, list: &str) -> Result<(), DatasetError> {
        match self.rows.iter().find(|(id, _, _)| !other.at.contains_key(id)) {
            Some((id, line, _)) => {
                let found = format!("{id}");
                Err(self.list.error(*line, format!("an image number of {list}"), &found))
            }
            None => Ok(()),
        }
    }

    /// Returns an error about the content of a line.
    pub fn error(&self, line: usize, expected: impl Into<String>) -> DatasetError {
        let row = self.rows.iter().find(|(_, l, _)| *l == line);
        let found = row.map(|(id, _, value)| format!("{id} {value}")).unwrap_or_default();
        self.list.error(line, expected, &found)
    }
}
