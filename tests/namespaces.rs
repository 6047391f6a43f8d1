//! Two machines on one cable: they find each other by what the tracker says,
//! and play each other's music.

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::{fs, path::Path};

use common::{
    audio::{self, Music},
    left_out::or_left_out,
    sysctl, Node, Setup,
};
use netns::Network;

/// Of the two, the first is tracker and peer in one. Its own peer registers
/// over loopback, where nobody else can reach it, and both have more addresses
/// that lead nowhere than they may announce.
#[test]
fn two_machines_play_each_others_tracks_to_the_bit() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let music = [Music::new(), Music::new()];
    let frames = [
        music[0].wav("north.wav", 44_100, 1.5),
        music[1].wav("south.wav", 48_000, 1.5),
    ];
    let outputs = tempfile::tempdir().unwrap();
    let output = |end: usize| outputs.path().join(format!("{end}.wav"));
    let node = |end: usize, setup: Setup| {
        let device = format!("wav:{}", output(end).display());
        let setup = Setup {
            listen: Some("[::]:0".into()),
            prefix: network.prefix(end),
            ..setup
        };
        setup.music(music[end].path()).device(device).start()
    };
    let both = node(
        0,
        Setup {
            role: "both",
            name: Some("north"),
            tracker: Some("auto".into()),
            ..Setup::default()
        },
    );
    let tracker = format!("{}:{}", network.address(0), port_of(&both));
    let peer = node(
        1,
        Setup {
            role: "peer",
            name: Some("south"),
            tracker: Some(tracker),
            ..Setup::default()
        },
    );

    wait_for_track(&both, "south");
    wait_for_track(&peer, "north");
    assert_plays(&peer, "north/north.wav", &output(1), 44_100, &frames[0]);
    assert_plays(&both, "south/south.wav", &output(0), 48_000, &frames[1]);
}

/// The same two, but the peer is told nothing: it finds the tracker by mDNS.
#[test]
fn a_peer_finds_a_tracker_that_announces_itself() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let music = Music::new();
    music.wav("north.wav", 44_100, 0.5);
    let setup = |end: usize, role, name| Setup {
        role,
        name: Some(name),
        listen: Some("[::]:0".into()),
        tracker: Some("auto".into()),
        prefix: network.prefix(end),
        ..Setup::default()
    };
    let mut both = setup(0, "both", "north").music(music.path()).start();
    both.kill();
    let file = both.dir.path().join("p2pmusic.toml");
    let silent = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        silent.replace("advertise = false", "advertise = true"),
    )
    .unwrap();
    let both = both.restart();
    let peer = setup(1, "peer", "south").start();

    wait_for_track(&peer, "north");
    both.wait_for(&["peers"], "both peers", |peers| {
        peers.as_array().is_some_and(|p| p.len() == 2)
    });
}

/// Waits until `node` knows the one track of the peer called `owner`.
fn wait_for_track(node: &Node, owner: &str) {
    node.wait_for(&["peers"], &format!("the track of {owner}"), |peers| {
        let rows = peers.as_array().into_iter().flatten();
        rows.into_iter()
            .any(|row| row["peer"] == owner && row["tracks"] == 1)
    });
}

/// Plays `file` at full volume, and compares what came out with `frames`.
fn assert_plays(node: &Node, file: &str, output: &Path, rate: u32, frames: &[[i16; 2]]) {
    node.ctl_ok(&["volume", "100"]);
    node.ctl_ok(&["play", file]);
    node.wait_for(&["status"], "the end", |status| {
        status["status"]["state"] == "stop" && status["node"]["first_sound"].is_number()
    });
    let (found_rate, found) = audio::read_wav(output);
    assert_eq!(found_rate, rate);
    let start = found.windows(2).position(|pair| pair == &frames[..2]);
    let start = start.unwrap_or_else(|| panic!("no sound of {file} in {} frames", found.len()));
    assert!(
        found[..start].iter().all(|frame| *frame == [0, 0]),
        "silence before it"
    );
    assert!(
        found[start..].starts_with(frames),
        "{file} is not the same to the bit"
    );
}

fn port_of(node: &Node) -> String {
    let address = node.tracker_address();
    address
        .rsplit(':')
        .next()
        .expect("an address and a port")
        .to_owned()
}

/// Whatever of IPv6 is switched off, or of IPv4, two machines find each other, and each
/// node itself.
#[test]
fn a_family_of_addresses_that_is_off_keeps_nobody_apart() {
    for (what, setting) in [
        ("no IPv6", "net/ipv6/conf/all/disable_ipv6"),
        ("no IPv6 on loopback", "net/ipv6/conf/lo/disable_ipv6"),
        (
            "no IPv6 on what comes later",
            "net/ipv6/conf/default/disable_ipv6",
        ),
        ("IPv6 sockets without IPv4", "net/ipv6/bindv6only"),
    ] {
        let Some(network) = Network::or_skip() else {
            return;
        };
        for end in 0..2 {
            let set = sysctl::set(&network.prefix(end), setting, "1");
            if or_left_out(set).is_none() {
                return;
            }
        }
        let tracker = network.address(0).to_owned();
        hear_each_other(&network, &tracker, "127.0.0.1", what);
    }
}

#[test]
fn machines_without_ipv4_hear_each_other() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    for end in 0..2 {
        for interface in ["lo", "cable", "nowhere"] {
            let flush = ["-4", "address", "flush", "dev", interface];
            network.ip(end, &flush).unwrap();
        }
        let address = format!("fd98::{}/64", end + 1);
        let add = ["address", "add", &address, "dev", "cable", "nodad"];
        network.ip(end, &add).unwrap();
    }
    hear_each_other(&network, "[fd98::1]", "::1", "no IPv4");
}

/// As with a kernel without IPv6, or in a sandbox: such a socket cannot even be made.
#[test]
#[cfg(all(target_arch = "x86_64", target_endian = "little"))]
fn a_kernel_without_ipv6_is_no_obstacle() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    // The filter holds for the thread that asks for it, and for its children.
    let tried = std::thread::scope(|scope| {
        let refused = scope.spawn(|| {
            no_ipv6::refuse().unwrap();
            let tracker = network.address(0).to_owned();
            hear_each_other(&network, &tracker, "127.0.0.1", "no AF_INET6");
        });
        refused.join()
    });
    tried.unwrap();
}

/// Lists come by TCP, which fits itself to small packets, and music does not: that is said,
/// and over when the packets may be larger.
#[test]
fn a_link_too_narrow_for_quic_is_named_until_it_is_wide() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let set_mtu = |mtu| {
        for end in 0..2 {
            let words = ["link", "set", "cable", "mtu", mtu];
            network.ip(end, &words).unwrap();
        }
    };
    set_mtu("1000");
    let music = Music::new();
    music.wav("north.wav", 44_100, 0.5);
    let setup = |end: usize, role, name, tracker: String| Setup {
        role,
        name: Some(name),
        listen: Some("[::]:0".into()),
        tracker: Some(tracker),
        prefix: network.prefix(end),
        ..Setup::default()
    };
    let both = setup(0, "both", "north", "auto".into());
    let both = both.music(music.path()).start();
    let tracker = format!("{}:{}", network.address(0), port_of(&both));
    let peer = setup(1, "peer", "south", tracker).start();
    wait_for_track(&peer, "north");
    let problem = peer.wait_for_problem("MTU");
    assert!(
        problem.contains("cable") && problem.contains("1000 bytes"),
        "{problem}"
    );
    let mut doctor = common::command(&network.prefix(1), common::BINARY);
    doctor.arg("doctor").arg("--config").arg(peer.config());
    let said = doctor.output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("sudo ip link set cable mtu 1500"), "{said}");
    // What is asked of north waits for an answer that cannot come.
    let _ = peer.ctl(&["play", "north/north.wav"]);
    peer.wait_for_line("packets of at most 1000 bytes get there");

    set_mtu("1500");
    peer.wait_for_status("a wide link", |status| {
        !status["node"]["problem"].to_string().contains("MTU")
    });
    peer.wait_for(&["status"], "sound", |status| {
        if status["status"]["state"] != "play" {
            let _ = peer.ctl(&["play", "north/north.wav"]);
        }
        status["node"]["first_sound"].is_number()
    });
}

/// A node that is tracker and peer at one end, a peer at the other, which plays its
/// music; MPD clients get in by `loopback`.
fn hear_each_other(network: &Network, tracker: &str, loopback: &str, what: &str) {
    eprintln!("{what}");
    let music = Music::new();
    music.wav("north.wav", 44_100, 0.5);
    let setup = |end: usize, role, name, tracker: String| Setup {
        role,
        name: Some(name),
        listen: Some("[::]:0".into()),
        tracker: Some(tracker),
        control: "mpd = \"[::]:6600\"\n".into(),
        prefix: network.prefix(end),
        ..Setup::default()
    };
    let both = setup(0, "both", "north", "auto".into());
    let both = both.music(music.path()).start();
    both.wait_until_registered();
    let tracker = format!("[\"{tracker}:{}\"]", port_of(&both));
    let peer = setup(1, "peer", "south", tracker).start();
    wait_for_track(&peer, "north");
    peer.ctl_ok(&["play", "north/north.wav"]);
    peer.wait_for(&["status"], "sound", |status| {
        status["node"]["first_sound"].is_number()
    });
    let greet = format!("exec 3<>/dev/tcp/{loopback}/6600 && head -n1 <&3");
    let greeting = run(network, 0, &["bash", "-c", &greet]);
    let greeting = String::from_utf8_lossy(&greeting.stdout).into_owned();
    assert!(greeting.starts_with("OK MPD "), "{what}: {greeting:?}");
}

/// Runs something in namespace 0 or 1.
fn run(network: &Network, end: usize, words: &[&str]) -> std::process::Output {
    let mut command = common::command(&network.prefix(end), words[0]);
    command.args(&words[1..]).output().unwrap()
}

#[cfg(all(target_arch = "x86_64", target_endian = "little"))]
mod no_ipv6 {
    use std::io;

    use nix::libc::{
        prctl, sock_filter, sock_fprog, SYS_socket, AF_INET6, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K,
        BPF_LD, BPF_RET, BPF_W, EAFNOSUPPORT, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP,
        SECCOMP_MODE_FILTER, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
    };

    /// Has the kernel refuse sockets of IPv6 to this thread and its children.
    pub fn refuse() -> io::Result<()> {
        let load = |offset| op(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
        let unless = |value, skipped| op(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped);
        let end = |with| op(BPF_RET | BPF_K, with, 0, 0);
        // The number of the call, and the lower half of its first argument (seccomp(2)).
        let mut program = [
            load(0),
            unless(SYS_socket as u32, 3),
            load(16),
            unless(AF_INET6 as u32, 1),
            end(SECCOMP_RET_ERRNO | EAFNOSUPPORT as u32),
            end(SECCOMP_RET_ALLOW),
        ];
        let program = sock_fprog {
            len: program.len() as u16,
            filter: program.as_mut_ptr(),
        };
        let done = |result| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        // SAFETY: the program lives as long as the call that copies it.
        unsafe {
            done(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
            done(prctl(
                PR_SET_SECCOMP,
                SECCOMP_MODE_FILTER,
                &raw const program,
            ))
        }
    }

    fn op(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
        sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        }
    }
}
