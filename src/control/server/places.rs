//! How many clients there may be, and what is said to one too many.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::guesses::Prefix;
use crate::util::few::Few;

/// Clients at a time: some desks, each with several programs that stay connected, the phones,
/// and some scripts.
pub const MAX_CLIENTS: usize = 104;

/// Of these on TCP, so that a network never keeps out the machine's own clients.
pub const MAX_TCP_CLIENTS: usize = 88;

/// Of these from one address: a desk's player has two connections, its status bar, its media
/// keys and a home automation one each, and what plays an album by hand some more.
pub const MAX_CLIENTS_OF_ADDRESS: usize = 32;

/// Of these from one half of an IPv6 address, of which a machine can have any.
const MAX_CLIENTS_OF_PREFIX: usize = 64;

/// Why there is no place for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All(usize),
    Tcp(usize),
    Address(usize),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(n) => write!(f, "this node has its {n} connections already"),
            Self::Tcp(n) => write!(f, "this node has its {n} connections by TCP already"),
            Self::Address(n) => write!(f, "this address has its {n} connections already"),
        }?;
        f.write_str("; close one and try again")
    }
}

/// Whether one more may come, from the TCP address `from` or else locally, where those of
/// `taken` are.
pub(super) fn check(
    taken: impl Iterator<Item = Option<IpAddr>>,
    from: Option<IpAddr>,
) -> Result<(), Full> {
    let (mut all, mut tcp, mut of_address, mut of_prefix) = (0, 0, 0, 0);
    for seat in taken {
        all += 1;
        let Some(seat) = seat else { continue };
        tcp += 1;
        of_address += usize::from(Some(seat) == from);
        of_prefix += usize::from(Some(Prefix::from(seat)) == from.map(Prefix::from));
    }
    match from {
        _ if all >= MAX_CLIENTS => Err(Full::All(MAX_CLIENTS)),
        None => Ok(()),
        _ if of_address >= MAX_CLIENTS_OF_ADDRESS => Err(Full::Address(MAX_CLIENTS_OF_ADDRESS)),
        _ if of_prefix >= MAX_CLIENTS_OF_PREFIX => Err(Full::Address(MAX_CLIENTS_OF_PREFIX)),
        _ if tcp >= MAX_TCP_CLIENTS => Err(Full::Tcp(MAX_TCP_CLIENTS)),
        _ => Ok(()),
    }
}

/// What has been complained about lately: each address once in a while.
#[derive(Debug, Default)]
pub(super) struct Complaints(Few<IpAddr, Instant>);

impl Complaints {
    /// Whether it is worth a line of the log that `from` is complained about.
    pub fn is_news(&mut self, from: IpAddr, now: Instant) -> bool {
        self.0.retain(|since| *since + QUIET > now);
        let is_news = self.0.len() < MAX_COMPLAINTS && self.0.get(from).is_none();
        if is_news {
            self.0.insert(from, now);
        }
        is_news
    }
}

/// An address that is complained about is not named again for as long.
const QUIET: Duration = Duration::from_secs(600);

/// Addresses complained about in that time; more are an attack, of which these tell enough.
const MAX_COMPLAINTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: usize) -> Option<IpAddr> {
        Some(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n as u32).into())
    }

    #[test]
    fn places_are_bounded_for_each_and_kept_for_the_machine() {
        let full = |taken: Vec<_>, from| check(taken.into_iter(), from).err();
        let desk = vec![ip(1); MAX_CLIENTS_OF_ADDRESS];
        assert_eq!(full(desk.clone(), ip(2)), None);
        assert_eq!(full(desk, ip(1)), Some(Full::Address(32)));
        let crowd: Vec<_> = (0..MAX_TCP_CLIENTS).map(ip).collect();
        assert_eq!(
            full(crowd.clone(), ip(999)),
            Some(Full::Tcp(MAX_TCP_CLIENTS))
        );
        assert_eq!(full(crowd, None), None);
        assert!(full(vec![None; MAX_CLIENTS], None).is_some());
        // A machine with a network of addresses.
        let v6 = |n: usize| Some(std::net::Ipv6Addr::from_bits((0xfd00 << 112) + n as u128).into());
        let one: Vec<_> = (0..MAX_CLIENTS_OF_PREFIX).map(v6).collect();
        assert_eq!(full(one.clone(), v6(999)), Some(Full::Address(64)));
        assert_eq!(full(one, ip(1)), None);
    }

    #[test]
    fn an_address_is_complained_about_once_in_a_while() {
        let at = |n| ip(n).unwrap();
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        assert!(complaints.is_news(at(1), now));
        assert!(!complaints.is_news(at(1), now));
        assert!(complaints.is_news(at(2), now));
        assert!(complaints.is_news(at(1), now + QUIET));
        let news = (0..1000).filter(|&n| complaints.is_news(at(n), now + QUIET));
        assert!(news.count() < MAX_COMPLAINTS, "those two are told already");
    }
}
