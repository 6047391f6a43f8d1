//! A house full of speakers that start the same track at once, of which one box has a
//! copy: `cargo bench --features door --bench house`.
//!
//! Each box is in a network namespace of its own behind a switch, and can send 20 Mbit/s.
//! Side by side: listeners that are sent to each other, and the same listeners when the
//! holder serves all by itself. Without root, or namespaces, it says so and does nothing.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use support::{Remote, Running, BINARY};

fn main() {
    let houses = match House::build(1 + MOST) {
        Ok(house) => house,
        Err(why) => return println!("\nA house full of listeners: skipped, {why}."),
    };
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("house");
    let _ = fs::remove_dir_all(&here);
    fs::create_dir_all(here.join("music")).unwrap();
    fs::write(here.join("music/track.wav"), wav()).unwrap();
    println!(
        "\n{:.0} MB of WAV (1.4 Mbit/s) from one holder to N listeners that start at once; each \
         box sends {RATE} at most.\n\
         First sound and all of it here: the first listener / the last one.\n\n\
         | N | | sent by the holder | first sound | all of it here |\n\
         | --- | --- | --- | --- | --- |",
        f64::from(BYTES) / 1e6
    );
    for count in [1, 2, 4, MOST] {
        for alone in [true, false] {
            let found = houses.run(&here, count, alone);
            let what = if alone { "holder alone" } else { "each other" };
            println!("| {count} | {what} | {found} |");
        }
    }
}

/// Namespaces around a switch; removed with it.
struct House {
    switch: String,
    boxes: Vec<String>,
}

impl House {
    fn build(count: usize) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("namespaces can be made by root only".into());
        }
        let name = |what: &str| format!("p2pmusic-{}{what}", std::process::id());
        let house = Self {
            switch: name("s"),
            boxes: (0..count).map(|n| name(&n.to_string())).collect(),
        };
        run(&format!("ip netns add {}", house.switch))?;
        let s = &house.switch;
        run(&format!("ip -n {s} link add lan type bridge"))?;
        run(&format!("ip -n {s} link set lan up"))?;
        for (n, name) in house.boxes.iter().enumerate() {
            run(&format!("ip netns add {name}"))?;
            run(&format!(
                "ip link add wire netns {name} type veth peer name port{n} netns {s}"
            ))?;
            run(&format!("ip -n {s} link set port{n} master lan up"))?;
            run(&format!("ip -n {name} link set lo up"))?;
            run(&format!(
                "ip -n {name} address add {}/24 dev wire",
                address(n)
            ))?;
            run(&format!("ip -n {name} link set wire up"))?;
            run(&format!(
                "tc -n {name} qdisc add dev wire root tbf rate {RATE} burst 32kb latency 50ms"
            ))?;
        }
        Ok(house)
    }

    /// Starts a holder and `count` listeners, and has all play at once.
    fn run(&self, here: &Path, count: usize, alone: bool) -> Found {
        let dir = here.join(format!("{count}-{alone}"));
        let music = here.join("music");
        let holder = self.start(&dir, 0, Some(&music), alone);
        let listeners: Vec<Running> = (1..=count)
            .map(|n| self.start(&dir, n, None, alone))
            .collect();
        let mut remotes: Vec<Remote> = listeners.iter().map(Running::connect).collect();
        remotes.iter_mut().for_each(|r| r.wait_for_tracks(1));
        holder.settle();
        let before = self.sent_by(0);
        let begun = Instant::now();
        for remote in &mut remotes {
            remote.run("p2p_play box-0/track.wav");
        }
        let mut whole: Vec<Option<Duration>> = vec![None; count];
        while whole.iter().any(Option::is_none) {
            assert!(begun.elapsed() < PATIENCE, "it never arrives");
            for (remote, whole) in remotes.iter_mut().zip(&mut whole) {
                let mut arrived = || remote.value("p2p_status", "arrived");
                if whole.is_none() && arrived().as_deref() == Some("1.000") {
                    *whole = Some(begun.elapsed());
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        let sent = self.sent_by(0) - before;
        let sounds = remotes.iter_mut().map(|remote| {
            let seconds = remote.value("p2p_status", "first_sound");
            seconds.and_then(|s| s.parse().ok()).unwrap_or(f64::NAN)
        });
        Found {
            times: sent as f64 / f64::from(BYTES),
            sounds: sounds.collect(),
            whole: whole
                .into_iter()
                .flatten()
                .map(|t| t.as_secs_f64())
                .collect(),
        }
    }

    fn start(&self, dir: &Path, n: usize, music: Option<&PathBuf>, alone: bool) -> Running {
        let dir = dir.join(n.to_string());
        fs::create_dir_all(&dir).unwrap();
        let role = if n == 0 { "both" } else { "peer" };
        let tracker = format!("{}:4670", address(0));
        let music = music.map_or_else(String::new, |dir| format!("music = [{dir:?}]"));
        let config = format!(
            "role = {role:?}\nname = \"box-{n}\"\nstate_dir = {state:?}\n\
             [tracker]\nadvertise = false\n[peer]\ntracker = {tracker:?}\n{music}\n\
             [cache]\ndir = {cache:?}\n[audio]\ndevice = \"null\"\n\
             [control]\nsocket = {socket:?}\n[log]\nlevel = {LOG:?}\n",
            state = dir.join("state"),
            cache = dir.join("cache"),
            socket = dir.join("ctl.sock"),
        );
        let file = dir.join("p2pmusic.toml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.boxes[n], BINARY, "run", "--config"]);
        command.arg(file);
        if alone {
            command.env("P2PMUSIC_BENCH_ALONE", "1");
        }
        Running::start(command, dir.join("ctl.sock"))
    }

    /// Bytes that a box has put on its line.
    fn sent_by(&self, n: usize) -> u64 {
        let name = &self.boxes[n];
        let bytes = run(&format!(
            "ip netns exec {name} cat /sys/class/net/wire/statistics/tx_bytes"
        ));
        bytes.unwrap().trim().parse().unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for name in self.boxes.iter().chain([&self.switch]) {
            // It may not have come to be.
            let _ = run(&format!("ip netns delete {name}"));
        }
    }
}

/// What came of one run, in seconds.
struct Found {
    times: f64,
    sounds: Vec<f64>,
    whole: Vec<f64>,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ends = |values: &[f64]| {
            let least = values.iter().copied().fold(f64::NAN, f64::min);
            (least, values.iter().copied().fold(f64::NAN, f64::max))
        };
        let ((soon, late), (first, last)) = (ends(&self.sounds), ends(&self.whole));
        write!(
            f,
            "{:.2} times | {soon:.2} / {late:.2} s | {first:.1} / {last:.1} s",
            self.times
        )
    }
}

fn address(n: usize) -> String {
    format!("10.96.0.{}", n + 1)
}

/// Runs a command and gives what it says; else why it failed.
fn run(line: &str) -> Result<String, String> {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program)
        .args(words)
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// Noise, 16 bits, stereo, 44.1 kHz.
fn wav() -> Vec<u8> {
    let data = BYTES - 44;
    let mut bytes = Vec::with_capacity(BYTES as usize);
    bytes.extend(b"RIFF");
    bytes.extend((data + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    bytes.extend(44_100u32.to_le_bytes());
    bytes.extend(176_400u32.to_le_bytes());
    bytes.extend(b"\x04\0\x10\0data");
    bytes.extend(data.to_le_bytes());
    let mut random = support::noise(7);
    bytes.extend((0..data / 2).flat_map(|_| random().to_le_bytes()));
    bytes
}

/// More than a minute of it.
const BYTES: u32 = 12_000_000;
/// Poor for a cable, good for Wi-Fi through a wall.
const RATE: &str = "20mbit";
/// Speakers in a full house.
const MOST: usize = 8;
const LOG: &str = "info";
const PATIENCE: Duration = Duration::from_secs(180);
