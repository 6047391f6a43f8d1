//! What a control client sends: lines, lists, filters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(|bytes: &[u8]| door::mpd(bytes));
