//! What the node lets be seen of itself.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    plays::Waits,
    roster::Roster,
    tracker_state::{listed, TrackerState},
    Interfaces, MachineReport, Node,
};
use crate::{
    audio::{PlayId, PlayerEvent},
    catalog::Database,
    command::view::{DeviceView, LibraryView, MissedView, NodeView, PeerView},
    id::{PeerId, TrackId},
    playback::{
        queue::{Queue, QueueItem},
        transport::PlayState,
    },
    protocol::{OlderNodes, PeerRecord, PeerState, OLDER},
    swarm::scheduler::StartBuffer,
};

/// What no room of the node keeps, but a person may want to know.
#[derive(Debug, Default)]
pub struct NodeFacts {
    pub tracker: TrackerState,
    pub devices: Vec<DeviceView>,
    pub scanning: bool,
    /// What the last scan left out.
    pub library: LibraryView,
    /// Scans so far.
    pub scan_number: u32,
    /// The latest ones, in words.
    problems: Vec<String>,
    /// What a person must know of the configuration.
    pub notices: Vec<String>,
    /// Whether this machine has no network.
    pub is_offline: bool,
    /// Its interfaces that are too narrow for QUIC, in words.
    narrow: Vec<String>,
    output: OutputState,
    /// What was found wrong at the start.
    found: Vec<String>,
    /// Why queue and volume cannot be remembered.
    pub forgetful: Option<String>,
    /// What became of the identity on its disk.
    pub identity: Option<String>,
    /// Which nodes of an older version were met lately.
    older: OlderNodes,
    /// Why what is played is not kept, if it is not.
    pub unkept: Option<String>,
    /// Why the file of counters is not written.
    pub unwritten: Option<String>,
    /// The name of the device that was opened last.
    open_device: String,
    /// How long it has played, without what plays now, and since when that does.
    played: Duration,
    playing_since: Option<Instant>,
    /// Whether the database has changed since its date was last asked for.
    database_is_new: bool,
    db_update: i64,
}

#[derive(Debug, Default)]
enum OutputState {
    #[default]
    Closed,
    Open(String),
    Lost(String),
}

impl NodeFacts {
    /// `found` is what was found wrong at the start.
    pub fn new(interfaces: &Interfaces, found: Vec<String>) -> Self {
        Self {
            is_offline: interfaces.are_down,
            narrow: narrow_in_words(interfaces),
            found,
            ..Self::default()
        }
    }

    pub fn handle_interfaces(&mut self, interfaces: &Interfaces) {
        self.is_offline = interfaces.are_down;
        self.narrow = narrow_in_words(interfaces);
    }

    pub fn handle_machine(&mut self, report: MachineReport) {
        match report {
            MachineReport::Remembered(kept) => self.forgetful = kept.err(),
            MachineReport::IdentityLost(notice) => self.identity = notice,
            MachineReport::CacheBroken(why) => self.unkept = Some(why),
            MachineReport::CacheMended => self.unkept = None,
            MachineReport::StatsWritten(written) => self.unwritten = written.err(),
            MachineReport::Devices(devices) => self.devices = devices,
        }
    }

    /// A node of an older version was met.
    pub fn handle_older(&mut self, at: IpAddr, now: Instant) {
        if self.older.handle_call(at, now) {
            log::warn!("{at}: {OLDER}");
        }
    }

    pub fn scan_started(&mut self, whole: bool) {
        self.scanning = true;
        self.scan_number += 1;
        if whole {
            self.problems.clear();
        }
    }

    pub fn add_problem(&mut self, what: String) {
        if self.problems.len() < MAX_PROBLEMS && !self.problems.contains(&what) {
            self.problems.push(what);
        }
    }

    /// Whether the player plays now, neither stopped nor paused.
    pub fn handle_sounding(&mut self, sounds: bool, now: Instant) {
        match (self.playing_since, sounds) {
            (None, true) => self.playing_since = Some(now),
            (Some(since), false) => {
                self.played += now.saturating_duration_since(since);
                self.playing_since = None;
            }
            _ => {}
        }
    }

    fn playtime(&self, now: Instant) -> Duration {
        let current = self
            .playing_since
            .map(|since| now.saturating_duration_since(since));
        self.played + current.unwrap_or_default()
    }

    pub fn database_changed(&mut self) {
        self.database_is_new = true;
    }

    pub fn handle_player(&mut self, event: &PlayerEvent) {
        match event {
            PlayerEvent::DeviceOpen {
                what,
                rate,
                channels,
                format,
                resampled,
            } => {
                let exact = if *resampled { ", resampled" } else { "" };
                self.open_device.clone_from(what);
                self.output = OutputState::Open(format!(
                    "{what}, {rate} Hz, {channels} channels, {format}{exact}"
                ));
            }
            PlayerEvent::DeviceLost { why } => self.output = OutputState::Lost(why.clone()),
            PlayerEvent::DeviceBack => self.output = OutputState::Closed,
            _ => {}
        }
    }
}

impl Node {
    /// The node, at so many seconds since 1970.
    pub(super) fn view(&mut self, wall_clock: i64, now: Instant) -> NodeView {
        if std::mem::take(&mut self.facts.database_is_new) {
            self.facts.db_update = wall_clock;
        }
        let playing = self.transport.play_id();
        let peers = self.peer_views();
        let arrived = playing.and_then(|play| self.plays.arrived(play));
        NodeView {
            peer: self.me,
            name: self.others.roster.own_name().clone(),
            role: self.role,
            standing: self.facts.tracker.standing(),
            tracker: self.tracker_in_words(),
            output: self.facts.output_in_words(),
            left_out: self.facts.library.left_out,
            peers: 1 + self.others.roster.count_here(),
            tracks: peers.iter().map(|peer| peer.tracks).sum(),
            arrived: arrived.map(|a| a.groups as f32 / a.of.max(1) as f32),
            waits_for: self.waits_for(playing, now),
            missed: self
                .vigil
                .waits(&self.transport, &self.plays, now)
                .map(|waits| MissedView {
                    reason: waits.missed,
                    peer: waits.name,
                    since: now.saturating_duration_since(waits.since),
                }),
            sources: playing
                .map(|play| self.source_names(play))
                .unwrap_or_default(),
            first_sound: self.stats.sound.latest(),
            no_sound: match &self.facts.output {
                OutputState::Lost(why) => Some(why.clone()),
                OutputState::Closed | OutputState::Open(_) => None,
            },
            problems: self.problems_in_words(now),
            uptime: self.stats.uptime(now),
            playtime: self.facts.playtime(now),
            db_update: self.facts.db_update,
            updating: self.facts.scanning.then_some(self.facts.scan_number),
        }
    }

    /// All known peers, this node first.
    pub(super) fn peer_views(&self) -> Vec<PeerView> {
        let own = (self.me, self.others.roster.own_name());
        peer_views(Some(own), &self.others.roster, &self.database)
    }

    /// What the sound waits for, in words.
    fn waits_for(&self, playing: Option<PlayId>, now: Instant) -> Option<String> {
        if let Some(Waits {
            name,
            missed,
            since,
        }) = self.vigil.waits(&self.transport, &self.plays, now)
        {
            let seconds = now.saturating_duration_since(since).as_secs();
            return Some(format!("{name}, which {missed}, since {seconds} s"));
        }
        self.plays.start_buffer(playing?, now).map(in_words)
    }

    fn problems_in_words(&self, now: Instant) -> Vec<String> {
        let mut problems = self.facts.problems_in_words();
        problems.extend(self.facts.older.problems(now));
        let left_out = self
            .others
            .catalogues
            .left_out_in_words(|peer| name_of(peer, &self.database, &self.others.roster));
        problems.extend(left_out.take(MAX_PROBLEMS));
        let is_told = self.facts.tracker.is_registered();
        let clash = self.others.roster.clash();
        problems.extend(clash.filter(|_| self.name_is_chosen && !is_told));
        problems.extend(self.stats.traffic.lies_in_words(now));
        problems
    }

    /// How the node stands with its tracker, and how it goes on without one.
    fn tracker_in_words(&self) -> String {
        let mut tracker = self.facts.tracker.in_words();
        if let TrackerState::Registered { at, .. } = &self.facts.tracker {
            let named = at.iter().map(|at| format!("{at}{}", self.speaker_at(*at)));
            tracker = format!("registered with {}", listed(&named.collect::<Vec<_>>()));
        }
        if !self.others.roster.is_alone() {
            return tracker;
        }
        match self.others.roster.count_here() {
            0 => tracker,
            1 => format!("{tracker}; 1 peer found without it"),
            count => format!("{tracker}; {count} peers found without it"),
        }
    }

    /// The speaker at an address, in brackets, if that is one alone: people know names. On
    /// this machine itself several nodes are several speakers.
    fn speaker_at(&self, at: IpAddr) -> String {
        if at.is_loopback() {
            return String::new();
        }
        let is_there = |record: &&PeerRecord| {
            let addresses = self.others.roster.addresses(record.peer);
            addresses.iter().any(|address| address.ip() == at)
        };
        let mut there = self.others.roster.iter().filter(is_there);
        match (there.next(), there.next()) {
            (Some(record), None) => format!(" ({})", record.name),
            _ => String::new(),
        }
    }

    fn source_names(&self, play: PlayId) -> Vec<Arc<str>> {
        let sources = self.plays.sources(play).into_iter();
        sources
            .filter_map(|peer| Some(self.database.member(peer)?.name.clone()))
            .collect()
    }

    /// What this node does, in a line for the service manager.
    pub fn summary(&self) -> String {
        let playing = match self.transport.state() {
            PlayState::Stop => "stopped",
            PlayState::Pause => "paused",
            PlayState::Play => "playing",
        };
        let item = self.queue.cursor().and_then(|id| self.queue.get(id));
        let what = match (self.transport.state(), item) {
            (PlayState::Play | PlayState::Pause, Some(item)) => {
                format!(" {}/{}", item.info.owner, item.path)
            }
            _ => String::new(),
        };
        let names = self.others.roster.iter().map(|record| &*record.name);
        let sees = in_few_words(names, self.others.roster.iter().count());
        let tracker = self.tracker_in_words();
        let problems = self.facts.problems_in_words();
        let problem = problems.first().map(|what| format!("; problem: {what}"));
        let problem = problem.unwrap_or_default();
        format!("{playing}{what}; sees {sees}; tracker: {tracker}{problem}")
    }
}

/// The contents of the queue, as far as anybody knows them. At most as many as the
/// queue takes, [`crate::playback::queue::MAX_QUEUE`].
pub(super) fn queued(queue: &Queue, database: &Database) -> Vec<TrackId> {
    let items = queue.slots().iter().map(|slot| &slot.item);
    let listed = |item: &QueueItem| database.find_at(item.peer, &item.path)?.listed.track;
    items
        .filter_map(|item| item.track.or_else(|| listed(item)))
        .collect()
}

/// What a peer is called; its id in few digits where nobody has told.
pub(super) fn name_of(peer: PeerId, database: &Database, roster: &Roster) -> Arc<str> {
    let member = database.known(peer);
    let known = member.map(|member| member.name.clone());
    known.unwrap_or_else(|| {
        let mut records = roster.iter();
        match records.find(|record| record.peer == peer) {
            Some(record) => record.name.as_str().into(),
            None => peer.to_string().into(),
        }
    })
}

/// What sound waits for.
fn in_words(lead: StartBuffer) -> String {
    let whole = |time: Duration| time.as_secs_f64().ceil();
    let (here, needed) = (lead.here.as_secs(), whole(lead.needed));
    let kilobytes = |bytes: u64| bytes / 1000;
    let bitrate = kilobytes(lead.bitrate);
    let arriving = kilobytes(lead.arriving);
    format!(
        "{needed} s of sound, of which {here} s are here: {arriving} kB/s arrive, and it takes {bitrate}"
    )
}

/// All peers of `roster`, after this node itself if that is one: `own` is
/// its id and name.
pub(super) fn peer_views(
    own: Option<(PeerId, &Arc<str>)>,
    roster: &Roster,
    database: &Database,
) -> Vec<PeerView> {
    let tracks = |peer| match database.member(peer) {
        Some(member) => member.catalogue.listed_count(),
        None => 0,
    };
    let own = own.map(|(peer, name)| PeerView {
        peer,
        name: name.clone(),
        address: None,
        state: PeerState::Up,
        tracks: tracks(peer),
        own: true,
    });
    let others = roster.iter().map(|record| PeerView {
        peer: record.peer,
        name: record.name.as_str().into(),
        address: roster.addresses(record.peer).first().copied(),
        state: record.state,
        tracks: tracks(record.peer),
        own: false,
    });
    own.into_iter().chain(others).collect()
}

/// The first of `count` names, and how many more there are.
pub fn in_few_words<'a>(names: impl Iterator<Item = &'a str>, count: usize) -> String {
    let first: Vec<&str> = names.take(MAX_NAMES).collect();
    match count - first.len() {
        _ if count == 0 => "nobody".into(),
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

impl NodeFacts {
    pub(super) fn device_views(&self) -> Vec<DeviceView> {
        let is_open = matches!(self.output, OutputState::Open(_));
        let mut devices = self.devices.clone();
        for device in &mut devices {
            device.in_use = is_open && device.name == self.open_device;
        }
        devices
    }

    fn output_in_words(&self) -> String {
        match &self.output {
            OutputState::Closed => "closed, nothing plays".into(),
            OutputState::Open(what) => what.clone(),
            OutputState::Lost(why) => format!("lost: {why}"),
        }
    }

    pub(super) fn problems_in_words(&self) -> Vec<String> {
        let no_sound = match &self.output {
            OutputState::Lost(why) => Some(format!("no sound: {why}")),
            OutputState::Closed | OutputState::Open(_) => None,
        };
        let offline = self.is_offline.then(|| OFFLINE.to_owned());
        let unkept = self.unkept.as_ref();
        let unkept = unkept.map(|why| format!("what is played is not kept: {why}"));
        let now = [
            no_sound,
            offline,
            self.tracker.problem(),
            unkept,
            self.identity.clone(),
            self.forgetful.clone(),
            self.unwritten.clone(),
        ];
        let music = self.narrow.iter().chain(&self.problems).cloned();
        let music = music.chain(self.tracker.troubles().iter().cloned());
        let rest = self.notices.iter().chain(&self.found).cloned();
        now.into_iter().flatten().chain(music).chain(rest).collect()
    }
}

fn narrow_in_words(interfaces: &Interfaces) -> Vec<String> {
    let narrow = interfaces.narrow.iter();
    narrow
        .map(|(name, mtu)| {
            format!(
                "{name} takes packets of at most {mtu} bytes (MTU), and music needs 1,280 or \
                 more: `sudo ip link set {name} mtu 1500`"
            )
        })
        .collect()
}

/// As many as fit into the line that `systemctl status` shows.
const MAX_NAMES: usize = 5;
const OFFLINE: &str = "no network: this machine has no address by which others could reach it; \
    see to its cable or Wi-Fi, all goes on by itself then";
/// More sentences than anyone reads.
const MAX_PROBLEMS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let of = |count| in_few_words(names[..count].iter().copied(), count);
        assert_eq!(of(0), "nobody");
        assert_eq!(of(2), "a, b");
        assert_eq!(of(7), "a, b, c, d, e and 2 more");
    }

    #[test]
    fn the_most_urgent_problem_is_first() {
        let mut facts = NodeFacts::new(
            &Interfaces::default(),
            vec!["queue and volume begin anew".into()],
        );
        facts.add_problem("/srv/music: it is empty".into());
        facts.unkept = Some("the disk is full".into());
        facts.tracker = TrackerState::Lost {
            to: "attic".into(),
            why: "timed out".into(),
        };
        facts.handle_player(&PlayerEvent::DeviceLost { why: "busy".into() });
        let all = [
            "no sound: busy",
            "no tracker: attic: timed out",
            "what is played is not kept: the disk is full",
            "/srv/music: it is empty",
            "queue and volume begin anew",
        ];
        assert_eq!(facts.problems_in_words(), all);
        facts.handle_player(&PlayerEvent::DeviceBack);
        facts.unkept = None;
        assert_eq!(facts.problems_in_words(), [all[1], all[3], all[4]]);
    }

    #[test]
    fn playtime_leaves_pauses_out() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut facts = NodeFacts::default();
        facts.handle_sounding(true, at(1));
        facts.handle_sounding(true, at(3));
        facts.handle_sounding(false, at(4));
        assert_eq!(facts.playtime(at(9)), Duration::from_secs(3));
        facts.handle_sounding(true, at(10));
        assert_eq!(facts.playtime(at(12)), Duration::from_secs(5));
    }
}
