//! What is under way to this peer: the look-up of what is to be played, open tracks, and fetches.
//! Whether a peer can be asked, the node knows.

use super::effect::{DownloadEffect, Effect, PlayerEffect};
use crate::{
    audio::{PlayId, PlayerEvent},
    catalog::Want,
    content::ranges::GroupSet,
    id::{EntryNo, PeerId, TrackId},
    node::{Event, FetchEvent, FetchId, Greeted, PlaySource, PlayerTrack, Unresolved},
    protocol::Greeting,
    swarm::{order::FetchOrder, scheduler::RequestOutcome},
    util::few::Few,
};

/// What follows from a wish.
#[derive(Debug)]
pub enum Outcome {
    Perform(Effect),
    /// It cannot be performed, and the node hears that at once.
    Tell(Event),
}

impl Outcome {
    fn perform(effect: impl Into<Effect>) -> Self {
        Self::Perform(effect.into())
    }
}

/// A track for which the store has made room.
#[derive(Clone, Debug)]
pub struct OpenedTrack {
    /// What was there already.
    pub have: GroupSet,
    /// What of that the disk has, and why it takes no more, where it does not.
    pub uncached: Option<(GroupSet, String)>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Downloads {
    lookup: Option<Lookup>,
    tracks: Few<TrackId, TrackStage>,
    fetches: Few<FetchId, ()>,
}

/// What is being found out. A successor is not prepared before what plays has been found, so
/// there is one at most: the owner of another need not go on hashing, and its answer cannot be
/// late and win.
#[derive(Debug)]
enum Lookup {
    Resolve(PlayId),
    Locate(PlayerTrack),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrackStage {
    Opening,
    Open,
}

impl Downloads {
    /// `reaches`: whether `peer` can be asked.
    pub fn resolve(
        &mut self,
        play: PlayId,
        peer: PeerId,
        entry: EntryNo,
        reaches: bool,
    ) -> Outcome {
        if !reaches {
            let answer = Err(Unresolved::Silent);
            return Outcome::Tell(Event::Resolved { play, answer });
        }
        self.lookup = Some(Lookup::Resolve(play));
        Outcome::perform(DownloadEffect::Resolve { play, peer, entry })
    }

    /// An owner has answered, or has not. Says whether that is waited for.
    pub fn handle_resolved(&mut self, play: PlayId) -> bool {
        let awaited = |lookup: &mut Lookup| matches!(lookup, Lookup::Resolve(of) if *of == play);
        self.lookup.take_if(awaited).is_some()
    }

    /// What gives the player this play; nothing for a track that is not open any more.
    pub fn load(&mut self, load: PlayerTrack) -> Vec<Effect> {
        match load.source {
            PlaySource::File(entry) => {
                let play = load.play;
                self.lookup = Some(Lookup::Locate(load));
                vec![DownloadEffect::Locate { play, entry }.into()]
            }
            PlaySource::Store(track) if self.is_open(track) => {
                let ended = self.end_lookup().map(Effect::from);
                let load = PlayerEffect::Load(load).into();
                ended.into_iter().chain([load]).collect()
            }
            PlaySource::Store(_) => Vec::new(),
        }
    }

    /// An own file is found, or is not; nothing where another play is wanted by now.
    pub fn handle_located(&mut self, play: PlayId, found: Result<(), String>) -> Option<Outcome> {
        let awaited = |lookup: &mut Lookup| matches!(lookup, Lookup::Locate(l) if l.play == play);
        let Some(Lookup::Locate(load)) = self.lookup.take_if(awaited) else {
            return None;
        };
        Some(match found {
            Ok(()) => Outcome::perform(PlayerEffect::Load(load)),
            Err(why) => Outcome::Tell(Event::Player(PlayerEvent::Failed { play, why })),
        })
    }

    pub fn end_lookup(&mut self) -> Option<DownloadEffect> {
        self.lookup.take().map(|_| DownloadEffect::EndLookup)
    }

    pub fn open(&mut self, track: TrackId, size: u64) -> DownloadEffect {
        self.tracks.insert(track, TrackStage::Opening);
        DownloadEffect::Open { track, size }
    }

    /// The store has made room, or could not. Says whether that is waited for.
    pub fn handle_opened(&mut self, track: TrackId, is_there: bool) -> bool {
        let Some(stage) = self.tracks.get_mut(track) else {
            return false;
        };
        let awaited = *stage == TrackStage::Opening;
        match is_there {
            true => *stage = TrackStage::Open,
            false if awaited => _ = self.tracks.remove(track),
            false => {}
        }
        awaited
    }

    pub fn is_open(&self, track: TrackId) -> bool {
        self.tracks.get(track) == Some(&TrackStage::Open)
    }

    /// Says whether there was anything to close.
    pub fn close(&mut self, track: TrackId) -> bool {
        self.tracks.remove(track).is_some()
    }

    /// `reaches`: whether `source` can be asked.
    pub fn fetch(
        &mut self,
        fetch: FetchId,
        source: PeerId,
        order: FetchOrder,
        reaches: bool,
    ) -> Outcome {
        if !reaches || !self.is_open(fetch.track) {
            let gone = "it is not in the swarm any more".to_owned();
            let lost = FetchEvent::Done(RequestOutcome::ConnectionLost(gone));
            return Outcome::Tell(Event::Fetch(fetch, lost));
        }
        self.fetches.insert(fetch, ());
        Outcome::perform(DownloadEffect::Fetch {
            fetch,
            source,
            order,
        })
    }

    /// A fetch goes on, or is over.
    pub fn handle_fetch(&mut self, fetch: FetchId, event: &FetchEvent) {
        if matches!(event, FetchEvent::Done(_) | FetchEvent::NotKept(_)) {
            self.fetches.remove(fetch);
        }
    }

    pub fn end_fetch(&mut self, fetch: FetchId) -> Option<DownloadEffect> {
        let under_way = self.fetches.remove(fetch);
        under_way.map(|()| DownloadEffect::EndFetch(fetch))
    }

    /// Gives all fetches up.
    pub fn end_fetches(&mut self) -> Vec<DownloadEffect> {
        let fetches = std::mem::take(&mut self.fetches);
        fetches.keys().map(DownloadEffect::EndFetch).collect()
    }
}

/// Greets `peer`, if that can be asked.
pub fn greet(peer: PeerId, greeting: Box<Greeting>, reaches: bool) -> Outcome {
    match reaches {
        true => Outcome::perform(DownloadEffect::Greet(peer, greeting)),
        false => {
            let why = "no address of it is known".to_owned();
            Outcome::Tell(Event::Greeted(peer, Greeted::Silent(why)))
        }
    }
}

/// Asks `owner` for a piece of its catalogue, if that can be asked.
pub fn ask_owner(owner: PeerId, what: Want, reaches: bool) -> Outcome {
    match reaches {
        true => Outcome::perform(DownloadEffect::AskOwner(owner, what)),
        false => {
            let why = "it is not here any more".to_owned();
            Outcome::Tell(Event::Piece(owner, Err(why)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        media::{Container, MediaInfo},
        protocol::Class,
        swarm::scheduler::RequestId,
    };

    const OWNER: PeerId = PeerId([1; 32]);
    const TRACK: TrackId = TrackId([2; 32]);
    const FIRST: PlayId = PlayId(1);
    const SECOND: PlayId = PlayId(2);

    fn play(play: PlayId, source: PlaySource) -> PlayerTrack {
        PlayerTrack {
            play,
            from: Duration::ZERO,
            held: false,
            gentle: false,
            next: false,
            source,
            media: MediaInfo::cd(Container::Flac),
        }
    }

    fn is_performed(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Perform(_))
    }

    #[test]
    fn the_answer_to_a_look_up_that_was_replaced_or_ended_is_not_taken() {
        let mut downloads = Downloads::default();
        let mut resolve = |play| is_performed(&downloads.resolve(play, OWNER, EntryNo(0), true));
        assert!(resolve(FIRST) && resolve(SECOND));
        assert!(!downloads.handle_resolved(FIRST));
        assert!(downloads.handle_resolved(SECOND));
        assert!(!downloads.handle_resolved(SECOND));
        downloads.load(play(FIRST, PlaySource::File(EntryNo(0))));
        assert!(downloads.end_lookup().is_some());
        assert!(downloads.handle_located(FIRST, Ok(())).is_none());
        assert!(downloads.end_lookup().is_none());
    }

    #[test]
    fn an_own_file_that_is_found_is_loaded_and_one_that_is_not_fails() {
        for (found, is_loaded) in [(Ok(()), true), (Err("gone".to_owned()), false)] {
            let mut downloads = Downloads::default();
            downloads.load(play(FIRST, PlaySource::File(EntryNo(0))));
            let outcome = downloads.handle_located(FIRST, found);
            assert_eq!(outcome.map(|o| is_performed(&o)), Some(is_loaded));
        }
    }

    #[test]
    fn a_track_is_loaded_while_it_is_open_and_the_look_up_ends_with_that() {
        let mut downloads = Downloads::default();
        let load = || play(FIRST, PlaySource::Store(TRACK));
        assert!(downloads.load(load()).is_empty());
        downloads.open(TRACK, 1);
        assert!(downloads.load(load()).is_empty());
        assert!(downloads.handle_opened(TRACK, true));
        downloads.resolve(SECOND, OWNER, EntryNo(0), true);
        assert_eq!(downloads.load(load()).len(), 2);
        assert!(downloads.close(TRACK));
        assert!(downloads.load(load()).is_empty());
    }

    #[test]
    fn room_for_a_track_that_was_closed_meanwhile_is_not_wanted() {
        let mut downloads = Downloads::default();
        downloads.open(TRACK, 1);
        assert!(downloads.close(TRACK));
        assert!(!downloads.handle_opened(TRACK, true));
        assert!(!downloads.is_open(TRACK));
        // It is opened again before the first answer comes, which is the answer then.
        downloads.open(TRACK, 1);
        assert!(downloads.handle_opened(TRACK, true));
        assert!(!downloads.handle_opened(TRACK, true));
        assert!(!downloads.handle_opened(TRACK, false));
        assert!(downloads.is_open(TRACK));
    }

    #[test]
    fn what_cannot_be_asked_is_told_at_once() {
        let mut downloads = Downloads::default();
        let fetch = FetchId {
            track: TRACK,
            stream: 0,
            request: RequestId(0),
        };
        let order = || FetchOrder {
            track: TRACK,
            size: 1,
            groups: GroupSet::all(1),
            class: Class::Now,
            renew: false,
        };
        downloads.open(TRACK, 1);
        downloads.handle_opened(TRACK, true);
        let mut fetch_now = |reaches| {
            let outcome = downloads.fetch(fetch, OWNER, order(), reaches);
            is_performed(&outcome)
        };
        assert!(!fetch_now(false));
        assert!(fetch_now(true));
        for reaches in [false, true] {
            let resolve = downloads.resolve(FIRST, OWNER, EntryNo(0), reaches);
            assert_eq!(is_performed(&resolve), reaches);
            let asked = ask_owner(OWNER, Want::List, reaches);
            assert_eq!(is_performed(&asked), reaches);
        }
        assert!(downloads.end_fetch(fetch).is_some());
        assert!(downloads.end_fetch(fetch).is_none());
        downloads.close(TRACK);
        let outcome = downloads.fetch(fetch, OWNER, order(), true);
        assert!(!is_performed(&outcome));
    }
}
