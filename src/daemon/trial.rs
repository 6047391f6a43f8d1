//! What only tests and benches have otherwise.

use std::time::Duration;

use crate::node::KNOWN_AFTER;

/// Only a bench has a node that does not, for comparison.
pub fn names_others() -> bool {
    #[cfg(feature = "door")]
    return std::env::var_os("P2PMUSIC_BENCH_ALONE").is_none();
    #[cfg(not(feature = "door"))]
    true
}

/// A test does not wait for ten minutes.
pub fn known_after() -> Duration {
    #[cfg(feature = "door")]
    if let Ok(millis) = std::env::var("P2PMUSIC_KNOWN_AFTER_MS") {
        return millis.parse().map_or(KNOWN_AFTER, Duration::from_millis);
    }
    KNOWN_AFTER
}
