//! Which nodes of an older version have called lately.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::OLDER;
use crate::util::few::Few;

/// By their addresses, when each has called last.
#[derive(Debug, Default)]
pub struct OlderNodes(Few<IpAddr, Instant>);

impl OlderNodes {
    /// One has called; whether that is worth a line.
    pub fn handle_call(&mut self, address: IpAddr, now: Instant) -> bool {
        self.0.retain(|at| now < *at + KNOWN_FOR);
        let is_news = self.0.get(address).is_none();
        if !is_news || self.0.len() < MAX_NODES {
            self.0.insert(address, now);
            return is_news;
        }
        false
    }

    pub fn problems(&self, now: Instant) -> impl Iterator<Item = String> + '_ {
        let lately = self.0.iter().filter(move |(_, at)| now < **at + KNOWN_FOR);
        lately.map(|(address, _)| format!("{address}: {OLDER}"))
    }
}

/// One that is there tries again every few minutes.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// More rooms than a house has that somebody updates one by one.
const MAX_NODES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_once_and_until_it_calls_no_more() {
        let now = Instant::now();
        let mut older = OlderNodes::default();
        let at = |n| IpAddr::from([10, 0, 0, n]);
        assert!(older.handle_call(at(1), now));
        assert!(!older.handle_call(at(1), now + KNOWN_FOR / 2));
        let problems = |older: &OlderNodes, at| older.problems(at).collect::<Vec<_>>();
        assert!(problems(&older, now + KNOWN_FOR)[0].starts_with("10.0.0.1: an older"));
        assert!(problems(&older, now + KNOWN_FOR * 2).is_empty());
        for n in 2..100 {
            older.handle_call(at(n), now);
        }
        assert_eq!(problems(&older, now).len(), MAX_NODES);
        assert!(older.handle_call(at(200), now + KNOWN_FOR * 2));
    }
}
