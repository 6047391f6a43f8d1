//! What may be under way over a connection, and be kept of it, so that all together fit into
//! this machine.

/// What may be under way over each of so many connections with one of so many hosts.
pub(super) fn send_window(hosts: usize, of_host: usize) -> u64 {
    let part = |of: u64, n: usize| of / u64::try_from(n).unwrap_or(u64::MAX).max(1);
    let host = part(SEND_WINDOWS, hosts).clamp(LEAST_SEND_WINDOW, SEND_WINDOW);
    part(host, of_host).max(LEAST_OF_MANY)
}

/// What all connections may send to this node before it is read. What has been given to one
/// cannot be taken back, and is free again when the connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveRoom {
    /// Of those of which something is asked, beyond what each has in any case.
    all: u32,
}

impl Default for ReceiveRoom {
    fn default() -> Self {
        Self {
            all: MOST_RECEIVE_ROOM,
        }
    }
}

impl ReceiveRoom {
    pub fn of(memory: u64) -> Self {
        let part = u32::try_from(memory / PART_OF_MEMORY).unwrap_or(u32::MAX);
        Self {
            all: part.clamp(LEAST_RECEIVE_ROOM, MOST_RECEIVE_ROOM),
        }
    }

    /// What may come in any case over one more connection beside so many.
    pub fn first(self, open: usize) -> u32 {
        let open = u32::try_from(open).unwrap_or(u32::MAX).saturating_add(1);
        (self.all / 2 / open).clamp(LEAST_WINDOW, GUEST_WINDOW)
    }

    /// What a connection is given beyond that which has `own` of it, while all together have
    /// `all`, and those of its host `of_host`: the whole window of a host, as long as half of
    /// what is free is left to others.
    pub fn more(self, all: u32, of_host: u32, own: u32) -> u32 {
        let free = self.all.saturating_sub(all - own);
        let of_host = RECEIVE_WINDOW.saturating_sub(of_host - own);
        own.max(of_host.min(free / 2))
    }
}

/// What may be on its way from a host: 200 Mbit/s at 160 ms. A sender of the end of each
/// stream and never its beginning has this much kept for it.
const RECEIVE_WINDOW: u32 = 4 << 20;
/// A 32nd of the machine's memory is for what comes; a house of eight has the whole window
/// each with 1 GiB, and one source has it on the smallest.
const PART_OF_MEMORY: u64 = 32;
const LEAST_RECEIVE_ROOM: u32 = 2 * RECEIVE_WINDOW;
const MOST_RECEIVE_ROOM: u32 = 8 * RECEIVE_WINDOW;
/// Of a connection in any case, before anything is asked of it, too: all the requests that
/// a peer may have open, and music from 20 ms away.
pub(super) const GUEST_WINDOW: u32 = 64 * 1024;
/// Of a connection of a crowd, which has a thousand: some requests, and a group of chunks.
const LEAST_WINDOW: u32 = 18 * 1024;
/// What is kept for resending to a host, as much as is under way at 50 Mbit/s and 160 ms.
/// A peer that never confirms anything has this much kept for it.
const SEND_WINDOW: u64 = 1 << 20;
/// Of all hosts together: more than a house has get a part each. What was kept for
/// the first of many before is not taken back, which makes it three times that at most.
const SEND_WINDOWS: u64 = 16 << 20;
/// Of a host in any case: 50 Mbit/s at 20 ms.
pub const LEAST_SEND_WINDOW: u64 = 128 * 1024;
/// Of a connection in any case: a group of chunks, and what proves it.
const LEAST_OF_MANY: u64 = 18 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::guests::MAX_GUESTS;

    /// What is kept where as many as there may be come from so many hosts in turn, and each
    /// fills its own before the next one comes, and confirms nothing.
    fn kept(hosts: usize) -> u64 {
        let each = (0..MAX_GUESTS).map(|n| send_window(hosts.min(n + 1), n / hosts + 1));
        each.sum()
    }

    #[test]
    fn a_house_has_large_windows_and_a_crowd_a_bounded_sum() {
        assert_eq!(send_window(1, 1), SEND_WINDOW);
        assert_eq!(send_window(16, 1), SEND_WINDOW);
        let most = (1..=MAX_GUESTS).map(kept).max();
        let most = most.expect("there are some");
        assert!(most <= 3 * SEND_WINDOWS + SEND_WINDOWS / 8, "{most}");
        assert_eq!(send_window(MAX_GUESTS, 1), LEAST_SEND_WINDOW);
        assert_eq!(send_window(usize::MAX, 1), LEAST_SEND_WINDOW);
        assert_eq!(send_window(usize::MAX, usize::MAX), LEAST_OF_MANY);
    }

    /// What may come over each of so many connections, from so many hosts in turn, after
    /// something was asked of all of them, `rounds` times.
    fn windows(room: ReceiveRoom, connections: usize, hosts: usize, rounds: usize) -> Vec<u32> {
        let mut given: Vec<(u32, u32)> = Vec::new();
        for n in 0..connections {
            given.push((room.first(n), 0));
        }
        for n in (0..rounds).flat_map(|_| 0..connections) {
            let all = given.iter().map(|(_, more)| more).sum();
            let same = given.iter().skip(n % hosts).step_by(hosts);
            let of_host = same.map(|(_, more)| more).sum();
            given[n].1 = room.more(all, of_host, given[n].1);
        }
        given.iter().map(|(first, more)| first + more).collect()
    }

    /// As many as a directory has, and as many guests.
    const MOST_CONNECTIONS: usize = 1024 + MAX_GUESTS;

    #[test]
    fn what_may_come_is_bounded_however_many_are_asked() {
        for (memory, most) in [(64, 36), (512, 48), (1024, 76), (16 << 10, 76)] {
            let room = ReceiveRoom::of(memory << 20);
            for hosts in [1, 2, 20, 300, MOST_CONNECTIONS] {
                let windows = windows(room, MOST_CONNECTIONS, hosts, 3);
                let sum: u64 = windows.iter().copied().map(u64::from).sum();
                assert!(sum <= most << 20, "{memory} MiB, {hosts} hosts: {sum}");
            }
        }
    }

    #[test]
    fn few_sources_have_the_whole_window_and_a_host_has_one() {
        for memory in [64, 512, 1024] {
            let alone = windows(ReceiveRoom::of(memory << 20), 1, 1, 1);
            assert!(alone[0] >= RECEIVE_WINDOW, "{memory} MiB: {alone:?}");
        }
        let house = windows(ReceiveRoom::of(1 << 30), 7, 7, 1);
        assert!(house.iter().all(|window| *window >= RECEIVE_WINDOW));
        let crowd = windows(ReceiveRoom::of(1 << 30), 300, 300, 2);
        assert!(crowd.iter().all(|window| *window >= LEAST_WINDOW));
        let same = windows(ReceiveRoom::of(1 << 30), 32, 1, 2);
        let sum: u32 = same.iter().sum();
        assert!(sum <= RECEIVE_WINDOW + 32 * GUEST_WINDOW, "{sum}");
    }

    #[test]
    fn a_host_of_many_connections_has_what_a_host_of_one_has() {
        for of_host in 1..=32 {
            let host = send_window(2, of_host) * of_host as u64;
            assert!(host <= SEND_WINDOW, "{host}");
        }
    }
}
