//! Commands that change something; each says what it has done.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    client::CtlClient,
    screen::count,
    show::{self, clock, title, Scene},
    words::{Positions, SeekTarget, VolumeTarget},
    CtlError, Switch, NO_EXIST,
};
use crate::{
    command::{
        filter::{Filter, FilterField, FilterNode},
        view::{NodeView, TrackerStanding},
        Answer, Command, DatabaseCommand, NodeCommand, Placing, Playback, QueueCommand, QueueEdit,
        QueuePlace, Row, Selection,
    },
    player::{
        queue::{Options, Single},
        transport::SeekTo,
    },
};

/// Has the player do something, and says what it does then.
pub(super) fn then_state(client: &mut CtlClient, command: Playback) -> Result<String, CtlError> {
    client.play(command)?;
    Ok(Scene::ask(client)?.state_line())
}

/// Plays something, or says why it was not found; also when it cannot be heard.
pub(super) fn play(
    client: &mut CtlClient,
    words: &[String],
    placing: Placing,
) -> Result<String, CtlError> {
    match client.play_best(&words.join(" "), placing) {
        Ok(answer) => {
            let problems = client.state()?.node.problems;
            let silent = problems.iter().find(|text| text.starts_with("no sound"));
            let silent = silent.map(|text| format!("but nothing is heard: {text}\n"));
            let played = match answer {
                Answer::Chosen(chosen) => show::played(&chosen),
                _ => "nothing is played\n".into(),
            };
            Ok(played + &silent.unwrap_or_default())
        }
        Err(CtlError::Refused {
            code: NO_EXIST,
            text,
        }) => {
            let why = why_nothing(&client.state()?.node);
            let (code, text) = (NO_EXIST, text + &why);
            Err(CtlError::Refused { code, text })
        }
        Err(error) => Err(error),
    }
}

/// Why there is nothing with these words: an owner is away, or that.
pub(super) fn missed(client: &mut CtlClient, words: &[String]) -> Result<String, CtlError> {
    match client.rows(DatabaseCommand::Missed(words.join(" "))) {
        Ok(_) => Ok(String::new()),
        Err(CtlError::Refused {
            code: NO_EXIST,
            text,
        }) => Ok(text + &why_nothing(&client.state()?.node)),
        Err(error) => Err(error),
    }
}

/// Why there may be less music than there should be.
fn why_nothing(node: &NodeView) -> String {
    let tracker = &node.tracker;
    let has_tracker = matches!(
        node.standing,
        TrackerStanding::Registered | TrackerStanding::Unwanted
    );
    match node.peers.saturating_sub(1) {
        _ if node.standing == TrackerStanding::Left => {
            "; this node has left the swarm: `p2pmusic ctl join` brings it back".into()
        }
        0 if has_tracker => "; no other speaker is here".into(),
        0 => format!("; no other speaker is here, and the tracker: {tracker}"),
        others if !has_tracker => {
            let others = count(others, "other speaker");
            format!("; without a tracker only {others} found: {tracker}")
        }
        _ => String::new(),
    }
}

/// Tracks of which some tag or the path has each of the words, as a search finds them.
pub(super) fn with_words(words: &[String]) -> Selection {
    let has = |word: &String| FilterNode::has(FilterField::Any, word);
    Selection {
        filter: Filter {
            root: FilterNode::And(words.iter().map(has).collect()),
            folded: true,
        },
        sort: None,
        window: None,
    }
}

pub(super) fn seek(client: &mut CtlClient, to: &SeekTarget) -> Result<String, CtlError> {
    let (elapsed, duration) = times(client)?;
    let (to, place) = match *to {
        SeekTarget::At(to) => (SeekTo::At(to), to),
        SeekTarget::Forward(by) => (SeekTo::Forward(by), elapsed.saturating_add(by)),
        SeekTarget::Back(by) => (SeekTo::Back(by), Duration::ZERO),
        SeekTarget::Part(part) => (SeekTo::At(duration.mul_f64(part)), Duration::ZERO),
    };
    if place > duration && !duration.is_zero() {
        return Err(CtlError::Beyond {
            elapsed: clock(elapsed),
            duration: clock(duration),
        });
    }
    client.play(Playback::SeekCurrent(to))?;
    let (elapsed, duration) = times(client)?;
    Ok(format!("at {} / {}\n", clock(elapsed), clock(duration)))
}

/// Where the current track is, and how long it is.
fn times(client: &mut CtlClient) -> Result<(Duration, Duration), CtlError> {
    let player = client.state()?.player;
    let duration = player.current.map(|current| current.song.duration);
    Ok((
        player.elapsed.ok_or(CtlError::Silent)?,
        duration.unwrap_or_default(),
    ))
}

pub(super) fn set_volume(
    client: &mut CtlClient,
    volume: Option<VolumeTarget>,
) -> Result<String, CtlError> {
    match volume {
        None => {}
        Some(VolumeTarget::To(volume)) => client.play(Playback::SetVolume(volume))?,
        Some(VolumeTarget::By(change)) => client.play(Playback::ChangeVolume(change))?,
    }
    let state = client.state()?;
    match state.node.role.is_peer() {
        true => Ok(format!("volume {} %\n", state.player.volume)),
        // What a node without a player says of it.
        false => client
            .play(Playback::ChangeVolume(0))
            .map(|()| String::new()),
    }
}

pub(super) fn add(client: &mut CtlClient, words: &[String]) -> Result<String, CtlError> {
    let before = queue_length(client)?;
    let (uri, at) = (words.join(" "), None);
    match client.ask(Command::Database(DatabaseCommand::Add { uri, at })) {
        Err(CtlError::Refused { code: NO_EXIST, .. }) => {
            let selection = with_words(words);
            client.ask(Command::Database(DatabaseCommand::FindAdd {
                selection,
                at: None,
            }))?;
        }
        other => _ = other?,
    }
    match queue_length(client)?.saturating_sub(before) {
        0 => Err(CtlError::Refused {
            code: NO_EXIST,
            text: missed(client, words)?,
        }),
        added => Ok(format!("added {}\n", count(added, "track"))),
    }
}

pub(super) fn clear(client: &mut CtlClient) -> Result<String, CtlError> {
    let before = queue_length(client)?;
    client.edit(QueueEdit::Clear)?;
    Ok(format!("cleared the queue of {}\n", count(before, "track")))
}

pub(super) fn shuffle(client: &mut CtlClient) -> Result<String, CtlError> {
    client.edit(QueueEdit::Shuffle(None))?;
    let length = queue_length(client)?;
    Ok(format!("shuffled {}\n", count(length, "track")))
}

pub(super) fn remove(client: &mut CtlClient, places: &Positions) -> Result<String, CtlError> {
    let before = within(client, *places.0.end())?;
    let range = places.to_range();
    let gone = range.len();
    client.edit(QueueEdit::Delete(range))?;
    let left = before - gone;
    Ok(format!(
        "removed {}; {left} left in the queue\n",
        count(gone, "track")
    ))
}

pub(super) fn shift(client: &mut CtlClient, from: u32, to: u32) -> Result<String, CtlError> {
    within(client, from.max(to))?;
    let (from_position, to_position) = (from as usize - 1, to as usize - 1);
    let range = from_position..from_position + 1;
    client.edit(QueueEdit::Move(range, QueuePlace::At(to_position)))?;
    let there = QueueCommand::List(Some(to_position..to_position + 1));
    let rows = client.run(&Command::Queue(there))?;
    let moved = rows.first().map(|row| match row {
        Row::Queued(queued) => title(&queued.song),
        _ => from.to_string(),
    });
    Ok(format!("moved {} to {to}\n", moved.unwrap_or_default()))
}

/// Whether there is such a place in the queue; gives how many there are.
fn within(client: &mut CtlClient, place: u32) -> Result<usize, CtlError> {
    let length = queue_length(client)?;
    match place as usize <= length {
        true => Ok(length),
        false => Err(CtlError::NoPlace {
            place,
            length: count(length, "track"),
        }),
    }
}

/// An option of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueOption {
    Random,
    Repeat,
    Single,
    Consume,
}

impl QueueOption {
    fn is_on(self, options: &Options) -> bool {
        match self {
            Self::Random => options.random,
            Self::Repeat => options.repeat,
            Self::Single => options.single != Single::Off,
            Self::Consume => options.consume,
        }
    }

    fn set(self, to: Switch) -> Playback {
        let is_on = to != Switch::Off;
        match self {
            Self::Random => Playback::Random(is_on),
            Self::Repeat => Playback::Repeat(is_on),
            Self::Consume => Playback::Consume(is_on),
            Self::Single => Playback::Single(match to {
                Switch::Off => Single::Off,
                Switch::On => Single::On,
                Switch::Oneshot => Single::OneShot,
            }),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Repeat => "repeat",
            Self::Single => "single",
            Self::Consume => "consume",
        }
    }
}

/// Sets an option of the queue, or turns it.
pub(super) fn switch(
    client: &mut CtlClient,
    option: QueueOption,
    to: Option<Switch>,
) -> Result<String, CtlError> {
    let to = match to {
        Some(to) => to,
        None if option.is_on(&client.state()?.player.options) => Switch::Off,
        None => Switch::On,
    };
    client.play(option.set(to))?;
    let word = match to {
        Switch::Off => "off",
        Switch::On => "on",
        Switch::Oneshot => "on for one track",
    };
    Ok(format!("{} is {word}\n", option.name()))
}

/// Comes back, and waits a little to say which tracker has it.
pub(super) fn join(client: &mut CtlClient) -> Result<String, CtlError> {
    client.ask(Command::Node(NodeCommand::Join))?;
    let deadline = Instant::now() + JOIN_TIME;
    loop {
        let NodeView {
            standing, tracker, ..
        } = client.state()?.node;
        if standing != TrackerStanding::Looking {
            return Ok(format!("joined the swarm again; tracker: {tracker}\n"));
        }
        if Instant::now() >= deadline {
            return Ok(format!(
                "joined the swarm again; tracker: still {tracker}\n"
            ));
        }
        thread::sleep(JOIN_TIME / 30);
    }
}

fn queue_length(client: &mut CtlClient) -> Result<usize, CtlError> {
    Ok(client.state()?.player.length)
}

/// A tracker that is there takes less to answer.
const JOIN_TIME: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    #[test]
    fn nothing_found_is_explained_by_the_peers_here() {
        use TrackerStanding as Is;
        for (standing, tracker, peers, why) in [
            (Is::Registered, "registered with 10.0.0.1", 3, ""),
            (
                Is::Registered,
                "registered with 10.0.0.1",
                1,
                "no other speaker",
            ),
            (Is::Unwanted, "none, as configured", 1, "no other speaker"),
            (
                Is::Left,
                "left, and the tracker knows; …",
                3,
                "p2pmusic ctl join",
            ),
            (
                Is::Lost,
                "lost a:4670: it belongs to a swarm with another key; trying again",
                1,
                "another key",
            ),
            (
                Is::Lost,
                "lost a:4670: refused; trying again",
                2,
                "1 other speaker",
            ),
        ] {
            let said = why_nothing(&NodeView {
                standing,
                tracker: tracker.into(),
                peers,
                ..fixture::view()
            });
            assert!(said.contains(why), "{tracker}: {said}");
            assert_eq!(said.is_empty(), why.is_empty(), "{said}");
        }
    }
}
