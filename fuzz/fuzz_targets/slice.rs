//! Slices of a track that nobody has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(|input: (u64, &[u8])| door::slice(input.0, input.1));
