//! Parts of a host's own catalogue, on its line.

use std::sync::Arc;

use super::{
    net::{HostNo, Life},
    swarm::{CallId, Packet, Served},
    world::{Event, World},
};
use crate::{
    catalog::Page,
    node::CataloguePiece,
    swarm::{budget::Precedence, serving::own::OwnPart},
};

/// A part that is being sent.
#[derive(Debug)]
pub struct SentPart {
    packet: Packet,
    left: u64,
}

impl SentPart {
    /// Bytes of it that go on the line at once.
    pub fn portion(&self) -> u64 {
        self.left.min(PORTION)
    }
}

impl World {
    /// Puts a part behind what waits for the line of `host`.
    pub fn begin_part(
        &mut self,
        host: HostNo,
        call: CallId,
        part: &OwnPart,
        precedence: Precedence,
    ) {
        let this = &mut self.hosts[host.0];
        let Some(piece) = piece(part, this.core.node().own_pages()) else {
            return;
        };
        let left = match &piece {
            CataloguePiece::List(list) => size_of_val(&**list) as u64,
            CataloguePiece::Page { bytes, .. } => bytes.len() as u64,
        };
        let Some(served) = this.served.get_mut(&call) else {
            return;
        };
        served.class = precedence.own;
        served.precedence = Some(precedence);
        let packet = Packet::Piece(piece);
        served.part = Some(SentPart { packet, left });
        let requester = served.requester;
        self.take_turns(host, requester);
        self.pump(host);
    }

    /// Puts as much of it on the line as goes at once.
    pub fn put_part_on_line(&mut self, host: HostNo, call: CallId) {
        let this = &mut self.hosts[host.0];
        let served = this.served.get_mut(&call);
        let Some(part) = served.and_then(|served| served.part.as_mut()) else {
            return;
        };
        let bytes = part.portion();
        part.left -= bytes;
        self.occupy_line(host, bytes, Event::SentPart { call });
    }

    /// Some of a part has left; the last of it brings all.
    pub fn sent_part(&mut self, host: HostNo, call: CallId) {
        let this = &mut self.hosts[host.0];
        this.sending = false;
        let is_whole = |served: &Served| matches!(&served.part, Some(SentPart { left: 0, .. }));
        if this.served.get(&call).is_some_and(is_whole) {
            if let Some(served) = this.served.remove(&call) {
                if let Some(part) = served.part {
                    self.send(host, served.requester, call, part.packet);
                }
            }
        }
        self.pump(host);
    }

    /// `requester` has something to wait for.
    pub fn take_turns(&mut self, host: HostNo, requester: Life) {
        let turns = &mut self.hosts[host.0].turns;
        if !turns.contains(&requester) {
            turns.push_back(requester);
        }
    }
}

fn piece(part: &OwnPart, pages: &[Arc<Page>]) -> Option<CataloguePiece> {
    Some(match part {
        // Nobody asks for it: greetings have it.
        OwnPart::Head(_) => return None,
        OwnPart::List(list) => CataloguePiece::List(list.to_vec()),
        OwnPart::Page(page) => {
            let mut own = pages.iter();
            let index = own.position(|own| Arc::ptr_eq(own, page))?;
            let (index, bytes) = (index as u32, page.bytes().clone());
            CataloguePiece::Page { index, bytes }
        }
    })
}

/// As much as a group has.
const PORTION: u64 = 16 * 1024;
