//! A tracker that members send what they like.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(|bytes: &[u8]| door::registry(bytes));
