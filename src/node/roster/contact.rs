//! What is known of one peer, and by what.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use super::{Acquaintance, RosterChange};
use crate::{
    catalog::OwnerSite,
    id::PeerId,
    protocol::{Candidate, PeerRecord, PeerState, MAX_CANDIDATES},
};

/// The one record of a peer.
#[derive(Debug)]
pub struct RosterPeer {
    pub contact: Contact,
    /// Whether it announces itself by mDNS.
    pub is_announced: bool,
    /// Where it may answer when it is not here, the likeliest first.
    pub hints: Vec<SocketAddr>,
    /// Where it was last said to be dialled; nowhere while nobody is to do so.
    pub dialled: Vec<SocketAddr>,
    /// When it is greeted next, if it is.
    pub due: Instant,
    /// Greetings in a row without an answer.
    pub failures: u32,
    /// A greeting is under way.
    pub is_asked: bool,
    /// The greeting under way does not tell the news.
    pub is_behind: bool,
    /// It has not been greeted since other keys are believed: what it says may have been said
    /// with one of before.
    pub is_unsure: bool,
    /// When its last greeting was taken.
    pub heard: Option<Instant>,
}

/// Whether a peer is here, and by which word.
#[derive(Debug)]
pub enum Contact {
    /// There is a hint of it only.
    Hinted,
    /// It is here, and a tracker speaks for it.
    Vouched(PresentPeer),
    /// It is here by its own word.
    Met(PresentPeer),
    /// It was here.
    Away(PartedPeer),
}

/// A peer that is here.
#[derive(Debug)]
pub struct PresentPeer {
    /// With the name that is shown.
    pub record: PeerRecord,
    /// The name that it goes by elsewhere.
    pub claim: String,
    /// Whether a tracker ever spoke for it.
    pub listed: bool,
    /// Where it was seen, whatever else it claims.
    pub site: Option<OwnerSite>,
    /// Since when it has its name, which no other claims, by its own word.
    pub since: Option<Instant>,
}

/// A peer that was here, as it is remembered.
#[derive(Debug)]
pub struct PartedPeer {
    /// The name that it went by elsewhere.
    pub name: String,
    /// The higher, the later it went.
    pub no: u64,
    /// Only the tracker does not see it any more.
    pub is_missed: bool,
}

/// What a peer's own word has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetChange {
    Nothing,
    /// Where it may be dialled, or whether it is doubted.
    Whereabouts,
    /// It is new, or has another name.
    Member,
}

impl PresentPeer {
    /// It has spoken under that name from there.
    fn meet(&mut self, name: &str, from: Candidate, site: Option<OwnerSite>) -> MetChange {
        self.site = site;
        let mut change = MetChange::Nothing;
        if std::mem::replace(&mut self.record.state, PeerState::Up) != PeerState::Up {
            change = MetChange::Whereabouts;
        }
        if self.add_candidates([from]) {
            change = MetChange::Whereabouts;
        }
        if self.claim != name {
            name.clone_into(&mut self.claim);
            change = MetChange::Member;
        }
        change
    }

    /// It may be there, too. Says whether that is news.
    pub fn add_candidates(&mut self, more: impl IntoIterator<Item = Candidate>) -> bool {
        let candidates = &mut self.record.candidates;
        let count = candidates.len();
        for candidate in more {
            if !candidates.contains(&candidate) {
                candidates.insert(0, candidate);
            }
        }
        let is_news = candidates.len() > count;
        candidates.truncate(MAX_CANDIDATES + 1);
        is_news
    }

    /// Where it is, as far as that is told.
    pub fn address(&self, tracker: Option<IpAddr>) -> IpAddr {
        let at = match self.record.candidates.first() {
            Some(Candidate::At(at)) => Some(at.ip()),
            Some(Candidate::WithTracker { .. }) => tracker,
            None => None,
        };
        at.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

impl RosterPeer {
    /// One of which nothing is known yet, to be greeted then.
    pub fn new(due: Instant) -> Self {
        Self {
            contact: Contact::Hinted,
            is_announced: false,
            hints: Vec::new(),
            dialled: Vec::new(),
            due,
            failures: 0,
            is_asked: false,
            is_behind: false,
            is_unsure: false,
            heard: None,
        }
    }

    pub fn is_here(&self) -> bool {
        self.present().is_some()
    }

    pub fn is_vouched(&self) -> bool {
        matches!(self.contact, Contact::Vouched(_))
    }

    pub fn present(&self) -> Option<&PresentPeer> {
        match &self.contact {
            Contact::Vouched(present) | Contact::Met(present) => Some(present),
            Contact::Hinted | Contact::Away(_) => None,
        }
    }

    pub fn present_mut(&mut self) -> Option<&mut PresentPeer> {
        match &mut self.contact {
            Contact::Vouched(present) | Contact::Met(present) => Some(present),
            Contact::Hinted | Contact::Away(_) => None,
        }
    }

    /// What it says of itself counts, if it is here.
    pub fn met(&self) -> Option<&PresentPeer> {
        self.present().filter(|_| !self.is_vouched())
    }

    pub fn met_mut(&mut self) -> Option<&mut PresentPeer> {
        match &mut self.contact {
            Contact::Met(present) => Some(present),
            _ => None,
        }
    }

    pub fn parted(&self) -> Option<&PartedPeer> {
        match &self.contact {
            Contact::Away(parted) => Some(parted),
            _ => None,
        }
    }

    /// A tracker says of it that it is here. Gives what was known of it before.
    pub fn vouch(&mut self, present: PresentPeer) -> Option<PresentPeer> {
        self.failures = 0;
        let before = std::mem::replace(&mut self.contact, Contact::Vouched(present));
        match before {
            Contact::Vouched(present) | Contact::Met(present) => Some(present),
            Contact::Hinted | Contact::Away(_) => None,
        }
    }

    /// No tracker speaks for it any more: it does for itself.
    pub fn unvouch(&mut self) {
        self.contact = match std::mem::replace(&mut self.contact, Contact::Hinted) {
            Contact::Vouched(present) => Contact::Met(present),
            other => other,
        };
    }

    /// It is gone, as the `no`th, and was at `addresses`. Says whether it was here.
    pub fn part(&mut self, addresses: Vec<SocketAddr>, no: u64, is_missed: bool) -> bool {
        let Some(present) = self.present_mut() else {
            return false;
        };
        let name = std::mem::take(&mut present.claim);
        self.contact = Contact::Away(PartedPeer {
            name,
            no,
            is_missed,
        });
        self.hint(addresses);
        true
    }

    /// It was here in an earlier life, and went as the `no`th.
    pub fn recall(&mut self, known: &Acquaintance, no: u64) {
        self.contact = Contact::Away(PartedPeer {
            name: known.name.clone(),
            no,
            is_missed: false,
        });
        self.hints.clone_from(&known.addresses);
        self.hints.truncate(MAX_HINTS);
    }

    /// It has answered, or spoken, under that name from `at`: what of that is news.
    pub fn meet(&mut self, peer: PeerId, name: &str, at: SocketAddr) -> MetChange {
        let candidate = Candidate::At(at);
        let site = Some(at.ip().into());
        match &mut self.contact {
            Contact::Vouched(_) => MetChange::Nothing,
            Contact::Met(met) => met.meet(name, candidate, site),
            Contact::Hinted | Contact::Away(_) => {
                let record = PeerRecord {
                    peer,
                    name: name.to_owned(),
                    state: PeerState::Up,
                    candidates: vec![candidate],
                };
                self.contact = Contact::Met(PresentPeer {
                    record,
                    claim: name.to_owned(),
                    listed: false,
                    site,
                    since: None,
                });
                MetChange::Member
            }
        }
    }

    /// It has not answered. Says whether that puts its presence in doubt.
    pub fn doubt(&mut self) -> bool {
        let Contact::Met(met) = &mut self.contact else {
            return false;
        };
        let before = std::mem::replace(&mut met.record.state, PeerState::Suspect);
        before != PeerState::Suspect
    }

    /// Has it dialled there: where that is another place, or `anew`.
    pub fn dial(
        &mut self,
        peer: PeerId,
        addresses: Vec<SocketAddr>,
        anew: bool,
    ) -> Option<RosterChange> {
        if addresses.is_empty() {
            return self.hang_up(peer);
        }
        if self.dialled == addresses && !anew {
            return None;
        }
        let before = std::mem::replace(&mut self.dialled, addresses.clone());
        Some(RosterChange::Dial {
            peer,
            addresses,
            is_new: before.is_empty(),
        })
    }

    /// It is not to be dialled any more.
    pub fn hang_up(&mut self, peer: PeerId) -> Option<RosterChange> {
        let before = std::mem::take(&mut self.dialled);
        (!before.is_empty()).then_some(RosterChange::HangUp(peer))
    }

    /// It is gone for others, too.
    pub fn is_not_missed(&mut self) {
        if let Contact::Away(parted) = &mut self.contact {
            parted.is_missed = false;
        }
    }

    /// Whether it is to be greeted at all, as far as what is known of it goes.
    pub fn is_hoped_for(&self) -> bool {
        let is_missed = self.parted().is_some_and(|parted| parted.is_missed);
        self.is_here() || self.is_announced || is_missed
    }

    /// Whether it has a place whatever else there is.
    pub fn is_kept(&self) -> bool {
        self.is_here() || self.is_announced || self.is_asked
    }

    /// It may be at `addresses` rather than where it was.
    pub fn hint(&mut self, addresses: Vec<SocketAddr>) {
        let before = std::mem::replace(&mut self.hints, addresses);
        for address in before {
            if !self.hints.contains(&address) {
                self.hints.push(address);
            }
        }
        self.hints.truncate(MAX_HINTS);
    }
}

/// Addresses of one that is not here.
pub const MAX_HINTS: usize = 8;
