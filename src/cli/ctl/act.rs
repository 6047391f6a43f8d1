//! Commands that change something; each says what it has done.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    args::Switch,
    client::CtlClient,
    missed::{why_nothing, with_words},
    options::QueueOption,
    screen::count,
    show::{self, clock, title},
    words::{Positions, SeekTarget, VolumeTarget},
    CtlError, NO_EXIST,
};
use crate::command::{
    view::{NodeView, TrackerStanding},
    Answer, Command, DatabaseCommand, NodeCommand, Placing, Playback, QueueCommand, QueueEdit,
    QueuePlace, Row,
};

/// Has the player do something, and says what it does then.
pub(super) fn then_state(client: &mut CtlClient, command: Playback) -> Result<String, CtlError> {
    client.play(command)?;
    Ok(client.scene()?.state_line())
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

pub(super) fn seek(client: &mut CtlClient, to: &SeekTarget) -> Result<String, CtlError> {
    let (elapsed, duration) = times(client)?;
    let to = to
        .within(elapsed, duration)
        .ok_or_else(|| CtlError::Beyond {
            elapsed: clock(elapsed),
            duration: clock(duration),
        })?;
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
    Ok(option.is_now(to))
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
