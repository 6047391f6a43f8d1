//! A music file, opened, decoded and sought in; its first byte names its format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

fuzz_target!(
    init: door::contain_decoders(),
    |bytes: &[u8]| {
        if let [format, file @ ..] = bytes {
            door::decode(*format, file);
        }
    }
);
