//! What of the plays' bytes is on this machine, for the numbers.

use super::{Play, PlayStage, Plays};
use crate::{
    content::ranges::GroupSet,
    id::TrackId,
    node::stats::{ByteOrigin, Local},
    player::PlayId,
};

impl Plays {
    /// What is here of a track that is fetched.
    pub fn have(&self, track: TrackId) -> Option<&GroupSet> {
        Some(self.streams.get(track)?.scheduler.have())
    }

    /// What was asked for, of which `track` turned out to be the content.
    pub fn file(&self, track: TrackId) -> Option<String> {
        let is_of_track = |play: &&Play| matches!(play.stage, PlayStage::Opening(t) | PlayStage::Loaded(Some(t)) if t == track);
        let item = &self.plays.values().find(is_of_track)?.request.item;
        Some(format!("{}/{}", item.info.owner, item.path))
    }

    /// What of the content of `play` is on this machine; nothing as long as that is
    /// being found out.
    pub fn local(&self, play: PlayId) -> Option<Local> {
        let play = self.plays.get(&play)?;
        let PlayStage::Loaded(track) = play.stage else {
            return None;
        };
        let Some(track) = track else {
            let (origin, bytes) = (ByteOrigin::OwnDisk, play.shape.size);
            return Some(Local { origin, bytes });
        };
        let stream = self.streams.get(track)?;
        let bytes = stream.scheduler.have().bytes(stream.size);
        let origin = match bytes < stream.size {
            true => ByteOrigin::Swarm,
            false => ByteOrigin::Cache,
        };
        Some(Local { origin, bytes })
    }
}
