//! Frames of both protocols, in both directions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(|bytes: &[u8]| door::frame(bytes));
