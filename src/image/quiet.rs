/*!
Panics of other people's decoders: caught, and not printed.
*/

use std::cell::Cell;
use std::panic::{self, UnwindSafe};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and returns what it returns; `None` if it panics, of which nothing is printed.
///
/// The first call puts a hook for panics before the one that is there. It passes on every panic
/// outside of `work`.
pub(super) fn catch<T>(work: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A thread that is ending has no flag any more.
            if !QUIET.try_with(Cell::get).unwrap_or(false) {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = panic::catch_unwind(work);
    QUIET.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_and_what_follows_is_heard() {
        assert_eq!(catch(|| 7), Some(7));
        assert_eq!(catch(|| -> u8 { panic!("a decoder's fault") }), None);
        assert!(!QUIET.get(), "the next panic of this thread is printed");
        assert_eq!(
            catch(|| catch(|| -> u8 { panic!("inner") }).is_none() && QUIET.get()),
            Some(true)
        );
    }
}
