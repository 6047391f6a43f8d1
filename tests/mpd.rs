//! MPD's protocol, spoken by the real `mpc` and byte by byte.

mod common;

use std::{fs, process::Command};

use common::{audio::Music, mpd::Mpd, Node, Setup};

/// What `mpc` prints when it is run against `host`.
fn mpc(host: &str, args: &[&str]) -> String {
    let output = Command::new("mpc")
        .env("MPD_HOST", host)
        .env_remove("MPD_PORT")
        .args(args)
        .output()
        .expect("mpc is installed by `make deps-test`");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mpc {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A peer with three tracks, two of which are another's.
fn swarm() -> (Node, [Node; 2], [Music; 2]) {
    let (ours, theirs) = (Music::new(), Music::new());
    ours.wav("one.wav", 44_100, 20.0);
    theirs.wav("blue/two.wav", 44_100, 20.0);
    theirs.wav("blue/three.wav", 44_100, 20.0);
    let tracker = Setup::tracker().start();
    let attic = Setup::peer("attic", &tracker).music(theirs.path()).start();
    let kitchen = Setup::peer("kitchen", &tracker).music(ours.path()).start();
    kitchen.wait_for_tracks("kitchen", 1);
    kitchen.wait_for_tracks("attic", 2);
    (kitchen, [tracker, attic], [ours, theirs])
}

#[test]
fn mpc_controls_a_peer() {
    let (kitchen, _others, _music) = swarm();
    let socket = kitchen.socket();
    let mpc = |args: &[&str]| mpc(socket.to_str().unwrap(), args);
    assert_eq!(mpc(&["ls"]), "attic\nkitchen\n");
    assert_eq!(mpc(&["ls", "attic"]), "attic/blue\n");
    let mut all: Vec<String> = mpc(&["listall"]).lines().map(str::to_owned).collect();
    all.sort();
    assert_eq!(
        all,
        [
            "attic/blue/three.wav",
            "attic/blue/two.wav",
            "kitchen/one.wav"
        ]
    );
    assert_eq!(mpc(&["search", "filename", "TWO"]), "attic/blue/two.wav\n");
    mpc(&["add", "kitchen/one.wav"]);
    mpc(&["add", "attic/blue"]);
    assert_eq!(mpc(&["-f", "%file%", "playlist"]).lines().count(), 3);
    mpc(&["volume", "55"]);
    mpc(&["play", "2"]);
    kitchen.wait_for_sound();
    let status = mpc(&["-f", "%file%", "status"]);
    assert!(status.starts_with("attic/blue/"), "{status}");
    assert!(status.contains("[playing] #2/3"), "{status}");
    assert!(status.contains("volume: 55%"), "{status}");
    mpc(&["seek", "0:10"]);
    kitchen.wait_for_status("second 10", |s| {
        s["status"]["elapsed"].as_f64() >= Some(10.0)
    });
    assert!(mpc(&["pause"]).contains("[paused]"));
    mpc(&["next"]);
    mpc(&["random", "on"]);
    assert!(mpc(&["status"]).contains("random: on"));
    assert!(mpc(&["stats"]).contains("Songs:"));
    mpc(&["stop"]);
    mpc(&["clear"]);
    assert_eq!(mpc(&["playlist"]), "");
}

#[test]
fn an_album_is_added_as_it_is_heard() {
    let music = Music::new();
    music.wav("source.wav", 44_100, 1.0);
    fs::create_dir_all(music.path().join("blue/CD 2")).unwrap();
    for (file, tags) in [
        ("blue/b.flac", ["album=Blue", "track=1/2", "title=First"]),
        ("blue/a.flac", ["album=Blue", "track=2/2", "title=Second"]),
        ("blue/CD 2/a.flac", ["album=Blue", "track=1", "title=Third"]),
    ] {
        let args: Vec<&str> = tags.iter().flat_map(|tag| ["-metadata", tag]).collect();
        music.encode("source.wav", file, &args);
    }
    fs::remove_file(music.path().join("source.wav")).unwrap();
    let tracker = Setup::tracker().start();
    let kitchen = Setup::peer("kitchen", &tracker).music(music.path()).start();
    kitchen.wait_for_tracks("kitchen", 3);
    let socket = kitchen.socket();
    let mpc = |args: &[&str]| mpc(socket.to_str().unwrap(), args);
    for add in [&["add", "kitchen/blue"][..], &["findadd", "album", "Blue"]] {
        mpc(&["clear"]);
        mpc(add);
        let titles = mpc(&["-f", "%track% %title%", "playlist"]);
        assert_eq!(titles, "1 First\n2 Second\n1 Third\n", "{add:?}");
    }
}

#[test]
fn errors_have_their_numbers_and_the_connection_stays() {
    let (kitchen, _others, _music) = swarm();
    let mut mpd = Mpd::connect(&kitchen.socket());
    assert_eq!(mpd.greeting, "OK MPD 0.23.5");
    for (line, begins) in [
        ("polka", "ACK [5@0] {} unknown command \"polka\""),
        ("setvol", "ACK [2@0] {setvol}"),
        ("setvol loud", "ACK [2@0] {setvol}"),
        ("setvol 101", "ACK [2@0] {setvol}"),
        ("add nobody/nothing.wav", "ACK [50@0] {add}"),
        ("lsinfo cellar", "ACK [50@0] {lsinfo}"),
        ("seekcur 3", "ACK [55@0] {seekcur}"),
        ("play 7", "ACK [2@0] {play}"),
        ("deleteid 99", "ACK [50@0] {deleteid}"),
        ("config", "ACK [4@0] {config}"),
    ] {
        let reply = mpd.ask(line);
        assert_eq!(reply.len(), 1, "{line}: {reply:?}");
        assert!(reply[0].starts_with(begins), "{line}: {reply:?}");
    }
    assert_eq!(mpd.ask("ping"), ["OK"]);
}

#[test]
fn command_lists_run_until_something_fails() {
    let (kitchen, _others, _music) = swarm();
    let mut mpd = Mpd::connect(&kitchen.socket());
    mpd.say("command_list_ok_begin\nadd kitchen/one.wav\nadd attic/blue/two.wav\nstatus\ncommand_list_end");
    let reply = mpd.reply();
    assert_eq!(
        reply.iter().filter(|line| *line == "list_OK").count(),
        3,
        "{reply:?}"
    );
    assert!(reply.contains(&"playlistlength: 2".into()), "{reply:?}");

    mpd.say("command_list_begin\nclear\nadd nobody/x.wav\nadd kitchen/one.wav\ncommand_list_end");
    let reply = mpd.reply();
    assert!(reply[0].starts_with("ACK [50@1] {add}"), "{reply:?}");
    assert_eq!(
        mpd.number("status", "playlistlength"),
        Some(0.0),
        "what follows is not run"
    );
}

#[test]
fn idle_tells_what_has_changed() {
    let (kitchen, others, _music) = swarm();
    let mut waits = Mpd::connect(&kitchen.socket());
    let mut acts = Mpd::connect(&kitchen.socket());
    let told = |waits: &mut Mpd, what: &str| {
        let reply = waits.reply();
        assert!(
            reply.contains(&format!("changed: {what}")),
            "{what}: {reply:?}"
        );
    };
    waits.say("idle playlist");
    acts.ask("add kitchen/one.wav");
    told(&mut waits, "playlist");
    waits.say("idle mixer");
    acts.ask("setvol 12");
    told(&mut waits, "mixer");
    waits.say("idle options");
    acts.ask("repeat 1");
    told(&mut waits, "options");
    waits.say("idle player");
    acts.ask("play");
    told(&mut waits, "player");
    waits.say("idle database");
    others[1].ctl_ok(&["leave"]);
    told(&mut waits, "database");
    waits.say("idle mixer");
    waits.say("noidle");
    assert_eq!(waits.reply(), ["OK"]);
}

#[test]
fn a_song_has_what_clients_show() {
    let (kitchen, _others, _music) = swarm();
    let mut mpd = Mpd::connect(&kitchen.socket());
    let song = mpd.pairs("find file attic/blue/two.wav");
    let value = |key: &str| {
        song.iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    assert_eq!(value("file"), "attic/blue/two.wav");
    assert_eq!(value("Format"), "44100:16:2");
    assert_eq!((value("Time"), value("duration")), ("20", "20.000"));
    let id = mpd.value("addid attic/blue/two.wav", "Id").unwrap();
    assert_eq!(mpd.value("playlistinfo", "Id"), Some(id.clone()));
    assert_eq!(mpd.ask(&format!("playid {id}")), ["OK"]);
    kitchen.wait_for_sound();
    assert_eq!(mpd.value("status", "state").as_deref(), Some("play"));
    assert_eq!(mpd.value("currentsong", "Id"), Some(id));
    assert_eq!(mpd.value("status", "audio").as_deref(), Some("44100:16:2"));
}

#[test]
fn the_network_needs_the_password_and_the_socket_does_not() {
    let control = "mpd = \"127.0.0.1:0\"\npassword = \"let me in\"\n".into();
    let node = Setup {
        role: "peer",
        control,
        ..Setup::default()
    }
    .start();
    let line = node.wait_for_line("MPD clients can connect to ");
    let at = line.rsplit(' ').next().unwrap();
    let mut mpd = Mpd::connect_tcp(at);
    assert_eq!(mpd.ask("ping"), ["OK"]);
    assert!(mpd.ask("status")[0].starts_with("ACK [4@0] {status}"));
    assert!(mpd.ask("password wrong")[0].starts_with("ACK [3@0] {password}"));
    assert!(mpd.ask("play")[0].starts_with("ACK [4@0] {play}"));
    assert_eq!(mpd.ask("password \"let me in\""), ["OK"]);
    assert_eq!(mpd.value("status", "state").as_deref(), Some("stop"));
    let (host, port) = at.rsplit_once(':').unwrap();
    assert!(mpc(&format!("let me in@{host}"), &["-p", port, "status"]).contains("volume"));
    assert!(mpc(node.socket().to_str().unwrap(), &["status"]).contains("volume"));
}

#[test]
fn a_tracker_says_that_it_cannot_play() {
    let tracker = Setup::tracker().start();
    let mut mpd = Mpd::connect(&tracker.socket());
    for line in ["play", "pause 1", "setvol 3", "add x", "next", "p2p_play x"] {
        let reply = mpd.ask(line);
        assert!(
            reply[0].starts_with("ACK [") && reply[0].contains("tracker only"),
            "{reply:?}"
        );
    }
    assert_eq!(mpd.value("status", "state").as_deref(), Some("stop"));
    let usable: Vec<String> = mpd
        .pairs("commands")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert!(
        usable.contains(&"status".into()) && !usable.contains(&"play".into()),
        "{usable:?}"
    );
}

/// A peer with a TCP port, and where that is.
fn on_tcp(control: &str) -> (Node, String) {
    let node = Setup {
        role: "peer",
        control: format!("mpd = \"127.0.0.1:0\"\n{control}"),
        ..Setup::default()
    }
    .start();
    let line = node.wait_for_line("MPD clients can connect to ");
    let at = line.rsplit(' ').next().unwrap().to_owned();
    (node, at)
}

fn names(mpd: &mut Mpd, list: &str) -> Vec<String> {
    let pairs = mpd.pairs(list).into_iter();
    pairs.map(|(_, name)| name).collect()
}

#[test]
fn the_network_cannot_take_the_node_away() {
    let (node, at) = on_tcp("");
    let mut far = Mpd::connect_tcp(&at);
    let mut near = Mpd::connect(&node.socket());
    for command in ["p2p_leave", "p2p_join"] {
        let reply = far.ask(command);
        let refused = format!("ACK [4@0] {{{command}}} ");
        assert!(reply[0].starts_with(&refused), "{command}: {reply:?}");
        let listed = |mpd: &mut Mpd, list| names(mpd, list).contains(&command.to_owned());
        assert!(listed(&mut near, "commands"), "{command}");
        assert!(!listed(&mut far, "commands"), "{command}");
        assert!(listed(&mut far, "notcommands"), "{command}");
    }
    assert!(far.ask("kill")[0].starts_with("ACK [4@0] {kill} "));
    assert_ne!(
        node.json(&["status"])["node"]["tracker"],
        "left; the tracker did not answer"
    );
}

#[test]
fn before_the_password_only_what_may_be_used_is_listed() {
    let (_node, at) = on_tcp("password = \"sesame\"\n");
    let mut mpd = Mpd::connect_tcp(&at);
    let open = ["close", "commands", "notcommands", "password", "ping"];
    assert_eq!(names(&mut mpd, "commands"), open);
    assert!(names(&mut mpd, "notcommands").contains(&"status".into()));
    assert_eq!(mpd.ask("password sesame"), ["OK"]);
    assert!(names(&mut mpd, "commands").contains(&"status".into()));
    assert!(!names(&mut mpd, "notcommands").contains(&"status".into()));
}

#[test]
fn a_desk_full_of_clients_fits_and_one_too_many_is_told() {
    let (node, at) = on_tcp("");
    let desk: Vec<_> = (0..32).map(|_| Mpd::connect_tcp(&at)).collect();
    let (host, port) = at.rsplit_once(':').unwrap();
    for _ in 0..3 {
        let output = Command::new("mpc")
            .args(["-h", host, "-p", port, "status"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("32 connections"), "{said}");
        assert!(!output.status.success());
    }
    let log = node.log();
    let is_warning = |line: &&str| line.contains(" WARN ") && line.contains("32 connections");
    let warnings = log.lines().filter(is_warning);
    assert_eq!(warnings.count(), 1, "{log}");
    // Others, and the machine itself, are not kept out.
    assert_eq!(node.json(&["status"])["status"]["state"], "stop");
    drop(desk);
}
