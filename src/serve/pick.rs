/*!
Searching as an address asks for it.
*/

use super::library::Library;
use super::request::Ask;
use crate::code::BinaryCodes;
use crate::index::{Filter, Found, IndexError, Query};

/// The nearest images of a code that are in the asked folder, have the asked label and
/// lie within the asked radius.
pub fn nearest(
    library: &Library,
    code: &BinaryCodes,
    content: Option<&blake3::Hash>,
    ask: &Ask,
) -> Result<Vec<Found>, IndexError> {
    let filter = Filter {
        under: ask.under.iter().cloned().collect(),
        labels: ask.label.iter().cloned().collect(),
        ..Filter::default()
    };
    let contents = content.map(std::slice::from_ref).unwrap_or_default();
    let query =
        Query { contents, radius: ask.radius, filter: &filter, ..Query::nearest(code, ask.k) };
    library.searcher.find(&library.index(), &query)
}
