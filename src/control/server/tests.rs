use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
};

use std::path::Path;

use nix::unistd::{getegid, Group};

use super::*;
use crate::control::fixture;

/// A client that sends a line and reads to the end of its answer.
struct Peer(BufReader<UnixStream>);

impl Peer {
    fn connect(path: &Path) -> Self {
        let mut peer = Self(BufReader::new(UnixStream::connect(path).unwrap()));
        assert_eq!(peer.read(), "OK MPD 0.23.5\n");
        peer
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.read()
    }

    fn send(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").unwrap();
    }

    fn read(&mut self) -> String {
        let mut text = String::new();
        loop {
            let start = text.len();
            assert_ne!(self.0.read_line(&mut text).unwrap(), 0, "after {text:?}");
            if text[start..].starts_with("OK") || text[start..].starts_with("ACK") {
                return text;
            }
        }
    }
}

fn served() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl.sock");
    fixture::serve(&path);
    (dir, path)
}

#[test]
fn a_client_plays_and_another_hears_of_it() {
    let (_dir, path) = served();
    let (mut one, mut other) = (Peer::connect(&path), Peer::connect(&path));
    other.send("idle player");
    let reply = one.ask("p2p_play so what");
    assert!(reply.starts_with("p2p_match: track\n"), "{reply}");
    assert!(reply.contains("file: kitchen/miles/kind of blue/1.flac\n"));
    assert_eq!(other.read(), "changed: player\nOK\n");
    assert!(other.ask("status").contains("state: play\n"));
}

#[test]
fn a_lists_failure_names_its_index() {
    let (_dir, path) = served();
    let mut peer = Peer::connect(&path);
    peer.send("command_list_ok_begin\nping\nadd nobody/x\nping");
    assert_eq!(
        peer.ask("command_list_end"),
        "list_OK\nACK [50@1] {add} nobody who is here has \"nobody/x\"\n"
    );
}

#[test]
fn a_living_socket_is_not_taken_and_a_dead_one_is() {
    let (dir, path) = served();
    let config = |socket: PathBuf| ControlConfig {
        socket,
        group: None,
        mpd: None,
        password: None,
        has_player: true,
    };
    let error = ControlServer::bind(&config(path)).unwrap_err();
    assert!(matches!(error, ControlBindError::InUse(_)), "{error}");

    let dead = dir.path().join("dead");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let server = ControlServer::bind(&config(dead.clone())).unwrap();
    drop(server);
    assert!(!dead.exists());

    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = ControlServer::bind(&config(file.clone())).unwrap_err();
    assert!(matches!(error, ControlBindError::NotASocket(_)), "{error}");
    assert!(file.exists());
}

/// What a message says of the users that can use it has to be so.
#[test]
fn a_socket_that_no_group_can_have_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let own = Group::from_gid(getegid()).unwrap().map(|group| group.name);
    for (group, mode) in [(own, 0o660), (Some("nobody-knows-it".into()), 0o600)] {
        let dir = tempfile::tempdir().unwrap();
        let config = ControlConfig {
            socket: dir.path().join("ctl.sock"),
            group,
            mpd: None,
            password: None,
            has_player: true,
        };
        let _server = ControlServer::bind(&config).unwrap();
        let is = std::fs::metadata(&config.socket).unwrap().permissions();
        assert_eq!(is.mode() & 0o777, mode, "{:?}", config.group);
    }
}

#[test]
fn clients_beyond_the_limit_are_turned_away_and_places_are_given_again() {
    let (_dir, path) = served();
    let peers: Vec<_> = (0..MAX_CLIENTS).map(|_| Peer::connect(&path)).collect();
    let mut refused = Peer::connect(&path);
    let said = refused.ask("status");
    assert!(
        said.starts_with("ACK [5@0] {} this node has its "),
        "{said}"
    );
    drop(refused);
    drop(peers);
    // The places come free as the server notices, one by one.
    let served = (0..1000).any(|_| Peer::connect(&path).ask("ping") == "OK\n");
    assert!(served);
}

#[test]
fn a_password_is_asked_for_on_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let config = ControlConfig {
        socket: dir.path().join("ctl.sock"),
        group: None,
        mpd: Some("127.0.0.1:0".parse().unwrap()),
        password: Some("sesame".into()),
        has_player: true,
    };
    let (server, requests, _notifier) = ControlServer::bind(&config).unwrap();
    let address = server.tcp_address().unwrap();
    let _server = smol::spawn(server.run());
    drop(requests);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"status\npassword sesame\nstatus\nclose\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let expected = "OK MPD 0.23.5\n\
        ACK [4@0] {status} you don't have permission for \"status\"\n\
        OK\n\
        ACK [52@0] {status} this node is being stopped\n";
    assert_eq!(text, expected);
}
