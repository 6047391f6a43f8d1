//! The view of a music file, whose format its first byte names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(|bytes: &[u8]| {
    if let [format, file @ ..] = bytes {
        door::view(*format, file);
    }
});
