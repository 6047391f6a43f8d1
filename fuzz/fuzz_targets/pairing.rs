//! Messages of a pairing, to both sides of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(|bytes: &[u8]| door::pairing(bytes));
