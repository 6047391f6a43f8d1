//! How long a node was away, on machines that have no clock at boot.
//!
//! Within one boot the kernel counts, also while it sleeps. Over a boot only the time of
//! day can tell, and a Pi begins with the one that it had: it is believed once it was set
//! by the network, or when a clock with a battery of its own says the same.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::{statfs, statvfs},
    time::{clock_gettime, ClockId},
};

use super::stamp::{Clock, ClockStamp};

/// What all clocks say now.
pub fn look() -> Clock {
    let now = now();
    let is_set = is_set_by_network() || is_set_by_battery(now.wall);
    Clock { now, is_set }
}

/// This moment.
pub fn now() -> ClockStamp {
    let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    ClockStamp {
        boot: boot(),
        since_boot: since_boot.unwrap_or_default(),
        wall: wall.unwrap_or_default(),
    }
}

/// The kernel's name for this boot. A service that sees of /proc only processes has the
/// name of the file system at /run, which is made anew with each.
fn boot() -> Option<[u8; 16]> {
    let mut name = [0; 16];
    if let Ok(text) = fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let number = u128::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
        return Some(number.to_be_bytes());
    }
    let run = Path::new("/run");
    let is_in_memory = statfs::statfs(run).ok()?.filesystem_type() == statfs::TMPFS_MAGIC;
    let id = statvfs::statvfs(run).ok()?.filesystem_id().to_be_bytes();
    // Kernels before 5.18 give it none.
    name[..id.len()].copy_from_slice(&id);
    (is_in_memory && name != [0; 16]).then_some(name)
}

/// Whether systemd-timesyncd has set the clock in this boot.
fn is_set_by_network() -> bool {
    Path::new("/run/systemd/timesync/synchronized").exists()
}

/// Whether there is a clock that went on without power, and it is `wall` by that, too.
fn is_set_by_battery(wall: Duration) -> bool {
    let Ok(text) = fs::read_to_string("/sys/class/rtc/rtc0/since_epoch") else {
        return false;
    };
    let seconds: Option<u64> = text.trim().parse().ok();
    seconds.is_some_and(|rtc| rtc.abs_diff(wall.as_secs()) <= SAME_TIME.as_secs())
}

/// Two clocks that differ by less are one time; one without a battery differs by years.
const SAME_TIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Absence;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn time_goes_on() {
        let before = now();
        let clock = look();
        let away = clock.absence(&before);
        assert!(
            matches!(away, Absence::For(away) if away < HOUR),
            "{away:?}"
        );
    }
}
