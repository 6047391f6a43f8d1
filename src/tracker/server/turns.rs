//! Turns at reading frames of some size, so that what is half read is bounded in bytes.
//!
//! One address has no more than half of them, and where all are taken, the oldest that
//! has had its time loses its turn: a sender that is slow on purpose keeps nobody waiting.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use smol::Timer;

/// Turns at reading what is no small frame. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    pages: ReadTurns,
    large: ReadTurns,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            pages: ReadTurns::new(PAGE_FRAMES),
            large: ReadTurns::new(LARGE_FRAMES),
        }
    }
}

impl Reading {
    /// Those that a frame of `len` bytes needs one of, if it does.
    pub fn turns(&self, len: usize) -> Option<&ReadTurns> {
        let turns = if len <= PAGE_FRAME {
            &self.pages
        } else {
            &self.large
        };
        (len > SMALL_FRAME).then_some(turns)
    }
}

/// A number of turns. Cheap to clone.
#[derive(Clone)]
pub struct ReadTurns(Arc<Mutex<Taken>>);

struct Taken {
    /// The oldest first.
    turns: Vec<Holder>,
    places: usize,
    last: u64,
}

struct Holder {
    number: u64,
    address: IpAddr,
    since: Instant,
    /// Closed when the turn is lost.
    lost: Sender<()>,
}

/// A turn at reading, until it is dropped.
pub struct ReadTurn {
    number: u64,
    turns: ReadTurns,
    lost: Receiver<()>,
}

impl ReadTurns {
    fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken {
            turns: Vec::new(),
            places,
            last: 0,
        })))
    }

    /// Waits for a turn of the sender at `address`.
    pub async fn wait(&self, address: IpAddr) -> ReadTurn {
        loop {
            if let Some(turn) = self.take(address, Instant::now()) {
                return turn;
            }
            Timer::after(ASK_AGAIN).await;
        }
    }

    fn take(&self, address: IpAddr, now: Instant) -> Option<ReadTurn> {
        let mut taken = self.lock();
        let same = taken.turns.iter().filter(|t| t.address == address).count();
        if same >= (taken.places / 2).max(1) {
            return None;
        }
        if taken.turns.len() >= taken.places {
            let oldest = taken.turns.first()?;
            if now < oldest.since + TURN {
                return None;
            }
            taken.turns.remove(0).lost.close();
        }
        taken.last += 1;
        let number = taken.last;
        let (sender, lost) = async_channel::bounded(1);
        taken.turns.push(Holder {
            number,
            address,
            since: now,
            lost: sender,
        });
        let turns = self.clone();
        Some(ReadTurn {
            number,
            turns,
            lost,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadTurn {
    /// Until it is lost to another sender.
    pub async fn is_lost(&self) {
        // Nothing is ever sent: this fails when it is closed.
        let _ = self.lost.recv().await;
    }
}

impl Drop for ReadTurn {
    fn drop(&mut self) {
        let mut taken = self.turns.lock();
        taken.turns.retain(|holder| holder.number != self.number);
    }
}

/// All but lists and pages. As much may be half read of every connection: 4.4 MB.
const SMALL_FRAME: usize = 4 * 1024;
/// A page is smaller but for the longest paths.
const PAGE_FRAME: usize = 64 * 1024;
/// Frames of up to that size that are read at once: 8 MiB.
const PAGE_FRAMES: usize = 128;
/// Larger ones. With as many as can wait in the inbox, 24 MiB.
const LARGE_FRAMES: usize = 8;
/// For a frame while others wait: bad Wi-Fi takes less for a page of the usual size.
const TURN: Duration = Duration::from_secs(2);
/// Soon enough that nobody notices, and seldom enough to cost nothing.
const ASK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use smol::future;

    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn one_address_has_half_of_the_turns_and_gives_them_back() {
        let (turns, now) = (ReadTurns::new(8), Instant::now());
        let mut held: Vec<ReadTurn> = (0..4).map(|_| turns.take(ip(1), now).unwrap()).collect();
        assert!(turns.take(ip(1), now + TURN).is_none());
        assert!(turns.take(ip(2), now).is_some());
        held.pop();
        assert!(turns.take(ip(1), now).is_some());
    }

    #[test]
    fn the_oldest_loses_its_turn_to_a_sender_that_waits() {
        let (turns, now) = (ReadTurns::new(4), Instant::now());
        let slow: Vec<ReadTurn> = (1..5).map(|n| turns.take(ip(n), now).unwrap()).collect();
        assert!(turns.take(ip(9), now).is_none(), "they have just begun");
        let is_lost = |turn: &ReadTurn| smol::block_on(future::poll_once(turn.is_lost())).is_some();
        let late = turns.take(ip(9), now + TURN).unwrap();
        let lost: Vec<bool> = slow.iter().map(is_lost).collect();
        assert_eq!(lost, [true, false, false, false]);
        assert!(!is_lost(&late));
        drop(slow);
        assert!(!is_lost(&late));
        assert_eq!(turns.lock().turns.len(), 1);
    }
}
