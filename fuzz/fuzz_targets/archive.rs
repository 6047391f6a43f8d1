//! The files that keep catalogues while their owners are away.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(|bytes: &[u8]| {
    door::archive(bytes);
});
