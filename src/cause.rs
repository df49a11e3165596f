/*!
The cause that an error names: another error, or a text.
*/

use std::error::Error;

/// The cause of an error: another error, or a text where there is none.
pub type Cause = Box<dyn Error + Send + Sync>;

/// An error in other words than its own.
#[cfg(feature = "model")]
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Told {
    text: String,
    source: Cause,
}

/// Returns a cause that reads `text`, and has `error` as its source.
#[cfg(feature = "model")]
pub(crate) fn told(text: impl Into<String>, error: impl Into<Cause>) -> Cause {
    Told { text: text.into(), source: error.into() }.into()
}

/// Returns an error of Burn as a cause that reads as its `Debug` form, which says more.
#[cfg(feature = "model")]
pub(crate) fn in_detail<E: Error + Send + Sync + 'static>(error: E) -> Cause {
    told(format!("{error:?}"), error)
}
