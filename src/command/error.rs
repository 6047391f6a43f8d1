//! Why a command was refused.

use std::{sync::Arc, time::Duration};

use crate::{
    playback::queue::{QueueError, MAX_QUEUE},
    util::text::about,
};

/// A refusal; its text says to a person what happened and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("No current song")]
    NoCurrent,
    #[error("Not playing")]
    NotPlaying,
    #[error("these are more tracks than the queue takes ({MAX_QUEUE}): say which of them")]
    TooManyFound,
    #[error(
        "the names and tags of these tracks are uncommonly long, and the queue does not take so \
         many of them: say which of them"
    )]
    TooMuchFound,
    #[error("Conflicting group: a tag may be named once")]
    RepeatedTag,
    #[error("nobody who is here has {0:?}")]
    NobodyHas(String),
    #[error("nobody who is here has anything like {0:?}")]
    NothingLike(String),
    /// Only an owner that is away has it; `what` is what was asked for.
    #[error("{}", away_in_words(what, owner, *away))]
    OwnerAway {
        what: String,
        owner: Arc<str>,
        away: Duration,
    },
    #[error("{name:?} is not here: this node updates its own library, {own:?}")]
    NotOwn { name: String, own: Arc<str> },
    #[error("this node has not left the swarm")]
    NotLeft,
    #[error("this node is a tracker only: it has no player; run `p2pmusic ctl play` on a peer")]
    NoPlayer,
    #[error("this node is a tracker only: it shares no music")]
    NoLibrary,
    #[error(
        "this node is a tracker only: it is in no swarm that it could leave; run `p2pmusic ctl \
         leave` and `join` on a peer"
    )]
    NoMember,
    #[error("this node is being stopped")]
    Stopping,
}

fn away_in_words(what: &str, owner: &str, away: Duration) -> String {
    let away = about(away);
    match what == owner {
        true => format!(
            "{owner} has been away for {away}, and nobody who is here has copies of its tracks"
        ),
        false => format!(
            "{what:?} is on {owner}, which has been away for {away}; nobody who is here has a copy"
        ),
    }
}
