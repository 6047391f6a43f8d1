//! A sound on the card, by a node that is there for it alone.

use std::{fs, io, path::Path, time::Duration};

use rodio::Source as _;

use super::{
    node::DemoNode,
    score::Tune,
    tunes::{compose, write_wav},
    DemoError,
};
use crate::{
    command::{Placing, Playback},
    playback::transport::PlayState,
};

/// Plays some seconds on `device`, as a node would play any music.
///
/// # Errors
/// Says why nothing was heard.
pub fn chime(device: &str) -> Result<(), DemoError> {
    let dir = std::env::temp_dir().join(format!("p2pmusic-chime-{}", std::process::id()));
    let played = play(&dir, device);
    let _ = fs::remove_dir_all(&dir);
    played
}

fn play(dir: &Path, device: &str) -> Result<(), DemoError> {
    write(&dir.join("music/chime/chime.wav")).map_err(|source| DemoError::Io {
        what: dir.display().to_string(),
        source,
    })?;
    let node = DemoNode::alone(dir, "chime", device)?;
    node.wait_until("found its own music", |client| Ok(client.find("chime")?))?;
    let mut client = node.client()?;
    client.play(Playback::SetVolume(VOLUME))?;
    client.play_best("chime", Placing::Instead)?;
    let sounded = node.wait_until("played", |client| {
        let state = client.state()?;
        let mut words = state
            .node
            .problems
            .iter()
            .map(String::as_str)
            .chain(state.error());
        if let Some(words) = words.find(|words| words.contains("no sound")) {
            return Err(DemoError::NotShown(words.to_owned()));
        }
        let is_over = state.player.state == PlayState::Stop;
        Ok(is_over.then(|| state.node.first_sound.is_some()))
    })?;
    match sounded {
        true => Ok(()),
        false => Err(DemoError::NotShown("nothing was heard".into())),
    }
}

fn write(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    write_wav(path, compose(Tune::Lullaby, RATE).take_duration(LENGTH))
}

const RATE: u32 = 48_000;
const LENGTH: Duration = Duration::from_secs(3);
/// Heard in a room, no fright.
const VOLUME: u8 = 50;
