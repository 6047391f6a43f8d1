//! Storms on the control socket, and on its TCP port where there is one.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    common::{audio::Music, mpd::Mpd, Node, Setup, PATIENCE},
    watch::Watch,
    wire::{connect_from, noise},
};

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

fn node(control: &str) -> (Music, Node) {
    let music = Music::new();
    for n in 0..40 {
        music.wav(&format!("album/{n}.wav"), 44_100, 0.05);
    }
    let setup = Setup {
        control: control.into(),
        role: "both",
        name: Some("kitchen"),
        ..Setup::default()
    };
    let node = setup.music(music.path()).start();
    node.wait_for_tracks("kitchen", 40);
    (music, node)
}

fn port_of(node: &Node) -> String {
    let line = node.wait_for_line("MPD clients can connect to ");
    line.rsplit(' ').next().unwrap().to_owned()
}

/// What clients say that is no conversation.
fn sayings() -> Vec<Vec<u8>> {
    let nested = format!("find \"{}\"\n", "(!".repeat(8000));
    let list = [&b"command_list_begin\n"[..], &b"ping\n".repeat(700_000)].concat();
    let mut all: Vec<_> = (0..32).map(|n| noise(n, 2000)).collect();
    all.extend([
        vec![b'a'; 100_000],
        vec![b'\n'; 100_000],
        nested.into_bytes(),
        list,
        b"command_list_ok_begin\nstatus\ncommand_list_begin\n".repeat(100),
        b"find (((((((((((((Artist == 'x'\n".repeat(300),
        b"add \"\xff\xfe\0\"\nseek 99999999999999999999 -1\nplay -7\n".repeat(50),
        b"idle\nstatus\n".repeat(50),
        b"POST / HTTP/1.1\r\n\r\n".to_vec(),
    ]);
    all
}

fn storm(connect: &dyn Fn() -> Box<dyn Stream>) {
    for saying in sayings() {
        let mut client = connect();
        let _ = client.write_all(&saying);
        let mut some = [0; 4096];
        let _ = client.read(&mut some);
    }
    // Clients that ask for everything and take nothing, or say half a line.
    let mut lazy: Vec<_> = (0..20).map(|_| connect()).collect();
    for client in &mut lazy {
        for _ in 0..200 {
            if client.write_all(&b"listallinfo\n".repeat(20)).is_err() {
                break;
            }
        }
        let _ = client.write_all(b"list");
    }
}

#[test]
fn the_local_socket() {
    let (_music, node) = node("");
    let watch = Watch::begin(&node);
    let socket = node.socket();
    storm(&|| {
        let stream = UnixStream::connect(&socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        stream
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        Box::new(stream)
    });
    let crowd: Vec<_> = (0..500).map(|_| UnixStream::connect(&socket)).collect();
    drop(crowd);
    // The clients that were let in are found to have gone one after the other.
    let deadline = Instant::now() + PATIENCE;
    while !node.ctl(&["status"]).status.success() {
        assert!(Instant::now() < deadline, "no place has come free");
    }
    watch.end(&node, 64 << 20);
}

#[test]
fn the_tcp_port() {
    let (_music, node) = node("mpd = \"127.0.0.1:0\"\n");
    let at = port_of(&node);
    let watch = Watch::begin(&node);
    storm(&|| {
        let stream = TcpStream::connect(&at).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        stream
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        Box::new(stream)
    });
    // All that stay, and say nothing more, leave places to clients on the machine.
    let mut crowd = Vec::new();
    for n in 0..1000u16 {
        let ip = [127, 2, (n / 250) as u8, (n % 250) as u8 + 1].into();
        crowd.extend(connect_from(ip, &at));
        crowd.drain(..crowd.len().saturating_sub(300));
    }
    assert_eq!(node.json(&["status"])["node"]["name"], "kitchen");
    drop(crowd);
    watch.end(&node, 64 << 20);
    // The honest client comes from an address of its own.
    let stream = connect_from([127, 4, 0, 1].into(), &at).unwrap();
    assert_eq!(Mpd::over_tcp(stream).ask("ping"), ["OK"]);
}

#[test]
fn who_has_not_said_the_password() {
    let (_music, node) = node("mpd = \"127.0.0.1:0\"\npassword = \"sesame\"\n");
    let at = port_of(&node);
    let watch = Watch::begin(&node);
    for _ in 0..200 {
        let mut guess = Mpd::connect_tcp(&at);
        guess.say("command_list_begin");
        assert!(guess.line().starts_with("ACK [4@0]"), "no list without it");
    }
    let mut honest = Mpd::connect_tcp(&at);
    assert_eq!(honest.ask("password sesame"), ["OK"]);
    watch.end(&node, 16 << 20);
}

/// Guesses for a while from one address, some clients at a time, each of which comes again
/// when it is answered; gives how many of them were told that they are wrong.
fn guess(at: &str, ip: [u8; 4], clients: usize, until: Instant) -> Vec<JoinHandle<usize>> {
    let guesser = |_| {
        let at = at.to_owned();
        thread::spawn(move || {
            let mut wrong = 0;
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                let Ok(stream) = connect_from(ip.into(), &at) else {
                    continue;
                };
                let limit = left.max(Duration::from_millis(1));
                stream.set_read_timeout(Some(limit)).unwrap();
                let mut from = BufReader::new(&stream);
                let mut line = String::new();
                while from.read_line(&mut line).is_ok_and(|read| read > 0) {
                    wrong += usize::from(line.contains("incorrect password"));
                    line.clear();
                    if (&stream).write_all(b"password open\n").is_err() {
                        break;
                    }
                }
            }
            wrong
        })
    };
    (0..clients).map(guesser).collect()
}

/// Some dozen guesses a minute are told that they are wrong, of an address and in all; and
/// the right password is told at once meanwhile, wherever it comes from.
#[test]
fn guessing_is_slow_and_the_password_is_at_once() {
    let (_music, node) = node("mpd = \"127.0.0.1:0\"\npassword = \"sesame\"\n");
    let at = port_of(&node);
    let watch = Watch::begin(&node);
    let until = Instant::now() + Duration::from_secs(20);
    let mut guessers = Vec::new();
    for n in 0..3 {
        guessers.push(guess(&at, [127, 5, 0, n], 8, until));
    }
    let mut times = Vec::new();
    for n in 0..40 {
        // From the address of some of them, and from another one.
        let ip = [[127, 5, 0, 0], [127, 5, 1, 1]][n % 2];
        let begun = Instant::now();
        let mut honest = Mpd::over_tcp(connect_from(ip.into(), &at).unwrap());
        assert_eq!(honest.ask("password sesame"), ["OK"], "{ip:?}");
        times.push(begun.elapsed());
        thread::sleep(Duration::from_millis(250));
    }
    println!("the password: {:?} at most", times.iter().max());
    for of_address in guessers {
        let wrong: usize = of_address.into_iter().map(|g| g.join().unwrap()).sum();
        println!("wrong guesses that were answered: {wrong}");
        assert!(wrong <= 36, "{wrong} guesses in 20 s");
    }
    watch.end(&node, 16 << 20);
}
