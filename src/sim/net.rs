//! The network: delay, loss, and which hosts can reach which.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::util::random::Random;

/// A host's number in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostNo(pub usize);

/// A tracker's number in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackerNo(pub usize);

/// Where a host is reached by the others, if it is at an address of its own.
pub fn address(host: HostNo) -> SocketAddr {
    let ip = Ipv4Addr::new(10, 0, 0, 10 + host.0 as u8);
    (ip, crate::protocol::DEFAULT_PORT).into()
}

/// A life of a host: what was meant for the one before its power was cut does
/// not reach the one after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    pub host: HostNo,
    pub number: u32,
}

/// Where a message starts or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Tracker(TrackerNo),
    Host(HostNo),
}

/// How good the network is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// One way.
    pub latency: Duration,
    /// At most so much is added by chance.
    pub jitter: Duration,
    /// Of a thousand messages so many are lost, and sent again by TCP or QUIC.
    pub loss: u64,
    /// Of a thousand requests so many end with a broken connection.
    pub breaks: u64,
}

impl Weather {
    /// A cable.
    pub const FAIR: Self = Self {
        latency: Duration::from_millis(1),
        jitter: Duration::from_micros(300),
        loss: 0,
        breaks: 0,
    };
    /// Wi-Fi through two walls.
    pub const POOR: Self = Self {
        latency: Duration::from_millis(4),
        jitter: Duration::from_millis(30),
        loss: 10,
        breaks: 5,
    };
}

/// See the module's description.
pub struct Net {
    pub weather: Weather,
    cuts: BTreeSet<(Place, Place)>,
    random: Random,
}

impl Net {
    pub fn new(weather: Weather, random: Random) -> Self {
        Self {
            weather,
            cuts: BTreeSet::new(),
            random,
        }
    }

    /// Separates two places, in both directions.
    pub fn cut(&mut self, a: Place, b: Place) {
        self.cuts.insert((a.min(b), a.max(b)));
    }

    /// Ends all separations.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    pub fn is_cut(&self, a: Place, b: Place) -> bool {
        self.cuts.contains(&(a.min(b), a.max(b)))
    }

    /// How long a message takes now, with being sent again as often as it is
    /// lost.
    pub fn delay(&mut self) -> Duration {
        let mut delay = self.weather.latency + self.random.time(self.weather.jitter);
        while self.random.chance(self.weather.loss) {
            delay += RESEND;
        }
        delay
    }

    /// Whether a request's connection breaks.
    pub fn breaks(&mut self) -> bool {
        self.random.chance(self.weather.breaks)
    }
}

/// Until a lost packet is noticed and sent again.
const RESEND: Duration = Duration::from_millis(120);
