//! What p2pmusic asks of the machine it runs on: `cargo bench --bench
//! footprint`.
//!
//! The size of the binary; memory, threads, wake-ups and writes of each role
//! at rest and of a peer that plays; the memory that a swarm's catalogues
//! take, with 1,000 and with 100,000 tracks, and how fast they are searched;
//! and the CPU that playing takes beside mpd's, on the same device, one after
//! the other.
//!
//! Nodes see an ALSA without plugins, as on a speaker: those of a desktop's
//! sound server bring some megabytes of libraries that are not ours. Beside
//! mpd both play into a PulseAudio of this benchmark's own, or on what
//! `P2PMUSIC_BENCH_DEVICE` names (`hw:…`).

mod support;

use std::{
    env, fs,
    io::Write as _,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{ffmpeg, noise, Node, Remote, Running};

fn main() {
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("footprint");
    fs::create_dir_all(&here).unwrap();
    // What plays beside mpd sees the machine's own sound.
    let machine = env::var_os(ALSA_CONFIG);
    let bare = here.join("bare.conf");
    fs::write(&bare, "pcm.!default { type null }\n").unwrap();
    env::set_var(ALSA_CONFIG, &bare);
    let _ = fs::remove_dir_all(here.join("nodes"));

    let binary = fs::metadata(env!("CARGO_BIN_EXE_p2pmusic")).unwrap().len();
    println!("\nThe binary has {:.2} MB.", mega(binary));
    roles(&here);
    for count in [1_000, 100_000] {
        swarm(&here, count);
    }
    match machine {
        Some(path) => env::set_var(ALSA_CONFIG, path),
        None => env::remove_var(ALSA_CONFIG),
    }
    if let Err(why) = beside_mpd(&here) {
        println!("\nNot measured beside mpd: {why}.");
    }
}

/// What a node had used at a moment.
struct Sample {
    at: Instant,
    cpu: f64,
    wakes: u64,
    written: u64,
}

impl Sample {
    fn of(node: &Running) -> Self {
        let pid = node.pid();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let wakes = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            number(&status, "voluntary_ctxt_switches:")
        };
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Self {
            at: Instant::now(),
            cpu: node.usage().0,
            wakes: tasks.flatten().filter_map(wakes).sum(),
            written: number(&io, "write_bytes:").unwrap_or(0),
        }
    }

    /// A line on `node` since the sample was taken.
    fn print(&self, what: &str, node: &Running) {
        let now = Self::of(node);
        let seconds = (now.at - self.at).as_secs_f64();
        let threads = fs::read_dir(format!("/proc/{}/task", node.pid())).unwrap();
        println!(
            "{what:<28}{:>8.1}{:>9}{:>13.1}{:>11.2}{:>8.1}",
            mega(node.usage().1),
            threads.count(),
            // A thread that has ended takes its number with it.
            now.wakes.saturating_sub(self.wakes) as f64 / seconds,
            mega(now.written - self.written) / seconds * 3600.0,
            (now.cpu - self.cpu) / seconds * 100.0,
        );
    }
}

/// Each role at rest, and a peer that plays what another has.
fn roles(here: &Path) {
    let music = here.join("long");
    long_track(&music);
    let dir = here.join("nodes");
    let node = |role, name, tracker, music: Option<&Path>| start(&dir, role, name, tracker, music);
    let tracker = node("tracker", "tracker", TRACKER, None);
    let both = node("both", "both", OTHER_TRACKER, None);
    let peer = node("peer", "peer", TRACKER, None);
    let owner = node("peer", "owner", TRACKER, Some(&music));
    owner.settle();
    let mut remote = peer.connect();
    remote.wait_for_tracks(1);

    println!("\n                                 RSS  threads     wake-ups    written     CPU");
    println!("                                  MB              a second  MB an hour      %");
    let at_rest = [("a tracker at rest", &tracker), ("a peer at rest", &peer)];
    let at_rest = at_rest.into_iter().chain([("both in one at rest", &both)]);
    let before: Vec<_> = at_rest
        .map(|(what, node)| (what, node, Sample::of(node)))
        .collect();
    thread::sleep(SPAN);
    for (what, node, before) in before {
        before.print(what, node);
    }
    let before = Sample::of(&peer);
    let size = fs::metadata(music.join("long.flac")).unwrap().len();
    play(&mut remote);
    thread::sleep(SETTLE);
    let arrived = Sample::of(&peer);
    thread::sleep(SPAN);
    arrived.print("a peer that plays", &peer);
    println!(
        "What it plays had {:.1} MB, came from another peer, and cost {:.1} MB written and {:.2} s of CPU.",
        mega(size),
        mega(arrived.written - before.written),
        arrived.cpu - before.cpu,
    );
}

/// Plays the long track, and waits until all of it is here.
fn play(remote: &mut Remote) {
    remote.run("p2p_play owner/long.flac");
    let deadline = Instant::now() + PATIENCE;
    while remote.value("p2p_status", "arrived").as_deref() != Some("1.000") {
        assert!(Instant::now() < deadline, "it never arrives");
        thread::sleep(Duration::from_millis(10));
    }
}

/// What a peer needs that only has the catalogue of `count` tracks.
fn swarm(here: &Path, count: usize) {
    let music = here.join(format!("library-{count}"));
    library(&music, count);
    let nodes = here.join("nodes");
    let _tracker = start(&nodes, "tracker", &format!("t{count}"), TRACKER, None);
    // Its index outlives the benchmark: reading it all again takes minutes.
    let owners = here.join("owners");
    let owner = start(&owners, "peer", &format!("o{count}"), TRACKER, Some(&music));
    owner.connect().wait_for_tracks(count);
    owner.settle();
    let peer = start(&nodes, "peer", &format!("p{count}"), TRACKER, None);
    let mut remote = peer.connect();
    remote.wait_for_tracks(count);
    peer.settle();
    println!(
        "\n{count} tracks in the swarm: an idle peer has {:.1} MB resident (wanted: {:.1}), their owner {:.1} MB.",
        mega(peer.usage().1),
        10.0 + count as f64 * 250.0 / 1e6,
        mega(owner.usage().1),
    );
    for question in [
        "search any \"length 777\"",
        "find artist \"Some Artist 7\"",
        "list album",
        "count genre Jazz",
    ] {
        let mut times: Vec<f64> = (0..5)
            .map(|_| {
                let (asked, _) = remote.run(question);
                asked.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        let median = support::percentile(&mut times, 0.5);
        println!("    {median:6.1} ms  {question}");
    }
}

/// Plays on one device: mpd first, then a peer that streams.
fn beside_mpd(here: &Path) -> Result<(), String> {
    let dir = here.join("beside");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let (device, _server) = match env::var(DEVICE) {
        Ok(device) => (device, None),
        Err(_) => ("default".into(), Some(Pulse::start(&dir)?)),
    };
    let music = here.join("long");
    println!("\nOn device {device}, {SPAN:?} of the same FLAC:");
    let (cpu, memory) = mpd(&dir, &music, &device)?;
    println!(
        "    mpd, from disk               {cpu:5.2} % CPU, {:.1} MB",
        mega(memory)
    );

    let nodes = dir.join("nodes");
    let _tracker = start(&nodes, "tracker", "tracker", TRACKER, None);
    let owner = start(&nodes, "peer", "owner", TRACKER, Some(&music));
    let peer = node(&nodes, "peer", "peer", TRACKER, None, &device);
    owner.settle();
    let mut remote = peer.connect();
    remote.wait_for_tracks(1);
    remote.run("setvol 100");
    let before = (Instant::now(), peer.usage().0);
    play(&mut remote);
    thread::sleep(SPAN.saturating_sub(before.0.elapsed()));
    let after = (Instant::now(), peer.usage().0);
    let share = |from: (Instant, f64), to: (Instant, f64)| {
        (to.1 - from.1) / (to.0 - from.0).as_secs_f64() * 100.0
    };
    println!(
        "    p2pmusic, while it arrives   {:5.2} % CPU",
        share(before, after)
    );
    thread::sleep(SPAN);
    let last = (Instant::now(), peer.usage().0);
    let state = remote.value("status", "state");
    if state.as_deref() != Some("play") {
        return Err(format!("the peer does not play on {device}"));
    }
    println!(
        "    p2pmusic, when it is here    {:5.2} % CPU, {:.1} MB",
        share(after, last),
        mega(peer.usage().1)
    );
    Ok(())
}

/// mpd's share of a CPU while it plays, in per cent, and its memory.
fn mpd(dir: &Path, music: &Path, device: &str) -> Result<(f64, u64), String> {
    let (socket, config) = (dir.join("mpd.sock"), dir.join("mpd.conf"));
    let text = format!(
        "music_directory {music:?}\ndb_file {:?}\nbind_to_address {socket:?}\n\
         auto_update \"no\"\nmixer_type \"none\"\n\
         audio_output {{\ntype \"alsa\"\nname \"a\"\ndevice {device:?}\n}}\n",
        dir.join("mpd.db"),
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new("mpd");
    command.args(["--no-daemon", "--stderr"]).arg(&config);
    let child = Ended(quiet(&mut command).map_err(|e| format!("mpd does not start: {e}"))?);
    wait_for("mpd's socket", || UnixStream::connect(&socket).is_ok())?;
    let mut remote = Remote::connect(&socket);
    remote.run("update");
    wait_for("mpd's database", || {
        remote.value("stats", "songs").as_deref() == Some("1")
    })?;
    remote.run("add long.flac");
    remote.run("play");
    wait_for("sound from mpd", || {
        let elapsed = remote.value("status", "elapsed");
        elapsed.is_some_and(|at| at.parse().unwrap_or(0.0) > 0.5)
    })?;
    let (before, begun) = (support::usage(child.0.id()).0, Instant::now());
    thread::sleep(SPAN);
    let (after, memory) = support::usage(child.0.id());
    Ok((
        (after - before) / begun.elapsed().as_secs_f64() * 100.0,
        memory,
    ))
}

/// A PulseAudio of our own, with one sink that plays to nobody.
struct Pulse {
    _server: Ended,
}

impl Pulse {
    /// Starts it and makes ALSA's `default` lead there.
    fn start(dir: &Path) -> Result<Self, String> {
        let plugins = Path::new("/usr/share/alsa/alsa.conf");
        if !plugins.exists() {
            return Err("there is no ALSA configuration".into());
        }
        let (socket, config) = (dir.join("pulse.sock"), dir.join("asound.conf"));
        let text = format!(
            "pcm.!default {{ type pulse server \"unix:{}\" hint {{ show on description \"bench\" }} }}\n",
            socket.display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("pulseaudio");
        command
            .args([
                "-n",
                "--daemonize=no",
                "--use-pid-file=no",
                "--exit-idle-time=-1",
            ])
            .args(["--load=module-null-sink rate=44100"])
            .arg(format!(
                "--load=module-native-protocol-unix auth-anonymous=1 socket={}",
                socket.display()
            ))
            .env("XDG_RUNTIME_DIR", dir)
            .env("HOME", dir);
        let server = quiet(&mut command);
        let server = Ended(server.map_err(|e| format!("pulseaudio does not start: {e}"))?);
        wait_for("pulseaudio", || UnixStream::connect(&socket).is_ok())?;
        env::set_var(
            ALSA_CONFIG,
            format!("{}:{}", plugins.display(), config.display()),
        );
        Ok(Self { _server: server })
    }
}

/// A program that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quiet(command: &mut Command) -> std::io::Result<Child> {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

fn wait_for(what: &str, mut here: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !here() {
        if Instant::now() > deadline {
            return Err(format!("{what} never came"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn start(dir: &Path, role: &str, name: &str, tracker: &str, music: Option<&Path>) -> Running {
    node(dir, role, name, tracker, music, "null")
}

fn node(
    dir: &Path,
    role: &str,
    name: &str,
    tracker: &str,
    music: Option<&Path>,
    device: &str,
) -> Running {
    let dir: PathBuf = dir.join(name);
    Node {
        dir: &dir,
        role,
        name,
        tracker,
        music,
        device,
        log: "info",
    }
    .start()
}

/// Three minutes of music-like FLAC, about 20 MB.
fn long_track(dir: &Path) {
    let path = dir.join("long.flac");
    if path.exists() {
        return;
    }
    fs::create_dir_all(dir).unwrap();
    let mut random = noise(3);
    let samples = (0..LONG_SECONDS * 44_100).flat_map(|n| {
        let tone = (f64::from(n) * 0.05).sin() * 8_000.0;
        [0, 1].map(|_| tone as i16 + (random() as i16 >> 4))
    });
    let pcm: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let part = dir.join("part");
    let to = part.to_str().unwrap();
    let input = ["-f", "s16le", "-ar", "44100", "-ac", "2", "-i", "-"];
    ffmpeg(&[&input[..], &["-f", "flac", to]].concat(), &pcm);
    fs::rename(part, path).unwrap();
}

/// A library of `count` FLACs of a tenth of a second, tagged as albums are.
fn library(dir: &Path, count: usize) {
    if dir.exists() {
        return;
    }
    let part = dir.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    fs::create_dir_all(&part).unwrap();
    let plain = part.with_extension("flac");
    let input = ["-f", "s16le", "-ar", "44100", "-ac", "2", "-i", "-"];
    let to = plain.to_str().unwrap();
    ffmpeg(&[&input[..], &[to]].concat(), &[0; 4 * 4_410]);
    let plain = fs::read(plain).unwrap();
    for n in 0..count {
        let (album, number) = (n / 12, n % 12 + 1);
        let (artist, year) = (album / 8, 1960 + album % 60);
        let dir = part.join(format!(
            "Some Artist {artist}/{year} - The Album No. {album}"
        ));
        if number == 1 {
            fs::create_dir_all(&dir).unwrap();
        }
        let tags = [
            format!("TITLE=A Song of Some Length {n}"),
            format!("ARTIST=Some Artist {artist}"),
            format!("ALBUMARTIST=Some Artist {artist}"),
            format!("ALBUM=The Album No. {album}"),
            format!("GENRE={}", ["Rock", "Jazz", "Classical"][artist % 3]),
            format!("DATE={year}-05-11"),
            format!("TRACKNUMBER={number}"),
        ];
        let name = format!("{number:02} - A Song of Some Length {n}.flac");
        fs::write(dir.join(name), tagged(&plain, &tags)).unwrap();
    }
    fs::rename(part, dir).unwrap();
}

/// A FLAC file with these comments and no others (RFC 9639, section 8).
fn tagged(flac: &[u8], tags: &[String]) -> Vec<u8> {
    let info = &flac[8..42];
    let mut at = 4;
    loop {
        let header = &flac[at..at + 4];
        at += 4 + u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        if header[0] & 0x80 != 0 {
            break;
        }
    }
    let mut comment = 0u32.to_le_bytes().to_vec();
    comment.extend((tags.len() as u32).to_le_bytes());
    for tag in tags {
        comment.extend((tag.len() as u32).to_le_bytes());
        comment.extend(tag.as_bytes());
    }
    let mut file = b"fLaC\0\0\0\x22".to_vec();
    file.extend(info);
    file.write_all(&(0x8400_0000 | comment.len() as u32).to_be_bytes())
        .unwrap();
    file.extend(comment);
    file.extend(&flac[at..]);
    file
}

/// The number behind `key` in a file of `/proc`.
fn number(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().parse().ok()
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Names the sound device beside mpd.
const DEVICE: &str = "P2PMUSIC_BENCH_DEVICE";
/// Where alsa-lib looks for its configuration.
const ALSA_CONFIG: &str = "ALSA_CONFIG_PATH";
const LONG_SECONDS: u32 = 180;
const SPAN: Duration = Duration::from_secs(20);
/// What has arrived is kept, and the queue saved, within this.
const SETTLE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);
/// Not the usual port, where a node may run.
const TRACKER: &str = "127.0.0.1:46972";
const OTHER_TRACKER: &str = "127.0.0.1:46973";
