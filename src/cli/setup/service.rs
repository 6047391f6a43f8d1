//! The service: started now and at every boot, and what it says of itself then.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    cli::ctl::client::CtlClient,
    command::view::{StateView, TrackerStanding},
};

/// Whether systemd runs this machine.
pub fn is_managed() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// Starts it, anew if it runs; it returns when the service is ready.
///
/// # Errors
/// Says what to look at.
pub fn start() -> Result<(), String> {
    for words in [&["enable", "--quiet", UNIT][..], &["restart", UNIT]] {
        let done = Command::new("systemctl").args(words).status();
        let done = done.map_err(|why| format!("systemctl: {why}"))?;
        if !done.success() {
            return Err(format!(
                "`systemctl {}` failed: `sudo p2pmusic doctor` says why",
                words.join(" ")
            ));
        }
    }
    Ok(())
}

/// What the service is now, in words: as soon as it has a tracker, or after a while.
pub fn words(socket: &Path) -> Vec<(&'static str, String)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = CtlClient::connect(socket).and_then(|mut client| client.state());
        let is_registered = |state: &StateView| state.node.standing == TrackerStanding::Registered;
        match state {
            Ok(state) if is_registered(&state) || Instant::now() > deadline => {
                return described(state);
            }
            Err(why) if Instant::now() > deadline => return vec![("service", why.to_string())],
            _ => thread::sleep(BETWEEN_LOOKS),
        }
    }
}

fn described(state: StateView) -> Vec<(&'static str, String)> {
    let node = state.node;
    let mut words = vec![
        ("service", "runs, and starts at every boot".to_owned()),
        ("name", node.name.to_string()),
        ("tracker", node.tracker),
    ];
    words.extend(
        node.problems
            .into_iter()
            .map(|problem| ("problem", problem)),
    );
    words
}

const UNIT: &str = "p2pmusic";
/// A tracker is found by mDNS within some seconds.
const PATIENCE: Duration = Duration::from_secs(8);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
