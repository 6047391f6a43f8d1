//! What no peer that is here has, but an owner that is away lists: then the answer names it.

use std::time::Instant;

use super::{best::Best, Look, PlanStage, Spot, TrackWalk};
use crate::{
    catalog::{Database, FoundTrackRef},
    command::{song::SongRef, CommandError, Placing},
};

/// Something that was asked for, and was not found.
#[derive(Debug)]
pub(super) struct MissedTracks {
    text: String,
    sought: Sought,
    /// What is answered if no owner has it either.
    nothing: CommandError,
}

#[derive(Debug)]
enum Sought {
    /// What lies at or under a path.
    Path(Option<Spot>),
    /// What a few words mean.
    Words(Box<Best>),
}

impl MissedTracks {
    pub fn path(uri: String, nothing: CommandError) -> Self {
        Self {
            text: uri,
            sought: Sought::Path(None),
            nothing,
        }
    }

    pub fn words(text: &str, nothing: CommandError) -> Self {
        Self {
            text: text.to_owned(),
            sought: Sought::Words(Box::new(Best::new(text, Placing::Instead))),
            nothing,
        }
    }

    /// What has been looked for by words already, among what can be played.
    pub fn like(text: &str) -> Self {
        Self::words(text, CommandError::NothingLike(text.to_owned()))
    }

    /// Begins to look for it.
    pub fn stage(self, database: &Database) -> PlanStage {
        let uri = match self.sought {
            Sought::Path(_) => self.text.as_str(),
            Sought::Words(_) => "",
        };
        let members = database.members().iter();
        let here = members.take_while(|member| member.is_here()).count();
        let walk = TrackWalk::under(database, uri).behind(here);
        PlanStage::Walk(walk, super::Collector::Missed(self))
    }

    pub fn find(spot: Spot, database: &Database) -> Option<FoundTrackRef<'_>> {
        let member = database.members().get(spot.member)?;
        let listed = database.missed(member, spot.no)?;
        let no = spot.no;
        Some(FoundTrackRef { member, no, listed })
    }

    pub fn look(&mut self, song: &SongRef<'_>, spot: Spot) -> Look {
        match &mut self.sought {
            Sought::Words(best) => best.look(song, spot),
            Sought::Path(found) => {
                let uri = song.uri();
                let rest = uri.strip_prefix(self.text.as_str());
                if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                    return Look::Further;
                }
                *found = Some(spot);
                Look::Enough
            }
        }
    }

    pub fn end(self, database: &Database, now: Instant) -> PlanStage {
        let spot = match self.sought {
            Sought::Path(found) => found,
            Sought::Words(best) => best.meant(),
        };
        let owner = spot.and_then(|spot| database.members().get(spot.member));
        let owner = owner.and_then(|owner| Some((owner.name.clone(), owner.away_for(now)?)));
        PlanStage::Fail(match owner {
            Some((owner, away)) => CommandError::OwnerAway {
                what: self.text,
                owner,
                away,
            },
            None => self.nothing,
        })
    }
}
