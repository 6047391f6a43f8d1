//! Numbers about the node itself: how soon and how smoothly it sounds, where the bytes
//! came from, what it sent, and which peers sent wrong bytes.
//!
//! Fed by the events and actions that pass the node anyway; costs no timer and nothing
//! but counting. What must hold:
//! - Whatever happens, and whatever peers come, the memory is bounded: histograms have fixed
//!   buckets, of many peers the busiest have a row, and the rest one together, so that
//!   sums stay true.
//! - Every verified byte is counted once, under the peer that sent it, and so is every
//!   byte that was read and thrown away.
//!
//! Counters begin at 0 with the node and never go down. Not here: what is on disks,
//! which the store knows; what QUIC costs below the bytes that are asked for.

mod histogram;
mod prometheus;
mod sound;
mod traffic;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::{sound::SoundStats, traffic::Traffic};
use super::{plays::Local, PlayAction, UploadAnswer};
use crate::{audio::PlayId, id::PeerId, protocol::PeerRequest};

/// See the module's description.
#[derive(Debug)]
pub struct NodeStats {
    begun: Instant,
    pub sound: SoundStats,
    pub traffic: Traffic,
    /// Slices that others have asked for.
    requests: u64,
    /// Questions of others, of whatever kind, that were answered with no.
    declined: u64,
    /// How often the tracker was lost that this node was registered with.
    tracker_losses: u64,
}

impl NodeStats {
    pub fn new(now: Instant) -> Self {
        Self {
            begun: now,
            sound: SoundStats::default(),
            traffic: Traffic::default(),
            requests: 0,
            declined: 0,
            tracker_losses: 0,
        }
    }

    pub fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    /// The counters as Prometheus reads them.
    pub fn exposition(&self, now: Instant) -> String {
        prometheus::exposition(self, now)
    }

    /// Every number, in the order to show them.
    pub fn pairs(&self, now: Instant) -> Vec<(String, String)> {
        let pairs = wire::pairs(self, now).into_iter();
        pairs
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Something is to be done for the plays: of one that the player is given, `local` is
    /// what is on this machine.
    pub fn handle_play(
        &mut self,
        action: &PlayAction,
        name_of: impl Fn(PeerId) -> Arc<str>,
        local: impl Fn(PlayId) -> Option<Local>,
    ) {
        match action {
            PlayAction::Fetch {
                fetch,
                source,
                size,
                ..
            } => {
                let name = name_of(*source);
                self.traffic.handle_fetch(*fetch, *source, name, *size);
            }
            PlayAction::Cancel(fetch) => self.traffic.handle_cancel(*fetch),
            PlayAction::Load(load) => {
                if let Some(local) = local(load.play) {
                    self.sound.handle_load(load.play, local);
                }
            }
            _ => {}
        }
    }

    /// Another peer asks.
    pub fn handle_asked(&mut self, request: &PeerRequest) {
        if matches!(request, PeerRequest::Get(_)) {
            self.requests += 1;
        }
    }

    /// Another peer is answered.
    pub fn handle_answer(&mut self, answer: &UploadAnswer) {
        if matches!(answer, UploadAnswer::No(_) | UploadAnswer::GiveUp) {
            self.declined += 1;
        }
    }

    /// The tracker that this node was registered with is lost.
    pub fn handle_tracker_lost(&mut self) {
        self.tracker_losses += 1;
    }
}
