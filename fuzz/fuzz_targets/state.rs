//! Key files, the remembered queue, the values of the index.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(|bytes: &[u8]| door::state(bytes));
