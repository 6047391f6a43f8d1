//! The node: itself, asked at its socket, and what the service manager knows of it.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::Path,
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::runner;
use crate::{
    cli::{
        ctl::{client::CtlClient, CtlError},
        doctor::{
            aside,
            facts::{NodeAnswer, Status, Unit},
            parse,
            person::Person,
        },
    },
    command::{view::StateView, Answer, Command, NodeCommand},
};

/// Asks the node at `socket`; says, too, as which user it runs, where it is there.
pub fn ask(socket: &Path) -> (NodeAnswer, Option<Person>) {
    // Only to tell the ways apart in which it fails.
    let knocked = UnixStream::connect(socket);
    let runs_as = match &knocked {
        Ok(stream) => getsockopt(stream, PeerCredentials)
            .ok()
            .and_then(|credentials| runner::of_process(credentials.pid())),
        // The owner of a socket can be seen by users that may not use it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => fs::metadata(socket)
            .ok()
            .and_then(|socket| runner::of_user(socket.uid())),
        Err(_) => None,
    };
    let client = CtlClient::connect(socket);
    let node = match (knocked, client) {
        (Ok(_), Ok(mut client)) => match status(&mut client) {
            Ok(status) => NodeAnswer::Runs(Box::new(status)),
            Err(error) => NodeAnswer::Mute(error.to_string()),
        },
        (Ok(_), Err(error)) => NodeAnswer::Mute(error.to_string()),
        (Err(error), client) if error.kind() == io::ErrorKind::PermissionDenied => {
            let words = client.err().map(|error| error.to_string());
            NodeAnswer::Hidden(words.unwrap_or_else(|| error.to_string()))
        }
        (Err(_), _) => NodeAnswer::Absent,
    };
    (node, runs_as)
}

fn status(client: &mut CtlClient) -> Result<Status, CtlError> {
    let StateView { node, player } = client.state()?;
    let stats = match client.ask(Command::Node(NodeCommand::Stats))? {
        Answer::Stats(stats) => stats,
        _ => Vec::new(),
    };
    let underruns = stats.iter().find(|(name, _)| name == "underruns");
    Ok(Status {
        name: node.name.to_string(),
        id: node.peer.to_hex(),
        tracker: node.tracker,
        peers: node.peers as u64,
        tracks: node.tracks as u64,
        output: node.output,
        volume: node.role.is_peer().then_some(player.volume),
        problems: node.problems,
        underruns: underruns
            .and_then(|(_, count)| count.parse().ok())
            .unwrap_or(0),
    })
}

/// Asks systemd about the service.
pub fn unit() -> Option<Unit> {
    let words = [
        "show",
        "p2pmusic.service",
        "--property=LoadState,UnitFileState,ActiveState,Result,NRestarts,\
         ProtectSystem,ReadWritePaths",
    ];
    let shown = aside::said("systemctl", &words)?;
    let mut unit = parse::unit(&shown);
    if unit.is_installed && unit.active != "active" {
        // Not what the manager says of it.
        let whose = ["-u", "p2pmusic.service", "-t", "p2pmusic"];
        let words = [&whose[..], &["-n", "1", "-o", "cat", "-q", "--no-pager"]].concat();
        let line = aside::said("journalctl", &words).unwrap_or_default();
        unit.last_line = line.lines().last().map(str::to_owned);
    }
    Some(unit)
}
