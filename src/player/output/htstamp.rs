//! Keeps alsa-lib from writing past its place, on machines of 32 bits.
//!
//! cpal asks alsa-lib for a time stamp at every callback, and gives it a place
//! for a `timespec` of 8 bytes. Since Debian 13, and so on today's Raspberry Pi
//! OS, time has 64 bits in alsa-lib's interface on ARM, too: 16 bytes are
//! written, and what stood behind the place is gone. A release build ends with
//! a segmentation fault at its first sound.
//!
//! What a program defines itself goes before what its libraries define. So
//! this answers instead of alsa-lib, and says what it says of a device
//! without time stamps: zero. cpal takes the clock then, and never asks again
//! for this stamp or another. The program runs with alsa-lib of either kind.
//!
//! Not needed any more with a cpal that depends on alsa 0.12.1.

use std::ffi::c_void;

use nix::libc::timespec;

/// Stands in front of alsa-lib's function of this name, whose second argument
/// is a pointer to a place that the caller owns.
#[no_mangle]
extern "C" fn snd_pcm_status_get_htstamp(_status: *const c_void, stamp: &mut timespec) {
    *stamp = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
}
