//! Keeps alsa-lib from writing to stderr, which is this program's log.
//!
//! It says there what its error codes say, several lines for each attempt to
//! open a device; a lost one is tried for days.

use alsa::Output;

/// Runs `f`, and logs what alsa-lib said meanwhile at the level debug.
///
/// Only this thread is heard.
pub fn with_alsa_silenced<T>(f: impl FnOnce() -> T) -> T {
    // Without memory for a buffer alsa-lib speaks for itself.
    let Ok(said) = Output::local_error_handler() else {
        return f();
    };
    let result = f();
    for line in said.borrow().to_string().lines().take(MAX_LINES) {
        if !line.is_empty() {
            log::debug!("alsa-lib: {line}");
        }
    }
    result
}

/// Has what alsa-lib says on this thread kept to itself from now on, until the
/// thread ends.
pub fn silence_alsa_on_this_thread() {
    // As above.
    let _ = Output::local_error_handler();
}

/// A misspelt configuration makes a line for each of its names.
const MAX_LINES: usize = 16;
