/*!
Searching among some of the images only: the one place that knows how that is done.
*/

use std::path::Path;

use super::ask::Ask;
use super::library::Library;
use crate::code::BinaryCodes;
use crate::index::{Found, IndexError};

/// The nearest images of a code that are in the asked folder, have the asked label and
/// lie within the asked radius, ranked anew from 1.
///
/// More are looked for until enough of them are left.
pub fn nearest(
    library: &Library,
    code: &BinaryCodes,
    content: Option<&blake3::Hash>,
    ask: &Ask,
) -> Result<Vec<Found>, IndexError> {
    let under = ask.under.as_deref().map(Path::new);
    let wanted = |found: &Found| {
        under.is_none_or(|under| Path::new(&found.path).starts_with(under))
            && ask.label.as_ref().is_none_or(|label| found.label.as_ref() == Some(label))
            && ask.radius.is_none_or(|radius| found.distance <= radius)
    };
    let all = library.len();
    let mut most = ask.k.min(all);
    loop {
        let mut found = library.searcher.search(&library.index(), code, content, most)?;
        let beyond = |found: &Found| ask.radius.is_some_and(|radius| found.distance > radius);
        let exhausted = most >= all || found.last().is_none_or(beyond);
        found.retain(wanted);
        if exhausted || found.len() >= ask.k {
            found.truncate(ask.k);
            found.iter_mut().zip(1..).for_each(|(found, rank)| found.rank = rank);
            return Ok(found);
        }
        most = most.saturating_mul(8).min(all);
    }
}
