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

use minicbor::{Decode, Encode};
use nix::{
    sys::{statfs, statvfs},
    time::{clock_gettime, ClockId},
};

use crate::node::Absence;

/// A moment, as far as it can be told from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ClockStamp {
    /// Names the boot; nothing where that cannot be seen.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub boot: Option<[u8; 16]>,
    /// Since then, time asleep included.
    #[n(1)]
    pub since_boot: Duration,
    /// Since 1970, right or wrong.
    #[n(2)]
    pub wall: Duration,
}

/// Now, and whether the time of day is to be believed.
#[derive(Clone, Debug)]
pub struct Clock {
    pub now: ClockStamp,
    pub is_set: bool,
}

impl Clock {
    pub fn look() -> Self {
        let now = ClockStamp::now();
        let is_set = is_set_by_network() || is_set_by_battery(now.wall);
        Self { now, is_set }
    }

    /// How long ago it was `wall` since 1970; nothing if no clock can tell.
    pub fn since(&self, wall: Duration) -> Option<Duration> {
        let since = self.now.wall.checked_sub(wall);
        since.filter(|_| self.is_set)
    }

    /// How long ago `then` was.
    pub fn absence(&self, then: &ClockStamp) -> Absence {
        let same_boot = then.boot.is_some() && then.boot == self.now.boot;
        let by_kernel = self.now.since_boot.checked_sub(then.since_boot);
        // A container that was started again may count from 0.
        if let Some(away) = by_kernel.filter(|_| same_boot) {
            return Absence::For(away);
        }
        let by_wall = self.now.wall.checked_sub(then.wall);
        match by_wall.filter(|_| self.is_set) {
            Some(away) => Absence::For(away),
            None => Absence::Unknown,
        }
    }
}

impl ClockStamp {
    pub fn now() -> Self {
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            boot: boot(),
            since_boot: since_boot.unwrap_or_default(),
            wall: wall.unwrap_or_default(),
        }
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

    const HOUR: Duration = Duration::from_secs(3600);

    fn stamp(boot: Option<u8>, since_boot: u32, wall: u32) -> ClockStamp {
        ClockStamp {
            boot: boot.map(|boot| [boot; 16]),
            since_boot: HOUR * since_boot,
            wall: HOUR * wall,
        }
    }

    #[test]
    fn within_a_boot_the_kernel_counts_and_over_one_a_clock_that_is_set() {
        let then = stamp(Some(1), 5, 1_000);
        let hours = |hours| Absence::For(HOUR * hours);
        for (now, is_set, away) in [
            // Somebody set the clock in between: that is no absence.
            (stamp(Some(1), 6, 9_000), true, hours(1)),
            (stamp(Some(1), 6, 0), false, hours(1)),
            (stamp(Some(2), 0, 1_003), true, hours(3)),
            // A Pi before it has heard the time: it begins where it was.
            (stamp(Some(2), 0, 1_000), false, Absence::Unknown),
            (stamp(Some(2), 0, 0), false, Absence::Unknown),
            // The clock before was ahead.
            (stamp(Some(2), 0, 999), true, Absence::Unknown),
            // A container of the same kernel counts anew.
            (stamp(Some(1), 1, 1_002), true, hours(2)),
            (stamp(Some(1), 1, 1_002), false, Absence::Unknown),
        ] {
            let clock = Clock { now, is_set };
            assert_eq!(clock.absence(&then), away, "{clock:?}");
        }
        let nameless = Clock {
            now: stamp(None, 6, 1_001),
            is_set: false,
        };
        assert_eq!(nameless.absence(&stamp(None, 5, 1_000)), Absence::Unknown);
    }

    #[test]
    fn time_goes_on() {
        let before = ClockStamp::now();
        let clock = Clock::look();
        let away = clock.absence(&before);
        assert!(
            matches!(away, Absence::For(away) if away < HOUR),
            "{away:?}"
        );
    }
}
