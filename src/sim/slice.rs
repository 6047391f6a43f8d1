//! A slice that a host sends.

use std::time::Instant;

use super::setting::Manner;
use crate::{
    content::ranges::GroupSet,
    id::{PeerId, TrackId},
    protocol::Decline,
    swarm::{referrals, scheduler::RequestOutcome},
};

/// A slice as its holder knows it.
#[derive(Debug)]
pub struct Slice {
    pub track: TrackId,
    pub size: u64,
    pub all: GroupSet,
    pub left: GroupSet,
    /// When the last piece arrives: those after it do not overtake it.
    pub last: Instant,
    pub stalled: bool,
    pub end: RequestOutcome,
}

impl Slice {
    /// What a holder of this manner, which is `me`, sends of `groups`, given how large the
    /// track is there and what of it is here.
    ///
    /// # Errors
    /// What it answers instead.
    pub fn of(
        (track, size, groups): (TrackId, u64, &GroupSet),
        here: Option<(u64, GroupSet)>,
        (me, manner): (PeerId, Manner),
        now: Instant,
    ) -> Result<Self, Decline> {
        if manner == Manner::Changed {
            return Err(Decline::Changed);
        }
        let here = referrals::offer(me, size, groups, here)?;
        let lies = manner == Manner::Liar;
        let end = match here == *groups {
            _ if lies => RequestOutcome::Liar,
            true => RequestOutcome::Complete,
            false => RequestOutcome::Short,
        };
        let left = if lies { here.take(1) } else { here };
        Ok(Self {
            track,
            size,
            all: left.clone(),
            left,
            last: now,
            stalled: false,
            end,
        })
    }
}
