//! What a node costs: `cargo bench --bench swarm`.
//!
//! Tracks of 30 MB and of a GB go from one peer to another over the loopback
//! while they play there, beside what quinn alone takes for as much; then the memory
//! and the threads of idle and playing peers.

mod support;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use support::{bare, percentile, Node, Remote, Running};

fn main() {
    bare::be_holder();
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("swarm");
    let _ = fs::remove_dir_all(&here);
    let music = here.join("music");
    fs::create_dir_all(&music).unwrap();
    for n in 0..ROUNDS {
        fs::write(music.join(format!("{n}.wav")), wav(BYTES, n)).unwrap();
    }
    for n in 0..LONG_ROUNDS {
        fs::write(music.join(format!("long-{n}.wav")), wav(LONG, ROUNDS + n)).unwrap();
    }
    let start = |role, name, music| {
        let dir = here.join(name);
        let (tracker, device, log) = (TRACKER, "null", "info");
        Node {
            dir: &dir,
            role,
            name,
            tracker,
            music,
            device,
            log,
        }
        .start()
    };
    let _tracker = start("tracker", "tracker", None);
    let owner = start("peer", "owner", Some(&*music));
    let listener = start("peer", "listener", None);
    owner.settle();
    let mut remote = listener.connect();
    remote.wait_for_tracks((ROUNDS + LONG_ROUNDS) as usize);

    let binary = fs::metadata(env!("CARGO_BIN_EXE_p2pmusic")).unwrap().len();
    println!("\nThe binary has {:.1} MB.", mega(binary));
    describe("an idle peer", &listener);

    compare(&mut remote, &owner, &listener, &here);
    thread::sleep(Duration::from_secs(2));
    describe("a playing peer", &listener);
    describe("a peer that has served", &owner);
    println!("CPU of {SPAN:?} of playing WAV: {:.1} %.", share(&listener));
    remote.run("stop");
    thread::sleep(Duration::from_secs(4));
    println!(
        "CPU of {SPAN:?} of doing nothing: {:.1} %.",
        share(&listener)
    );
}

/// The same bytes by us and by quinn alone.
fn compare(remote: &mut Remote, owner: &Running, listener: &Running, here: &Path) {
    let holder = bare::Holder::start();
    let mut fetch = |name: &str| {
        let cpu = || owner.usage().0 + listener.usage().0;
        let before = cpu();
        let (asked, _) = remote.run(&format!("p2p_play owner/{name}.wav"));
        while remote.value("p2p_status", "arrived").as_deref() != Some("1.000") {
            assert!(
                asked.elapsed() < Duration::from_secs(60),
                "it never arrives"
            );
            thread::sleep(Duration::from_millis(5));
        }
        bare::Cost {
            seconds: asked.elapsed().as_secs_f64(),
            cpu: cpu() - before,
        }
    };
    let (ours, alone): (Vec<_>, Vec<_>) = (0..ROUNDS)
        .map(|n| (fetch(&n.to_string()), holder.fetch(BYTES)))
        .unzip();
    let seconds = |cost: &bare::Cost| cost.seconds;
    let (our_time, time) = (median(&ours, seconds), median(&alone, seconds));
    println!(
        "{:.0} MB one to one: {our_time:.2} s, {:.1} times bare quinn ({time:.2} s); medians of {ROUNDS}.",
        mega(BYTES),
        our_time / time,
    );
    let (ours, alone): (Vec<_>, Vec<_>) = (0..LONG_ROUNDS)
        .map(|n| {
            get_memory(here);
            (fetch(&format!("long-{n}")), holder.fetch(LONG))
        })
        .unzip();
    let per_giga = |cost: &bare::Cost| cost.cpu / (LONG as f64 / 1e9);
    let (our_cpu, cpu) = (median(&ours, per_giga), median(&alone, per_giga));
    println!(
        "CPU of both sides, verified and from disk to disk: {our_cpu:.1} s a GB, \
         {:.2} times bare quinn ({cpu:.1} s); medians of {LONG_ROUNDS}.",
        our_cpu / cpu,
    );
}

fn median(costs: &[bare::Cost], of: impl Fn(&bare::Cost) -> f64) -> f64 {
    let mut values: Vec<_> = costs.iter().map(of).collect();
    percentile(&mut values, 0.5)
}

/// Has the kernel touch as much memory as a track is kept in.
///
/// The first touch of what the host of a virtual machine has to find costs up to 4 s a GB,
/// which nobody pays on a machine of its own; what a machine frees it gives back within
/// seconds.
fn get_memory(here: &Path) {
    let file = here.join("nothing");
    fs::write(&file, vec![1; LONG as usize]).unwrap();
    fs::remove_file(&file).unwrap();
}

/// Memory and threads of a node.
fn describe(what: &str, node: &Running) {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    let threads = threads.unwrap_or_default().trim();
    println!(
        "{what}: {:.1} MB resident, {threads} threads",
        mega(node.usage().1)
    );
}

/// How busy a node keeps one CPU, in per cent.
fn share(node: &Running) -> f64 {
    let (before, begun) = (node.usage().0, Instant::now());
    thread::sleep(SPAN);
    (node.usage().0 - before) / begun.elapsed().as_secs_f64() * 100.0
}

/// Noise, 16 bits, stereo, 44.1 kHz.
fn wav(len: u64, seed: u64) -> Vec<u8> {
    let data = len as u32 - 44;
    let mut bytes = Vec::with_capacity(len as usize);
    bytes.extend(b"RIFF");
    bytes.extend((data + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    bytes.extend(44_100u32.to_le_bytes());
    bytes.extend(176_400u32.to_le_bytes());
    bytes.extend(b"\x04\0\x10\0data");
    bytes.extend(data.to_le_bytes());
    let mut random = support::noise(seed);
    bytes.extend((0..data / 2).flat_map(|_| random().to_le_bytes()));
    bytes
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A track of three minutes.
const BYTES: u64 = 30_000_000;
/// Long enough to count CPU seconds by.
const LONG: u64 = 1_000_000_000;
const ROUNDS: u64 = 9;
const LONG_ROUNDS: u64 = 3;
const SPAN: Duration = Duration::from_secs(10);
/// Not the usual port, where a node may run.
const TRACKER: &str = "127.0.0.1:46971";
