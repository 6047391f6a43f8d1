//! A fence around the parsers of others that eat strangers' files.
//!
//! Decoders and tag readers are large, not ours, and not proven against every
//! byte. A panic of theirs ends the track, where any other ends the process.

use std::{
    cell::Cell,
    panic::{catch_unwind, AssertUnwindSafe},
};

/// The parser met something that its makers had not thought of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the decoder gave up on it")]
pub struct Panicked;

/// Runs `parse`. What it has touched is not to be trusted after a panic.
///
/// # Errors
/// [`Panicked`].
pub fn guarded<T>(parse: impl FnOnce() -> T) -> Result<T, Panicked> {
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(parse));
    GUARDED.set(outer);
    result.map_err(|_| Panicked)
}

/// Whether this thread is in a parser whose panics are caught.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_within_a_fence_does_not_open_the_outer_one() {
        let inside = guarded(|| {
            assert_eq!(guarded(|| 7), Ok(7));
            is_guarded()
        });
        assert_eq!((inside, is_guarded()), (Ok(true), false));
        assert_eq!(guarded(|| panic!("on purpose")), Err::<(), _>(Panicked));
        assert!(!is_guarded());
    }
}
