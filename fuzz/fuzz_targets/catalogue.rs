//! Pages, and heads that are followed with them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(|bytes: &[u8]| door::catalogue(bytes));
