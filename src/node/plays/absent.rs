//! Plays that wait for a peer that is not here, or says nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{content_of, Play, PlayAction, PlayStage, PlayStep, Plays};
use crate::{
    audio::PlayId, catalog::Database, command::view::Missed, id::PeerId, playback::queue::QueueItem,
};

/// The peer that a play waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    pub name: Arc<str>,
    pub missed: Missed,
    pub since: Instant,
}

/// A play that nobody here can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    missed: Missed,
    /// When it is tried again without news; an absent peer is news when it comes.
    retry_at: Option<Instant>,
}

impl Absent {
    pub fn new(missed: Missed, now: Instant) -> Self {
        let retry_at = (missed == Missed::Silent).then(|| now + RETRY);
        Self { missed, retry_at }
    }

    /// When it is to be tried again without news.
    pub fn retry_at(self) -> Option<Instant> {
        self.retry_at
    }
}

impl Plays {
    /// The peer that `play` waits for, once that is no hiccup.
    pub fn waits(&self, play: PlayId, now: Instant) -> Option<Waits> {
        let play = self.plays.get(play)?;
        let owner = &play.request.item.info.owner;
        let missed = match play.stage {
            PlayStage::Absent(absent) => Some(absent.missed),
            PlayStage::Resolving { .. } => Some(Missed::Silent),
            PlayStage::Opening(_) | PlayStage::Loaded(_) => None,
        };
        if let Some((missed, since)) = missed.zip(play.missed_since) {
            let name = owner.clone();
            return Some(Waits {
                name,
                missed,
                since,
            });
        }
        let track = play.stage.loaded()?;
        let stream = self.streams.get(track)?;
        let silence = stream.silence(now)?;
        let missed = match silence.is_gone {
            true => Missed::Absent,
            false => Missed::Silent,
        };
        Some(Waits {
            name: silence
                .of
                .map_or_else(|| owner.clone(), |of| stream.name(of)),
            missed,
            since: silence.since,
        })
    }

    /// Since when `play` has had nothing to go on with, however short that is.
    pub fn dry_since(&self, play: PlayId) -> Option<Instant> {
        let play = self.plays.get(play)?;
        match play.stage {
            PlayStage::Absent(_) | PlayStage::Resolving { .. } => play.missed_since,
            stage => {
                let stream = self.streams.get(stage.loaded()?)?;
                let dry = stream.scheduler.dry_since();
                dry.filter(|_| stream.is_waiting())
            }
        }
    }

    /// `play` does not wait any longer, for this reason.
    pub fn give_up(&mut self, play: PlayId, why: String) {
        let Some(waiting) = self.plays.get(play) else {
            return;
        };
        match waiting.stage.loaded() {
            Some(track) => {
                self.streams.give_up(track);
                self.steps
                    .push_back(PlayAction::GiveUp { track, why }.into());
            }
            None => {
                self.plays.remove(play);
                self.steps.push_back(PlayStep::Failed(play, why));
            }
        }
    }

    /// Somebody has heard of `peer`: what waits for it is tried again.
    pub fn handle_seen(&mut self, peer: PeerId, database: &Database, now: Instant) {
        self.streams.handle_seen(peer);
        self.try_absent(database, now);
    }

    /// Other keys are believed now: what has failed may have done so for those of before.
    pub fn handle_keys(&mut self, database: &Database, now: Instant) {
        self.streams.handle_keys();
        self.try_absent(database, now);
    }

    fn try_absent(&mut self, database: &Database, now: Instant) {
        for play in self.plays.values_mut() {
            if let PlayStage::Absent(absent) = &mut play.stage {
                absent.retry_at = absent.retry_at.map(|at| at.min(now));
            }
        }
        self.seek_absent(database, now);
    }

    /// Time may have come to try again what nobody answered.
    pub fn handle_timeout(&mut self, database: &Database, now: Instant) {
        let is_due = |play: &Play| play.retry_at().is_some_and(|at| at <= now);
        if self.plays.values().any(is_due) {
            self.seek_absent(database, now);
        }
    }

    /// Whether `item` could be played now: it is here, or a peer that has it is, and answers.
    pub fn can_play(
        &self,
        item: &QueueItem,
        database: &Database,
        is_up: impl Fn(PeerId) -> bool,
    ) -> bool {
        let found = database.find_at(item.peer, &item.path);
        let track = content_of(item, found, database);
        let holders = track.into_iter().flat_map(|track| database.holders(track));
        let holders = holders.map(|(member, _, _)| member.peer);
        let owner = found.map(|found| found.member.peer);
        holders
            .chain(owner)
            .any(|peer| peer == self.me || (is_up(peer) && !self.streams.is_failing(peer)))
    }

    /// Begins what waited for a peer that is here now.
    pub(super) fn seek_absent(&mut self, database: &Database, now: Instant) {
        let absent = self.plays.values().filter_map(|play| match play.stage {
            PlayStage::Absent(absent) => Some((play.request.clone(), play.missed_since, absent)),
            _ => None,
        });
        let absent: Vec<_> = absent.collect();
        for (request, since, absent) in absent {
            let found = database.find_at(request.item.peer, &request.item.path);
            let must_ask = found.is_some_and(|found| found.listed.track.is_none());
            if must_ask && absent.retry_at.is_some_and(|at| at > now) {
                continue;
            }
            let begun = match self.begin(request.clone(), database, now) {
                Ok(begun) => Play {
                    missed_since: since,
                    ..begun
                },
                Err(_) => {
                    let missed = match database.member(request.item.peer) {
                        Some(_) => Missed::Lacks,
                        None => Missed::Absent,
                    };
                    let absent = Absent::new(missed, now);
                    Play::absent(request, absent, since.unwrap_or(now))
                }
            };
            self.insert(begun, now);
        }
    }
}

/// As long as a source rests that does not answer.
const RETRY: Duration = Duration::from_secs(5);
