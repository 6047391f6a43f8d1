//! How long a node was away, by what the clocks of the machine said then and say now: see
//! `clock`, which asks them.

use std::time::Duration;

use minicbor::{Decode, Encode};

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
}
