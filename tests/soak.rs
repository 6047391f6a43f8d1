//! A week in an hour: `make soak MINUTES=30`.
//!
//! Six real peers and a tracker under a seeded shower of what people, cables and
//! power supplies do to them. Two of the peers are never ended: their memory,
//! descriptors and threads are sampled, and must not have grown between the
//! first third of the samples and the last. At the end everything must be as
//! quiet, as truthful and as bit-exact as at the start.
//!
//! `P2PMUSIC_SEED=7` repeats a run, as far as real processes can be repeated.

mod common;

use std::{
    env, fs,
    io::Write as _,
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use common::{
    audio::{self, Music},
    mpd::Mpd,
    usage::{median, Sample},
    Node, Setup,
};

#[test]
#[ignore = "takes as long as it is told: `make soak MINUTES=30`"]
fn a_week_in_an_hour() {
    let minutes = number("MINUTES").unwrap_or(5);
    let seed = number("P2PMUSIC_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{minutes} minutes, P2PMUSIC_SEED={seed}");
    let mut soak = Soak::begin(seed);
    let span = Duration::from_secs(60 * minutes);
    let interval = (span / SAMPLES).clamp(Duration::from_secs(5), Duration::from_secs(30));
    let begun = Instant::now();
    let mut due = begun + interval;
    println!(
        "{:>7} {:>7}  node     RSS/MB  descriptors  threads",
        "second", "deeds"
    );
    while begun.elapsed() < span {
        soak.do_something();
        if Instant::now() >= due {
            due += interval;
            soak.sample(begun.elapsed());
        }
    }
    soak.settle();
    soak.play_bit_exactly();
    soak.judge();
}

/// A peer with its music.
struct Player {
    name: &'static str,
    music: Music,
    /// Always there but within [`Soak::change_node`].
    node: Option<Node>,
    is_up: bool,
    /// The frames of the file that nobody touches.
    refrain: Vec<[i16; 2]>,
    samples: Vec<Sample>,
}

struct Soak {
    random: u64,
    tracker: Option<Node>,
    players: Vec<Player>,
    /// Control clients that have said half a word.
    dawdlers: Vec<UnixStream>,
    deeds: u64,
    files: u64,
    /// Errors in the logs of processes that have ended.
    errors: Vec<String>,
}

impl Soak {
    fn begin(seed: u64) -> Self {
        // An address of its own, so that its port can be had again.
        let at = Some("127.0.0.77:0".to_owned());
        let listen = at.clone();
        let tracker = Setup {
            listen,
            ..Setup::tracker()
        };
        let tracker = tracker.start();
        let player = |name| {
            let music = Music::new();
            music.wav("first.wav", RATE, 4.0);
            music.wav("album/second.wav", RATE, 9.0);
            music.encode("album/second.wav", "album/third.flac", &[]);
            let refrain = music.wav(&refrain(name), RATE, 3.0);
            let setup = Setup {
                listen: at.clone(),
                ..Setup::peer(name, &tracker)
            };
            Player {
                name,
                node: Some(setup.music(music.path()).recorded().start()),
                music,
                is_up: true,
                refrain,
                samples: Vec::new(),
            }
        };
        let players: Vec<Player> = NAMES.into_iter().map(player).collect();
        for player in &players {
            player.node().wait_for_peers(&NAMES);
            player.mpd().ask("setvol 100");
        }
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            tracker: Some(tracker),
            players,
            dawdlers: Vec::new(),
            deeds: 0,
            files: 0,
            errors: Vec::new(),
        }
    }

    fn do_something(&mut self) {
        self.deeds += 1;
        let who = self.below(self.players.len());
        let is_guest = who >= RESIDENTS;
        if !self.players[who].is_up {
            if self.below(3) == 0 {
                self.restart(who);
            }
            return;
        }
        match self.below(100) {
            0..=54 => self.touch_the_remote(who),
            55..=69 => self.change_files(who),
            70..=77 => self.dawdle(who),
            78..=82 => self.players[who].node().signal("HUP"),
            83..=89 if is_guest => self.restart(who),
            90..=93 if is_guest => self.end(who),
            94..=95 if is_guest => {
                self.players[who].node().ctl_ok(&["leave"]);
                self.end(who);
            }
            96 => {
                self.tracker = self.tracker.take().map(|node| {
                    self.errors.extend(errors(&node));
                    node.restart()
                });
            }
            _ => {}
        }
        let rest = self.below(200) as u64;
        thread::sleep(Duration::from_millis(rest));
    }

    /// What people do.
    fn touch_the_remote(&mut self, who: usize) {
        let whose = NAMES[self.below(NAMES.len())];
        let second = self.below(9);
        let command = match self.below(13) {
            0 | 1 => format!("p2p_play {whose}/album/second.wav"),
            2 => format!("add {whose}/album"),
            3 => format!("add {whose}/first.wav"),
            4 => "play".into(),
            5 => "next".into(),
            6 => "previous".into(),
            7 => format!("seekcur {second}"),
            8 => "pause".into(),
            9 => "clear".into(),
            10 => "search any s".into(),
            11 => "listallinfo".into(),
            _ => "update".into(),
        };
        // Refusals are answers, too: a peer may be away, the queue empty.
        self.players[who].mpd().ask(&command);
    }

    /// Files come, go and change their names.
    fn change_files(&mut self, who: usize) {
        let dir = self.players[who].music.path().join("changing");
        fs::create_dir_all(&dir).unwrap();
        let there: Vec<_> = fs::read_dir(&dir).unwrap().map(|f| f.unwrap()).collect();
        self.files += 1;
        let name = format!("changing/file {}.wav", self.files);
        let which = self.below(there.len().max(1));
        match (there.get(which), self.below(3)) {
            (Some(file), 0) => {
                fs::rename(file.path(), self.players[who].music.path().join(name)).unwrap();
            }
            (Some(file), 1) => fs::remove_file(file.path()).unwrap(),
            (_, _) if there.len() < MAX_FILES => {
                self.players[who].music.wav(&name, RATE, 1.0);
            }
            (Some(file), _) => fs::remove_file(file.path()).unwrap(),
            (None, _) => {}
        }
    }

    /// A control client that hangs up in the middle of a word, of an answer, or
    /// some deeds later.
    fn dawdle(&mut self, who: usize) {
        let mut client = UnixStream::connect(self.players[who].node().socket()).unwrap();
        let text: &[u8] = match self.below(3) {
            0 => b"search any",
            1 => b"listallinfo\nlistallinfo\nlistallinfo\n",
            _ => b"idle\n",
        };
        client.write_all(text).unwrap();
        self.dawdlers.push(client);
        if self.dawdlers.len() > MAX_DAWDLERS {
            let which = self.below(self.dawdlers.len());
            self.dawdlers.swap_remove(which);
        }
    }

    /// As after a pulled plug, unless it was ended before.
    fn restart(&mut self, who: usize) {
        self.note_errors(who);
        let player = &mut self.players[who];
        player.node = player.node.take().map(Node::restart);
        player.is_up = true;
    }

    /// Ends it politely.
    fn end(&mut self, who: usize) {
        let player = &mut self.players[who];
        let node = player.node.as_mut().unwrap();
        node.signal("TERM");
        let status = node.wait_for_exit();
        assert!(status.success(), "{}: {status}", player.name);
        player.is_up = false;
    }

    fn note_errors(&mut self, who: usize) {
        let found = errors(self.players[who].node());
        self.errors.extend(found);
    }

    /// At a moment of rest, or what is under way just then would be counted.
    fn sample(&mut self, at: Duration) {
        self.dawdlers.clear();
        for player in &mut self.players[..RESIDENTS] {
            player.mpd().ask("stop");
            let sample = Sample::at_rest(player.node());
            println!(
                "{:>7} {:>7}  {:<8} {:>6.1}  {:>11}  {:>7}",
                at.as_secs(),
                self.deeds,
                player.name,
                sample.rss as f64 / 1024.0,
                sample.descriptors,
                sample.threads,
            );
            player.samples.push(sample);
        }
    }

    /// Everybody comes back, and all is as it was.
    fn settle(&mut self) {
        self.dawdlers.clear();
        for who in 0..self.players.len() {
            if !self.players[who].is_up {
                self.restart(who);
            }
            let _ = fs::remove_dir_all(self.players[who].music.path().join("changing"));
            let mut mpd = self.players[who].mpd();
            for command in ["stop", "clear", "update", "setvol 100"] {
                mpd.pairs(command);
            }
        }
        for player in &self.players {
            player.node().wait_until_registered();
            player.node().wait_for_peers(&NAMES);
            for name in NAMES {
                player.node().wait_for_tracks(name, 4);
            }
        }
    }

    /// Each plays what its neighbour has, and not one frame is another.
    fn play_bit_exactly(&self) {
        for (n, player) in self.players.iter().enumerate() {
            let theirs = &self.players[(n + 1) % self.players.len()];
            let file = format!("{}/{}", theirs.name, refrain(theirs.name));
            player.node().ctl_ok(&["play", &file]);
            player.node().wait_for_end();
            let heard = audio::read_wav(&player.node().recording()).1;
            let start = heard.len().saturating_sub(theirs.refrain.len());
            audio::assert_same(&heard[start..], &theirs.refrain);
        }
    }

    /// Fails, in words, where something has grown or gone wrong.
    fn judge(mut self) {
        for who in 0..self.players.len() {
            self.note_errors(who);
        }
        self.errors.extend(self.tracker.iter().flat_map(errors));
        let mut complaints = std::mem::take(&mut self.errors);
        for player in &self.players[..RESIDENTS] {
            complaints.extend(growth(player.name, &player.samples));
        }
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
        println!("{} deeds, and nothing has grown.", self.deeds);
    }

    /// A number below `bound`: xorshift.
    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) as usize % bound
    }
}

impl Player {
    fn node(&self) -> &Node {
        self.node
            .as_ref()
            .expect("it is taken out only to be restarted")
    }

    fn mpd(&self) -> Mpd {
        Mpd::connect(&self.node().socket())
    }
}

/// What has grown from the first third of the samples, without the very first
/// ones, to the last.
fn growth(name: &str, samples: &[Sample]) -> Vec<String> {
    let samples = &samples[samples.len() / WARM_UP..];
    let third = samples.len() / 3;
    assert!(third > 0, "too short: {} samples", samples.len());
    let (early, late) = (&samples[..third], &samples[samples.len() - third..]);
    type Figure = (&'static str, fn(&Sample) -> u64, Slack);
    let compare = |(what, of, slack): Figure| {
        let (early, late) = (median(early, of), median(late, of));
        println!("{name}: {what} {early} early, {late} late");
        let allowed = early + early * slack.percent / 100 + slack.more;
        (late > allowed).then(|| format!("{name}: {what} grew from {early} to {late}"))
    };
    let figures: [Figure; 3] = [
        ("KiB of memory", |s| s.rss, MEMORY),
        ("descriptors", |s| s.descriptors, FLAT),
        ("threads", |s| s.threads, FLAT),
    ];
    figures.into_iter().filter_map(compare).collect()
}

/// What a figure may grow by.
struct Slack {
    percent: u64,
    more: u64,
}

/// What no log should have.
fn errors(node: &Node) -> Vec<String> {
    let log = node.log();
    let bad = |line: &&str| line.contains(" ERROR ") || line.contains("panicked at");
    log.lines().filter(bad).map(str::to_owned).collect()
}

/// The file of a peer that nobody touches.
fn refrain(name: &str) -> String {
    format!("refrain of {name}.wav")
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// The first of them stay; the others come and go.
const NAMES: [&str; 6] = ["kitchen", "attic", "bath", "cellar", "porch", "hall"];
const RESIDENTS: usize = 2;
const RATE: u32 = 44_100;
/// In a peer's changing directory.
const MAX_FILES: usize = 8;
/// Control clients that hang about.
const MAX_DAWDLERS: usize = 6;
/// As many as are taken at least, unless the run is very short.
const SAMPLES: u32 = 30;
/// One in so many samples, the first ones, does not count: caches fill.
const WARM_UP: usize = 6;
/// A client, a file, a helper of the pool that is about to go.
const FLAT: Slack = Slack {
    percent: 0,
    more: 2,
};
/// In KiB: the allocator does not give back all at once.
const MEMORY: Slack = Slack {
    percent: 10,
    more: 2048,
};

#[test]
fn what_grows_is_noticed() {
    let sample = |n: u64| Sample {
        rss: 20_000 + 300 * n,
        descriptors: 30 + n / 4,
        threads: 12 + n % 3,
    };
    let samples: Vec<Sample> = (0..30).map(sample).collect();
    let grown = growth("attic", &samples);
    assert_eq!(grown.len(), 2, "memory and descriptors: {grown:?}");
    assert_eq!(growth("attic", &[sample(1); 30]), [""; 0]);
}
