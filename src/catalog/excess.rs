//! Owners whose catalogues have no room.

use std::time::{Duration, Instant};

use super::{
    head::SignedHead,
    quota::{MemoryQuota, Weight},
};

/// A catalogue that is not taken, and is tried again ever less often. `V` is the way that
/// it would be had by.
#[derive(Debug)]
pub struct Excess<V = ()> {
    /// The newest that was shown.
    head: SignedHead,
    via: V,
    why: TooMuch,
    /// As far as it was here.
    takes: Weight,
    until: Instant,
    rest: Duration,
}

/// TooMuch a catalogue is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// It is larger than one owner's may be.
    ForOne,
    /// All together are, and it is the largest of its site.
    ForAll,
}

impl<V: Copy> Excess<V> {
    pub fn new(head: SignedHead, via: V, why: TooMuch, takes: Weight, now: Instant) -> Self {
        Self {
            head,
            via,
            why,
            takes,
            until: now + FIRST_REST,
            rest: FIRST_REST,
        }
    }

    /// What belongs to `head` had to go, too. How large an older version is says nothing of
    /// the newest.
    pub fn handle_again(&mut self, head: &SignedHead, why: TooMuch, takes: Weight) {
        self.why = why;
        if *head == self.head {
            // Of two estimates the one by more of it.
            if takes.counted > self.takes.counted {
                self.takes = takes;
            }
        }
    }

    /// The owner's catalogue has changed: it may be smaller by that.
    pub fn handle_head(&mut self, head: SignedHead, via: V) {
        if head.head.is_newer_than(&self.head.head) {
            (self.head, self.via, self.takes) = (head, via, Weight::default());
        }
    }

    /// Others have gone.
    pub fn handle_room(&mut self, now: Instant) {
        if self.why == TooMuch::ForAll {
            self.until = self.until.min(now + SETTLED);
        }
    }

    /// When it is to be tried again.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// It is tried now; the next time is later.
    pub fn rest(&mut self, now: Instant) {
        self.rest = (self.rest * 2).min(LONGEST_REST);
        self.until = now + self.rest;
    }

    pub fn head(&self) -> SignedHead {
        self.head
    }

    pub fn via(&self) -> V {
        self.via
    }

    pub fn takes(&self) -> Weight {
        self.takes
    }

    /// TooMuch, and what a person can do, given what the owner is called.
    pub fn in_words(&self, name: &str, quota: MemoryQuota) -> String {
        let mb = |bytes: usize| bytes.div_ceil(1 << 20);
        let why = match self.why {
            TooMuch::ForOne => format!(
                "their list takes more than {} MB, the most that this machine has for one \
                 speaker's",
                mb(quota.one)
            ),
            TooMuch::ForAll => format!(
                "their list seems to take {} MB, the most of all that would have to fit into the \
                 {} MB that this machine has for them",
                mb(self.takes.likely),
                mb(quota.all)
            ),
        };
        format!(
            "{why}; if {name} is one of yours, let it share fewer tracks (`peer.music`) or give \
             this machine more memory, and if you do not know it, take it off your network"
        )
    }
}

/// Long enough that what comes and is dropped again costs little.
const FIRST_REST: Duration = Duration::from_secs(30);
const LONGEST_REST: Duration = Duration::from_secs(900);
/// Where one has gone, others may follow.
const SETTLED: Duration = Duration::from_secs(3);
