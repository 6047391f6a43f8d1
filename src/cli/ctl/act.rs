//! Commands that change something; each says what it has done.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    client::{CtlClient, ReplyRecord},
    screen::count,
    show::{self, clock, title, Scene},
    words::{Positions, SeekTarget, VolumeTarget},
    CtlError, Switch, NO_EXIST,
};

/// Runs a command, and says what the player does then.
pub(super) fn then_state(client: &mut CtlClient, words: &[&str]) -> Result<String, CtlError> {
    client.run(words)?;
    Ok(Scene::ask(client)?.state_line())
}

/// Plays something, or says why it was not found; also when it cannot be heard.
pub(super) fn play(
    client: &mut CtlClient,
    command: &str,
    words: &[String],
) -> Result<String, CtlError> {
    let mut line = vec![command];
    line.extend(words.iter().map(String::as_str));
    match client.run(&line) {
        Ok(reply) => {
            let node = client.run(&["p2p_status"])?;
            let mut problems = node.0.iter().filter(|(key, _)| key == "problem");
            let silent = problems.find(|(_, text)| text.starts_with("no sound"));
            let silent = silent.map(|(_, text)| format!("but nothing is heard: {text}\n"));
            Ok(show::played(&reply) + &silent.unwrap_or_default())
        }
        Err(CtlError::Refused {
            code: NO_EXIST,
            text,
        }) => {
            let why = why_nothing(&client.run(&["p2p_status"])?);
            let (code, text) = (NO_EXIST, text + &why);
            Err(CtlError::Refused { code, text })
        }
        Err(error) => Err(error),
    }
}

/// Why there is nothing with these words: an owner is away, or that.
pub(super) fn missed(client: &mut CtlClient, words: &[String]) -> Result<String, CtlError> {
    let mut line = vec!["p2p_missed"];
    line.extend(words.iter().map(String::as_str));
    match client.run(&line) {
        Ok(_) => Ok(String::new()),
        Err(CtlError::Refused {
            code: NO_EXIST,
            text,
        }) => Ok(text + &why_nothing(&client.run(&["p2p_status"])?)),
        Err(error) => Err(error),
    }
}

/// Why there may be less music than there should be.
fn why_nothing(node: &ReplyRecord) -> String {
    let tracker = node.get("tracker").unwrap_or_default();
    let has_tracker = tracker.starts_with("registered") || tracker.starts_with("none");
    let others = node.number("peers").unwrap_or(1.0) - 1.0;
    match () {
        () if tracker.starts_with("left") => {
            "; this node has left the swarm: `p2pmusic ctl join` brings it back".into()
        }
        () if others < 1.0 && has_tracker => "; no other speaker is here".into(),
        () if others < 1.0 => format!("; no other speaker is here, and the tracker: {tracker}"),
        () if !has_tracker => {
            let others = count(others, "other speaker");
            format!("; without a tracker only {others} found: {tracker}")
        }
        () => String::new(),
    }
}

pub(super) fn seek(client: &mut CtlClient, to: &SeekTarget) -> Result<String, CtlError> {
    let status = client.run(&["status"])?;
    let elapsed = status.number("elapsed").ok_or(CtlError::Silent)?;
    let duration = status.number("duration").unwrap_or(0.0);
    let (to, place) = match to {
        SeekTarget::At(to) => (format!("{:.3}", to.as_secs_f64()), to.as_secs_f64()),
        SeekTarget::Forward(by) => {
            let by = by.as_secs_f64();
            (format!("+{by:.3}"), elapsed + by)
        }
        SeekTarget::Back(by) => (format!("-{:.3}", by.as_secs_f64()), 0.0),
        SeekTarget::Part(part) => (format!("{:.3}", duration * part), 0.0),
    };
    if place > duration && duration > 0.0 {
        return Err(CtlError::Beyond {
            elapsed: clock(elapsed),
            duration: clock(duration),
        });
    }
    client.run(&["seekcur", &to])?;
    let status = client.run(&["status"])?;
    let time = |key| clock(status.number(key).unwrap_or_default());
    Ok(format!("at {} / {}\n", time("elapsed"), time("duration")))
}

pub(super) fn set_volume(
    client: &mut CtlClient,
    volume: Option<VolumeTarget>,
) -> Result<String, CtlError> {
    match volume {
        None => {}
        Some(VolumeTarget::To(volume)) => {
            client.run(&["setvol", &volume.to_string()])?;
        }
        Some(VolumeTarget::By(change)) => {
            client.run(&["volume", &change.to_string()])?;
        }
    }
    let volume = client.value(&["getvol"], "volume")?;
    Ok(format!("volume {} %\n", volume.unwrap_or_default()))
}

pub(super) fn add(client: &mut CtlClient, words: &[String]) -> Result<String, CtlError> {
    let before = queue_length(client)?;
    let uri = words.join(" ");
    match client.run(&["add", &uri]) {
        Err(CtlError::Refused { code: NO_EXIST, .. }) => {
            let mut line = vec!["searchadd"];
            words.iter().for_each(|word| line.extend(["any", word]));
            client.run(&line)?;
        }
        other => _ = other?,
    }
    match queue_length(client)? - before {
        added if added >= 1.0 => Ok(format!("added {}\n", count(added, "track"))),
        _ => Err(CtlError::Refused {
            code: NO_EXIST,
            text: missed(client, words)?,
        }),
    }
}

pub(super) fn clear(client: &mut CtlClient) -> Result<String, CtlError> {
    let before = queue_length(client)?;
    client.run(&["clear"])?;
    Ok(format!("cleared the queue of {}\n", count(before, "track")))
}

pub(super) fn shuffle(client: &mut CtlClient) -> Result<String, CtlError> {
    client.run(&["shuffle"])?;
    Ok(format!(
        "shuffled {}\n",
        count(queue_length(client)?, "track")
    ))
}

pub(super) fn remove(client: &mut CtlClient, places: &Positions) -> Result<String, CtlError> {
    let before = within(client, *places.0.end())?;
    client.run(&["delete", &places.to_range()])?;
    let (gone, left) = (f64::from(places.len()), before - f64::from(places.len()));
    Ok(format!(
        "removed {}; {left} left in the queue\n",
        count(gone, "track")
    ))
}

pub(super) fn shift(client: &mut CtlClient, from: u32, to: u32) -> Result<String, CtlError> {
    within(client, from.max(to))?;
    let at = |place: u32| (place - 1).to_string();
    client.run(&["move", &at(from), &at(to)])?;
    let song = client.run(&["playlistinfo", &at(to)])?;
    Ok(format!("moved {} to {to}\n", title(&song)))
}

/// Whether there is such a place in the queue; gives how many there are.
fn within(client: &mut CtlClient, place: u32) -> Result<f64, CtlError> {
    let length = queue_length(client)?;
    match f64::from(place) <= length {
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
    name: &'static str,
    to: Option<Switch>,
) -> Result<String, CtlError> {
    let is_on = |status: &ReplyRecord| status.get(name).is_some_and(|value| value != "0");
    let to = match to {
        Some(to) => to,
        None if is_on(&client.run(&["status"])?) => Switch::Off,
        None => Switch::On,
    };
    let value = match to {
        Switch::Off => "0",
        Switch::On => "1",
        Switch::Oneshot => "oneshot",
    };
    client.run(&[name, value])?;
    let word = match to {
        Switch::Off => "off",
        Switch::On => "on",
        Switch::Oneshot => "on for one track",
    };
    Ok(format!("{name} is {word}\n"))
}

/// Comes back, and waits a little to say which tracker has it.
pub(super) fn join(client: &mut CtlClient) -> Result<String, CtlError> {
    client.run(&["p2p_join"])?;
    let deadline = Instant::now() + JOIN_TIME;
    loop {
        let tracker = client.value(&["p2p_status"], "tracker")?;
        let tracker = tracker.unwrap_or_default();
        if !tracker.starts_with("looking") && !tracker.starts_with("connecting") {
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

fn queue_length(client: &mut CtlClient) -> Result<f64, CtlError> {
    let status = client.run(&["status"])?;
    Ok(status.number("playlistlength").unwrap_or(0.0))
}

/// A tracker that is there takes less to answer.
const JOIN_TIME: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_found_is_explained_by_the_peers_here() {
        for (tracker, peers, why) in [
            ("registered with 10.0.0.1", "3", ""),
            ("registered with 10.0.0.1", "1", "no other speaker"),
            ("none, as configured", "1", "no other speaker"),
            ("left, and the tracker knows; …", "3", "p2pmusic ctl join"),
            (
                "lost a:4670: it belongs to a swarm with another key; trying again",
                "1",
                "another key",
            ),
            ("lost a:4670: refused; trying again", "2", "1 other speaker"),
        ] {
            let pairs = [("tracker", tracker), ("peers", peers)];
            let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let said = why_nothing(&ReplyRecord(pairs.into()));
            assert!(said.contains(why), "{tracker}: {said}");
            assert_eq!(said.is_empty(), why.is_empty(), "{said}");
        }
    }
}
