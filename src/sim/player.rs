//! A player that counts bytes instead of playing them.
//!
//! The deck that decides is the real one's; the decoder, the ring and the card that do what it
//! says are models: the decoder reads what a real one reads before the first sound, then keeps a
//! short ring ahead of what is heard, and tells where it reads.

pub mod card;
mod decoder;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use self::{
    card::CardModel,
    decoder::{DecoderModel, ModelTrack},
};
use super::music::Song;
use crate::{
    audio::{
        deck::{Deck, DeckAction, DeckTrack},
        PlayId, PlayerEvent,
    },
    id::{EntryNo, TrackId},
    node::{PlaySource, PlayerTrack},
};

/// Whether the byte at an offset can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Byte {
    Here,
    Late,
    Never(String),
}

/// What a player reads from.
pub trait Bytes {
    fn look(&self, track: TrackId, offset: u64) -> Byte;
}

/// What the player tells.
#[derive(Debug)]
pub enum Told {
    Event(PlayerEvent),
    Demand {
        track: TrackId,
        offset: u64,
    },
    /// A track is over, heard up to this byte.
    Heard {
        track: TrackId,
        offset: u64,
    },
}

/// See the module's description.
#[derive(Debug)]
pub struct Player {
    deck: Deck<ModelTrack>,
    decoder: DecoderModel,
    /// The open one.
    card: Option<CardModel>,
    at: Instant,
    /// Up to which byte a play was decoded that has not been heard to its end.
    decoded: BTreeMap<PlayId, (TrackId, u64)>,
    told: Vec<Told>,
}

impl Player {
    pub fn new(now: Instant) -> Self {
        Self {
            deck: Deck::new(true, now),
            decoder: DecoderModel::default(),
            card: None,
            at: now,
            decoded: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    pub fn load(&mut self, load: PlayerTrack, song: Song, now: Instant) {
        self.at = now;
        let is_next = load.next;
        let track = DeckTrack {
            play: load.play,
            from: load.from,
            media: load.media,
            held: load.held,
            gentle: load.gentle,
            source: ModelTrack::new(load, song),
        };
        match is_next {
            true => self.order(|deck, now| deck.handle_next(Some(track), now)),
            false => {
                self.decoded.clear();
                self.order(|deck, now| deck.handle_load(track, now));
            }
        }
    }

    pub fn clear_next(&mut self) {
        self.order(|deck, now| deck.handle_next(None, now));
    }

    pub fn stop(&mut self) {
        self.decoded.clear();
        self.order(Deck::handle_stop);
    }

    pub fn pause(&mut self, paused: bool, now: Instant) {
        self.at = now;
        self.order(|deck, now| deck.handle_pause(paused, now));
    }

    /// Holds the sound of `play` back, if it has run dry, or lets it go on.
    pub fn hold(&mut self, play: PlayId, held: bool) {
        self.order(|deck, now| deck.handle_hold(play, held, now));
    }

    pub fn seek(&mut self, play: PlayId, to: Duration, now: Instant) {
        self.at = now;
        self.order(|deck, now| deck.handle_seek(play, to, now));
    }

    /// What is heard, where it is.
    pub fn position(&self) -> Option<(PlayId, Duration)> {
        self.deck.position()
    }

    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// Lets time pass up to `now`.
    pub fn advance(&mut self, bytes: &impl Bytes, now: Instant) {
        self.at = now;
        if let Some(card) = &mut self.card {
            card.pass(now);
        }
        let mut is_busy = true;
        while std::mem::take(&mut is_busy) {
            let card = self.card.as_mut();
            let report = self.decoder.run(bytes, card, &mut self.told);
            if let Some(report) = report {
                if let Some((play, end)) = self.decoder.take_ended() {
                    self.decoded.insert(play, end);
                }
                self.order(|deck, now| deck.handle_report(report, now));
                is_busy = true;
            }
            let is_due = self.deck.poll_timeout().is_some_and(|due| due <= now);
            is_busy |= is_due;
            is_busy |= match is_due {
                true => self.tell(Deck::handle_timeout),
                false => self.look(),
            };
        }
    }

    /// When to look again without anything else happening.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sound = self
            .card
            .as_ref()
            .and_then(|card| card.poll_timeout(self.at));
        sound.into_iter().chain(self.deck.poll_timeout()).min()
    }

    fn order(&mut self, tell: impl FnOnce(&mut Deck<ModelTrack>, Instant)) {
        self.look();
        self.tell(tell);
    }

    /// Shows the deck what the card does. Whether something came of it.
    fn look(&mut self) -> bool {
        let Some(card) = &mut self.card else {
            return false;
        };
        card.settle(self.at);
        let ring = card.look();
        self.tell(|deck, now| deck.handle_ring(ring, now))
    }

    /// Tells the deck something, and does what comes of it. Whether something did.
    fn tell(&mut self, tell: impl FnOnce(&mut Deck<ModelTrack>, Instant)) -> bool {
        tell(&mut self.deck, self.at);
        let mut has_done = false;
        while let Some(action) = self.deck.poll() {
            self.perform(action);
            has_done = true;
        }
        has_done
    }

    fn perform(&mut self, action: DeckAction<ModelTrack>) {
        let now = self.at;
        match action {
            DeckAction::Decode {
                job,
                source,
                from,
                replaces,
            } => self.decoder.submit(job, source, from, replaces),
            DeckAction::Cancel(job) => self.decoder.cancel(job),
            DeckAction::Permit { job, prime } => self.decoder.permit(job, prime),
            DeckAction::Plan(shape) => self.deck.handle_plan(Ok(CardModel::plan(shape)), now),
            DeckAction::Open { shape, paused } => {
                let (card, facts) = CardModel::open(shape, paused);
                self.card = Some(card);
                self.deck.handle_open(Ok(facts), now);
            }
            DeckAction::Start => {
                if let Some(card) = &mut self.card {
                    card.start(now);
                }
            }
            DeckAction::Close { .. } => self.card = None,
            DeckAction::Find => self.deck.handle_found(Ok(()), now),
            DeckAction::Ring(order) => {
                if let Some(card) = &mut self.card {
                    card.obey(order, now);
                }
            }
            DeckAction::Tell(event) => self.hear(event),
        }
    }

    fn hear(&mut self, event: PlayerEvent) {
        let over = match &event {
            PlayerEvent::Crossed { from: play, .. }
            | PlayerEvent::Ended { play }
            | PlayerEvent::Failed { play, .. } => self.decoded.remove(play),
            _ => None,
        };
        let heard = over.map(|(track, offset)| Told::Heard { track, offset });
        self.told.extend(heard);
        self.told.push(Told::Event(event));
    }
}

/// The source of a load, by which its song is found.
pub fn entry_of(source: &PlaySource) -> Result<EntryNo, TrackId> {
    match source {
        PlaySource::File(entry) => Ok(*entry),
        PlaySource::Store(track) => Err(*track),
    }
}
