//! What a peer can be listening to: so much of what it asks for as urgent is believed.
//!
//! How urgent a request is, its requester says. A listener hears a second of music a second, and
//! is ahead of that by what a start, a seek or some skips ask for at once; a peer that asks
//! for more is fetching, whatever it says. And as much as it hears is urgent before anybody
//! says so: what is due in five seconds must not wait behind all that is due in three. What
//! one peer, and what all of one host, have asked for is counted in seconds of listening, so
//! nobody has to count how many tracks that were.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::{PeerId, GROUP_BYTES};
use crate::protocol::Class;
use crate::swarm::requester::{HostKey, Requester};

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Listening {
    peers: BTreeMap<PeerId, Instant>,
    sites: BTreeMap<HostKey, Instant>,
}

impl Listening {
    /// Whether `requester` can be listening to so many more groups of a track of which a second
    /// takes `rate` bytes, if that is known, of which it says that they are `class`. Then
    /// they count.
    pub(super) fn believe(
        &mut self,
        requester: Requester,
        class: Class,
        groups: u32,
        rate: Option<u64>,
        now: Instant,
    ) -> bool {
        let ahead = match class {
            Class::Now => AHEAD,
            // The rest is for a seek.
            Class::Next => AHEAD / 2,
            Class::Rest => return false,
        };
        let time = time(groups, rate);
        let peer = after(self.peers.get(&requester.peer), time, now);
        let site = after(self.sites.get(&requester.site), time / ROOMS_OF_A_HOST, now);
        if peer.max(site) > now + ahead {
            return false;
        }
        set(&mut self.peers, requester.peer, peer, now);
        set(&mut self.sites, requester.site, site, now);
        true
    }

    /// They were not sent after all.
    pub(super) fn take_back(&mut self, requester: Requester, groups: u32, rate: Option<u64>) {
        let time = time(groups, rate);
        let peer = self
            .peers
            .get_mut(&requester.peer)
            .map(|until| (until, time));
        let site = self.sites.get_mut(&requester.site);
        let site = site.map(|until| (until, time / ROOMS_OF_A_HOST));
        for (until, time) in peer.into_iter().chain(site) {
            *until = until.checked_sub(time).unwrap_or(*until);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.len().max(self.sites.len())
    }
}

/// Until when the listening lasts that was asked for, with `time` more.
fn after(until: Option<&Instant>, time: Duration, now: Instant) -> Instant {
    until.map_or(now, |until| now.max(*until)) + time
}

fn set<K: Copy + Ord>(all: &mut BTreeMap<K, Instant>, key: K, until: Instant, now: Instant) {
    if !all.contains_key(&key) && all.len() >= MAX_REMEMBERED {
        all.retain(|_, until| *until > now);
        // Of the requester with the least there is the least to remember.
        let least = all.iter().min_by_key(|(_, until)| **until);
        let least = least.map(|(key, _)| *key);
        if let Some(least) = least.filter(|_| all.len() >= MAX_REMEMBERED) {
            all.remove(&least);
        }
    }
    all.insert(key, until);
}

/// How long one listens to so many groups, by which time it has asked for a little more.
fn time(groups: u32, rate: Option<u64>) -> Duration {
    let rate = rate.unwrap_or(HIGHEST_RATE);
    let rate = rate.clamp(CD_RATE, HIGHEST_RATE);
    let bytes = u64::from(groups) * GROUP_BYTES;
    Duration::from_micros(bytes * 1_000_000 / rate) * 4 / 5
}

/// Bytes a second of CD quality PCM: anybody may ask for as many, so that the opening of a
/// track of a low rate, which is counted in bytes, does not cost many seconds of it.
const CD_RATE: u64 = 44_100 * 4;

/// Of the highest quality that is sold, 24 bits and two channels at 192 kHz: believed of a
/// track whose rate is not known.
const HIGHEST_RATE: u64 = 192_000 * 6;

/// A start or a seek asks for the head, the start of the sound, the tail, and the next three
/// seconds, which is 4 s of CD quality; some in a row are a person's search for a song.
const AHEAD: Duration = Duration::from_secs(15);

/// Listeners behind one address: a speaker, and a second node on the same machine.
const ROOMS_OF_A_HOST: u32 = 2;

/// More than the guests that there may be at a time.
const MAX_REMEMBERED: usize = 256;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn requester(n: u8, host: u8) -> Requester {
        Requester::new(PeerId([n; 32]), IpAddr::from([192, 168, 1, host]), &[])
    }

    /// Seconds of a track of CD quality that are believed of `requesters` in a minute, each of
    /// which asks for a second ten times a second.
    fn believed(requesters: &[Requester]) -> f64 {
        let mut listening = Listening::default();
        let start = Instant::now();
        let mut groups = 0;
        for step in 0..600 {
            let now = start + Duration::from_millis(100 * step);
            for requester in requesters {
                let is_believed = listening.believe(*requester, Class::Now, 11, Some(CD_RATE), now);
                groups += if is_believed { 11 } else { 0 };
            }
        }
        f64::from(groups) * GROUP_BYTES as f64 / CD_RATE as f64
    }

    #[test]
    fn nobody_listens_to_more_than_a_second_a_second() {
        let one = believed(&[requester(1, 1)]);
        assert!((80.0..100.0).contains(&one), "{one}");
        let many: Vec<_> = (0..32).map(|n| requester(n, 1)).collect();
        let many = believed(&many);
        assert!(many < 2.1 * one, "{many}");
    }

    /// Eight seeks in five seconds, and then somebody listens.
    #[test]
    fn a_listener_that_looks_for_a_song_is_believed() {
        let mut listening = Listening::default();
        let start = Instant::now();
        for seek in 0..8 {
            let now = start + Duration::from_millis(600 * seek);
            // What waits is sent first, then two seconds of what follows.
            for groups in [4, 4, 8, 8] {
                assert!(
                    listening.believe(requester(1, 1), Class::Now, groups, Some(20_000), now),
                    "{seek}"
                );
            }
        }
        for second in 8..100 {
            let now = start + Duration::from_secs(second);
            assert!(listening.believe(requester(1, 1), Class::Now, 11, Some(CD_RATE), now));
        }
    }

    #[test]
    fn what_is_taken_back_costs_nothing_and_all_is_bounded() {
        let now = Instant::now();
        let mut listening = Listening::default();
        for _ in 0..1000 {
            assert!(listening.believe(requester(1, 1), Class::Now, 64, None, now));
            listening.take_back(requester(1, 1), 64, None);
        }
        assert!(!listening.believe(requester(1, 1), Class::Now, 256 * 64, None, now));
        for n in 0..1000u16 {
            let [host, peer] = n.to_be_bytes();
            let mut id = [peer; 32];
            id[0] = host;
            let address = IpAddr::from([10, 0, host, peer]);
            listening.believe(
                Requester::new(PeerId(id), address, &[]),
                Class::Now,
                4,
                None,
                now,
            );
        }
        assert!(listening.len() <= MAX_REMEMBERED);
    }
}
