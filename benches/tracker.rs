//! The tracker under load: `cargo bench --features door --bench tracker`.
//!
//! A thousand simulated peers (`PEERS=300` for another number) with a thousand
//! tracks each, over real TLS connections to a real tracker on the loopback: how
//! long until all are registered and each knows of all, what that costs in
//! memory, how fast one change reaches everybody, what doing nothing costs, and
//! how long a killed tracker takes to get everybody back.
//!
//! Everybody takes all heads, and the pages of what changes; ten fetch all pages
//! of everybody, since a thousand that do so would be a billion entries.

mod support;

use std::{
    env, fs,
    net::SocketAddrV4,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{getrlimit, setrlimit, Resource};
use p2pmusic::door::{Crowd, CrowdSetup, Tally};
use support::{percentile, Node, Running};

fn main() {
    let wanted = env::var("PEERS").ok().and_then(|text| text.parse().ok());
    let peers = allowed(wanted.unwrap_or(PEERS));
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tracker");
    let _ = fs::remove_dir_all(&here);
    let start = || {
        let (role, name, tracker) = ("tracker", "tracker", TRACKER);
        let (music, device, log) = (None, "null", "info");
        Node {
            dir: &here,
            role,
            name,
            tracker,
            music,
            device,
            log,
        }
        .start()
    };
    let tracker = start();
    println!("\n{peers} peers with {TRACKS} tracks each.");
    println!("an empty tracker: {:.1} MB", megabytes(&tracker, "VmRSS"));
    let setup = CrowdSetup {
        tracker: TRACKER.parse::<SocketAddrV4>().unwrap(),
        peers,
        tracks: TRACKS,
        readers: READERS,
    };
    let crowd = Crowd::start(setup);
    come(&crowd, &tracker, peers, "all at once to an empty tracker");
    read(&crowd, &tracker, peers);
    change(&crowd, peers);
    idle(&tracker);

    let lost = crowd.tally().lost;
    tracker.kill();
    wait("all lost", || crowd.tally().registered == 0);
    let tracker = start();
    come(&crowd, &tracker, peers, "all back after a SIGKILL");
    println!("  ended attempts meanwhile: {}", crowd.tally().lost - lost);
    assert_eq!(crowd.tally().wrong, 0, "{:?}", crowd.tally());
}

/// Waits until all are registered and informed, and prints when that was.
fn come(crowd: &Crowd, tracker: &Running, peers: usize, what: &str) {
    let cpu = tracker.usage().0;
    let registered = wait(what, || crowd.tally().registered == peers);
    let informed = wait(what, || crowd.tally().informed == peers) + registered;
    println!(
        "{what}: registered after {:.1} s, each knows all after {:.1} s; CPU {:.1} s, {:.1} MB resident, at most {:.1} MB",
        registered.as_secs_f64(),
        informed.as_secs_f64(),
        tracker.usage().0 - cpu,
        megabytes(tracker, "VmRSS"),
        megabytes(tracker, "VmHWM"),
    );
}

/// Waits until the readers have everything.
fn read(crowd: &Crowd, tracker: &Running, peers: usize) {
    let readers = READERS.min(peers);
    let took = wait("everything read", || crowd.tally().read == readers);
    let Tally { read_bytes, .. } = crowd.tally();
    println!(
        "{readers} have fetched {:.0} MB each, {:.1} s later; {:.1} MB resident, at most {:.1} MB, of which the pages are {:.1} MB",
        read_bytes as f64 / 1e6 / readers as f64,
        took.as_secs_f64(),
        megabytes(tracker, "VmRSS"),
        megabytes(tracker, "VmHWM"),
        read_bytes as f64 / 1e6 / readers as f64 * peers as f64 / (peers - 1) as f64,
    );
}

/// One owner's change after another, until everybody has the page.
fn change(crowd: &Crowd, peers: usize) {
    let mut times = Vec::new();
    for n in 0..CHANGES {
        crowd.change(peers - 1 - n);
        let took = wait("a change", || crowd.tally().changed == peers - 1);
        times.push(took.as_secs_f64());
    }
    println!(
        "one change with its page at everybody: p50 {:.2} s, longest {:.2} s",
        percentile(&mut times, 0.5),
        percentile(&mut times, 1.0),
    );
}

/// What renewing leases costs.
fn idle(tracker: &Running) {
    thread::sleep(Duration::from_secs(3));
    let (before, begun) = (tracker.usage().0, Instant::now());
    thread::sleep(IDLE);
    let share = (tracker.usage().0 - before) / begun.elapsed().as_secs_f64();
    println!("renewals only, {IDLE:?}: {:.1} % of a CPU", share * 100.0);
}

/// Waits until `is` holds and gives how long that took.
fn wait(what: &str, is: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}: it never came");
        thread::sleep(Duration::from_millis(2));
    }
    begun.elapsed()
}

/// A memory figure of proc(5)'s `status`.
fn megabytes(node: &Running, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.trim_matches(':').split_whitespace().next());
    number.and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0 / 1e6
}

/// As many peers as there may be descriptors.
fn allowed(peers: usize) -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let most = usize::try_from(hard).unwrap().saturating_sub(SPARE);
    if most < peers {
        println!("Only {most} peers: this system allows {hard} open descriptors.");
    }
    peers.min(most)
}

const PEERS: usize = 1000;
const TRACKS: usize = 1000;
const READERS: usize = 10;
const CHANGES: usize = 10;
const IDLE: Duration = Duration::from_secs(20);
/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Descriptors that are no peer's.
const SPARE: usize = 64;
/// Not the usual port, where a node may run.
const TRACKER: &str = "127.0.0.1:46973";
