//! Which peer gets a place that another may have.
//!
//! A registration is a claim to a peer id and to a name. The connection that holds the
//! id is probed, and the claim waits for the answer, for that connection's end, or for
//! [`PROBE_TIMEOUT`], whichever is first. A name is kept for the node that had it, whether
//! that answers or not (see [`crate::tenure`]).

use std::{net::IpAddr, time::Instant};

use super::{
    state::{keys_where, Claim, ConnectionStage, LivenessProbe, RegisteredConnection},
    Breach, ConnId, Dropped, Registry, MAX_QUOTED_CHARS, PROBE_TIMEOUT, REGISTER_TIMEOUT,
};
use crate::id::check_name;
use crate::protocol::{FromTracker, Refusal, Registration, MAX_CANDIDATES};

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
        self.consider(conn, registration, now);
        Ok(())
    }

    /// Admits the peer, or asks its connection first whether it is still there.
    fn consider(&mut self, conn: ConnId, registration: Registration, now: Instant) {
        let Some(peer) = self.connections.get(&conn).map(|c| c.peer) else {
            return;
        };
        if let Some(holder) = self.members.get(&peer).and_then(|m| m.conn) {
            let probe = self.probe(holder, now);
            if let Some(connection) = self.connections.get_mut(&conn) {
                let claim = Claim {
                    registration,
                    probe,
                };
                connection.stage = ConnectionStage::Waiting(Box::new(claim));
            }
            return;
        }
        let wanted = &registration.name;
        match self
            .tenures
            .ask(peer, wanted, registration.name_chosen, now)
        {
            Ok(name) => self.admit(conn, registration, name, now),
            Err(holder) => {
                let name = registration.name;
                self.refuse(conn, Refusal::NameTaken { name, holder });
            }
        }
    }

    /// One question to a holder is enough for all that wait for its answer.
    fn probe(&mut self, holder: ConnId, now: Instant) -> LivenessProbe {
        let mut asked = self
            .connections
            .values()
            .filter_map(RegisteredConnection::probe);
        if let Some(probe) = asked.find(|probe| probe.holder == holder) {
            return *probe;
        }
        self.last_nonce += 1;
        let probe = LivenessProbe {
            holder,
            nonce: self.last_nonce,
            until: now + PROBE_TIMEOUT,
        };
        self.wake_by(probe.until);
        let nonce = probe.nonce;
        self.send(holder, FromTracker::Ping { nonce });
        probe
    }

    /// The holder of what another claims to be is still there: the claim fails.
    pub(super) fn handle_pong(&mut self, holder: ConnId, nonce: u64, now: Instant) {
        let answered = |c: &RegisteredConnection| {
            c.probe()
                .is_some_and(|probe| (probe.holder, probe.nonce) == (holder, nonce))
        };
        for conn in keys_where(&self.connections, answered) {
            self.deny(conn, holder, now);
        }
    }

    /// What `conn` claims to be is at `holder`, which has answered.
    fn deny(&mut self, conn: ConnId, holder: ConnId, now: Instant) {
        let Some((at, _)) = self.take_claim(conn, now) else {
            return;
        };
        let Some(holder) = self.connections.get(&holder).map(|kept| kept.address) else {
            return;
        };
        let refusal = match holder == at {
            true => Refusal::AlreadyRunning { holder },
            false => Refusal::Copy { holder },
        };
        self.refuse(conn, refusal);
    }

    /// The holder of what `conn` claims has not answered: the peer is here again, on the
    /// claimant's connection.
    pub(super) fn throw_out_holder(&mut self, conn: ConnId, now: Instant) {
        let Some((_, claim)) = self.take_claim(conn, now) else {
            return;
        };
        let holder = claim.probe.holder;
        if let Some(peer) = self.connections.get(&holder).map(|c| c.peer) {
            self.close(holder, Dropped::Unresponsive);
            self.handle_lost_member(peer, holder, now);
        }
        self.consider(conn, claim.registration, now);
    }

    /// Takes a waiting connection's claim off it, with the address that it comes from.
    fn take_claim(&mut self, conn: ConnId, now: Instant) -> Option<(IpAddr, Claim)> {
        let until = now + REGISTER_TIMEOUT;
        self.wake_by(until);
        let connection = self.connections.get_mut(&conn)?;
        let silent = ConnectionStage::Silent { until };
        match std::mem::replace(&mut connection.stage, silent) {
            ConnectionStage::Waiting(claim) => Some((connection.address, *claim)),
            other => {
                connection.stage = other;
                None
            }
        }
    }

    /// The connection that stood in the way of some is closed.
    pub(super) fn reconsider_claims_against(&mut self, holder: ConnId, now: Instant) {
        let moot = |c: &RegisteredConnection| c.probe().is_some_and(|probe| probe.holder == holder);
        for conn in keys_where(&self.connections, moot) {
            if let Some((_, claim)) = self.take_claim(conn, now) {
                self.consider(conn, claim.registration, now);
            }
        }
    }
}
