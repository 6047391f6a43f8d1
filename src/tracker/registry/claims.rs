//! Who gets a place that another may have.
//!
//! A registration is a claim to a peer id and to a name. Where both are free
//! it is admitted; otherwise whoever holds one of them is probed, and the
//! claim waits for the answer, for the end of the holder's connection, or for
//! [`PROBE_TIMEOUT`], whichever is first.

use std::{net::IpAddr, time::Instant};

use super::{
    state::{keys_where, Claim, Connection, Probe, Stage},
    Breach, ConnId, Dropped, Registry, MAX_QUOTED_CHARS, PROBE_TIMEOUT, REGISTER_TIMEOUT,
};
use crate::{
    id::PeerId,
    protocol::{check_name, FromTracker, Refusal, Registration, MAX_CANDIDATES},
    tenure::{is_numbered, numbered},
};

impl Registry {
    pub(super) fn handle_register(
        &mut self,
        conn: ConnId,
        registration: Registration,
        now: Instant,
    ) -> Result<(), Breach> {
        if registration.candidates.len() > MAX_CANDIDATES {
            return Err(Breach("too many addresses"));
        }
        if registration.port == 0 {
            return Err(Breach("no port"));
        }
        if let Err(why) = check_name(&registration.name) {
            let name = registration.name.chars().take(MAX_QUOTED_CHARS).collect();
            self.refuse(conn, Refusal::BadName { name, why });
            return Ok(());
        }
        self.consider(conn, registration, 1, now);
        Ok(())
    }

    /// Admits the peer under the `number`th form of its name, or asks first
    /// whoever stands in its way whether it is still there.
    fn consider(&mut self, conn: ConnId, registration: Registration, number: u32, now: Instant) {
        let Some(peer) = self.connections.get(&conn).map(|c| c.peer) else {
            return;
        };
        let name = self.wanted_name(peer, &registration, number);
        let namesake = self
            .members
            .iter()
            .find(|(id, m)| **id != peer && m.name == name);
        let namesake = namesake.map(|(&id, member)| (id, member.conn));
        let holder = match (self.members.get(&peer).and_then(|m| m.conn), namesake) {
            (Some(own), _) => own,
            (None, Some((_, Some(other)))) => other,
            (None, Some((id, None))) => {
                // It is suspect, and where it should answer nobody is.
                self.remove(id, Dropped::Unresponsive, now);
                return self.admit(conn, registration, name, now);
            }
            (None, None) => return self.admit(conn, registration, name, now),
        };
        let probe = self.probe(holder, now);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.stage = Stage::Waiting(Box::new(Claim {
                registration,
                number,
                probe,
            }));
        }
    }

    /// One question to a holder is enough for all who wait for its answer: a
    /// venue's speakers may all have the same default name.
    fn probe(&mut self, holder: ConnId, now: Instant) -> Probe {
        let mut asked = self.connections.values().filter_map(Connection::probe);
        if let Some(probe) = asked.find(|probe| probe.holder == holder) {
            return *probe;
        }
        self.last_nonce += 1;
        let probe = Probe {
            holder,
            nonce: self.last_nonce,
            until: now + PROBE_TIMEOUT,
        };
        self.wake_by(probe.until);
        let nonce = probe.nonce;
        self.send(holder, FromTracker::Ping { nonce });
        probe
    }

    /// A default name that was numbered stays what it is while the peer is
    /// known, or every lost connection would rename a speaker.
    fn wanted_name(&self, peer: PeerId, registration: &Registration, number: u32) -> String {
        let known = self.members.get(&peer).map(|member| &member.name);
        match known.filter(|name| is_numbered(name, &registration.name)) {
            Some(name) if !registration.name_chosen => name.clone(),
            _ => numbered(&registration.name, number),
        }
    }

    /// The holder of what another claims is still there: the claim fails.
    pub(super) fn handle_pong(&mut self, holder: ConnId, nonce: u64, now: Instant) {
        let answered = |c: &Connection| {
            c.probe()
                .is_some_and(|probe| (probe.holder, probe.nonce) == (holder, nonce))
        };
        for conn in keys_where(&self.connections, answered) {
            self.deny(conn, holder, now);
        }
    }

    /// What `conn` claims belongs to `holder`, who has answered.
    fn deny(&mut self, conn: ConnId, holder: ConnId, now: Instant) {
        let Some((claimant, at, claim)) = self.take_claim(conn, now) else {
            return;
        };
        let Some(kept) = self.connections.get(&holder) else {
            return;
        };
        let (same_peer, holder) = (kept.peer == claimant, kept.address);
        let Claim {
            registration,
            number,
            ..
        } = claim;
        if same_peer && holder == at {
            self.refuse(conn, Refusal::AlreadyRunning { holder });
        } else if same_peer {
            self.refuse(conn, Refusal::Copy { holder });
        } else if registration.name_chosen {
            let name = registration.name;
            self.refuse(conn, Refusal::NameTaken { name, holder });
        } else {
            self.consider(conn, registration, number + 1, now);
        }
    }

    /// The holder of what `conn` claims has not answered.
    pub(super) fn throw_out_holder(&mut self, conn: ConnId, now: Instant) {
        let Some((claimant, _, claim)) = self.take_claim(conn, now) else {
            return;
        };
        let holder = claim.probe.holder;
        if let Some(peer) = self.connections.get(&holder).map(|c| c.peer) {
            if peer == claimant {
                // It is here again, on the claimant's connection.
                self.close(holder, Dropped::Unresponsive);
                self.handle_lost_member(peer, holder, now);
            } else {
                self.remove(peer, Dropped::Unresponsive, now);
            }
        }
        self.consider(conn, claim.registration, claim.number, now);
    }

    /// Takes a waiting connection's claim off it: (peer, address, claim).
    fn take_claim(&mut self, conn: ConnId, now: Instant) -> Option<(PeerId, IpAddr, Claim)> {
        let until = now + REGISTER_TIMEOUT;
        self.wake_by(until);
        let connection = self.connections.get_mut(&conn)?;
        let silent = Stage::Silent { until };
        match std::mem::replace(&mut connection.stage, silent) {
            Stage::Waiting(claim) => Some((connection.peer, connection.address, *claim)),
            other => {
                connection.stage = other;
                None
            }
        }
    }

    /// The connection that stood in the way of some is closed.
    pub(super) fn reconsider_claims_against(&mut self, holder: ConnId, now: Instant) {
        let moot = |c: &Connection| c.probe().is_some_and(|probe| probe.holder == holder);
        for conn in keys_where(&self.connections, moot) {
            if let Some((_, _, claim)) = self.take_claim(conn, now) {
                self.consider(conn, claim.registration, claim.number, now);
            }
        }
    }
}
