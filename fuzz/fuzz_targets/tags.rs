//! The tags of a music file, whose format its first byte names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pmusic::door;

use std::{path::PathBuf, sync::OnceLock};

/// In memory: millions of files would wear a disk.
static FILE: OnceLock<PathBuf> = OnceLock::new();

fuzz_target!(
    init: door::contain_decoders(),
    |bytes: &[u8]| {
        let path = FILE.get_or_init(|| format!("/dev/shm/p2pmusic-fuzz-{}", std::process::id()).into());
        if let [format, file @ ..] = bytes {
            door::tags(*format, file, path);
        }
    }
);
