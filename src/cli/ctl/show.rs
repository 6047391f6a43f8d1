//! What people see.

use std::{fmt::Write as _, time::Duration};

use super::{
    json::peer_state,
    screen::{count, fit, Column, Screen},
};
use crate::{
    catalog::Tag,
    command::{
        song::{SongRef, SongView},
        view::{DeviceView, LeftOutView, LibraryView, PeerView, QueuedView, StateView},
        Chosen, Row,
    },
    control::mpd::print::audio_format,
    playback::{
        queue::{QueueId, Single},
        transport::PlayState,
    },
};

/// What plays and how the node is.
#[derive(Debug)]
pub(super) struct Scene {
    pub state: StateView,
}

impl Scene {
    /// One line, which is cut where it would not fit.
    pub fn line(&self, screen: &Screen) -> String {
        // The last column stays free: a cursor behind it would wrap.
        let room = screen.columns.map(|columns| columns.saturating_sub(1));
        let mut line = self.word().to_owned();
        if let Some((song, elapsed)) = self.playing() {
            let bar = self.bar(elapsed, song.duration, room);
            _ = write!(line, "  {bar}  {}", title(song));
        } else if let Some(error) = self.state.error() {
            _ = write!(line, "  {error}");
        }
        if let Some(room) = room {
            line = fit(&line, room);
        }
        line.push('\n');
        line
    }

    /// What the player does, and with what.
    pub fn state_line(&self) -> String {
        match self.song() {
            Some(song) if self.word() != "stopped" => {
                format!("{}  {}\n", self.word(), title(song))
            }
            _ => format!("{}\n", self.word()),
        }
    }

    /// What plays, a line each.
    pub fn show_song(&self, screen: &Screen) -> String {
        match self.song() {
            None => "nothing plays, and nothing is chosen to\n".into(),
            Some(_) => screen.list(&self.song_rows(screen)),
        }
    }

    fn song_rows(&self, screen: &Screen) -> Vec<(&'static str, String)> {
        let mut rows = vec![(self.word(), self.song().map(title).unwrap_or_default())];
        if let Some((song, elapsed)) = self.playing() {
            // The names are on the left.
            let room = screen.columns.map(|columns| columns.saturating_sub(13));
            rows.push(("", self.bar(elapsed, song.duration, room)));
        }
        if let Some(what) = &self.state.node.waits_for {
            rows.push(("waits for", what.clone()));
        }
        if let Some(song) = self.song() {
            let shown = SongRef::from(song);
            let album = shown.tag(Tag::Album);
            rows.extend(album.map(|album| ("album", album.to_owned())));
            rows.push(("file", song.uri.clone()));
            rows.push(("format", audio_format(&shown)));
        }
        rows
    }

    /// Everything, a line each.
    pub fn show(&self, screen: &Screen) -> String {
        let (node, player) = (&self.state.node, &self.state.player);
        let mut rows = self.song_rows(screen);
        let mut row = |name, text: String| rows.push((name, text));
        if node.role.is_peer() {
            row("volume", format!("{} %{}", player.volume, self.options()));
            row("queue", self.place());
        }
        if let Some(time) = node.first_sound {
            let seconds = time.as_secs_f64();
            row("first sound", format!("{seconds:.3} s after play"));
        }
        if node.role.is_peer() {
            row("output", node.output.clone());
        }
        row("tracker", node.tracker.clone());
        let (peers, tracks) = (count(node.peers, "peer"), count(node.tracks, "track"));
        row("swarm", format!("{peers} up, {tracks}"));
        row("node", format!("{} ({})", node.name, node.role));
        if node.left_out > 0 {
            row("library", left_out_in_words(node.left_out));
        }
        if let Some(error) = self.state.error() {
            row("error", error.to_owned());
        }
        let problems = node.problems.iter();
        problems.for_each(|text| row("problem", text.clone()));
        screen.list(&rows)
    }

    fn song(&self) -> Option<&SongView> {
        let current = self.state.player.current.as_ref();
        current.map(|current| &current.song)
    }

    /// The current track and where it is, while it plays or is paused.
    fn playing(&self) -> Option<(&SongView, Duration)> {
        Some((self.song()?, self.state.player.elapsed?))
    }

    fn word(&self) -> &'static str {
        match self.state.player.state {
            _ if self.state.player.is_waiting => "waiting",
            PlayState::Play => "playing",
            PlayState::Pause => "paused",
            PlayState::Stop => "stopped",
        }
    }

    /// What has played and what has arrived of the current track, as long as there is room.
    fn bar(&self, elapsed: Duration, duration: Duration, room: Option<usize>) -> String {
        let bar_cells = room.map_or(BAR_CELLS, |room| (room / 4).clamp(LEAST_CELLS, BAR_CELLS));
        let played = match duration.is_zero() {
            true => 0.0,
            false => elapsed.as_secs_f64() / duration.as_secs_f64(),
        };
        let arrived = self.state.node.arrived.map_or(1.0, f64::from);
        let cells: String = (0..bar_cells)
            .map(|cell| (cell as f64 + 0.5) / bar_cells as f64)
            .map(|place| match () {
                () if place < played => '█',
                () if place < arrived => '▒',
                () => '·',
            })
            .collect();
        let mut bar = format!("{cells} {} / {}", clock(elapsed), clock(duration));
        if arrived < 1.0 {
            _ = write!(bar, "  {:.0} % here", (arrived * 100.0).floor());
        }
        bar
    }

    fn options(&self) -> String {
        let options = self.state.player.options;
        let single = match options.single {
            Single::Off => None,
            Single::On => Some("single"),
            Single::OneShot => Some("single oneshot"),
        };
        let set = [
            options.random.then_some("random"),
            options.repeat.then_some("repeat"),
            single,
            options.consume.then_some("consume"),
        ];
        set.into_iter()
            .flatten()
            .fold(String::new(), |mut all, name| {
                _ = write!(all, ", {name}");
                all
            })
    }

    fn place(&self) -> String {
        let player = &self.state.player;
        match &player.current {
            Some(current) => format!("{} of {}", current.position + 1, player.length),
            None => count(player.length, "track"),
        }
    }
}

/// How many files are left out, and how to see them.
fn left_out_in_words(files: usize) -> String {
    let files = count(files, "file");
    format!("{files} left out: p2pmusic ctl library --left-out")
}

/// What `library` says without being asked for each file.
pub(super) fn library(library: &LibraryView) -> String {
    let without_tags = library.files.iter().filter(|file| file.is_listed).count();
    let mut text = match library.left_out {
        0 => "all files of this node's music are listed\n".to_owned(),
        files => left_out_in_words(files) + "\n",
    };
    if without_tags > 0 {
        let files = count(without_tags, "file");
        _ = writeln!(text, "{files} listed with tags missing");
    }
    text
}

/// Files that are left out, each with its reason below.
pub(super) fn left_out(screen: &Screen, files: &[LeftOutView]) -> String {
    if files.is_empty() {
        return "nothing is left out\n".to_owned();
    }
    let mut text = String::new();
    for file in files {
        let what = match file.is_listed {
            true => "listed with tags missing",
            false => "left out",
        };
        _ = writeln!(text, "{}", file.path);
        text += &screen.list(&[("  ", format!("{what}: {}", file.why))]);
    }
    text
}

/// What `play` chose and what follows.
pub(super) fn played(chosen: &Chosen) -> String {
    let Some((first, rest)) = chosen.songs.split_first() else {
        return "the queue is empty: say what to play\n".into();
    };
    let mut text = match chosen.is_now {
        false => format!("added    {}", summary(&first.song)),
        true => format!("playing  {}", summary(&first.song)),
    };
    if let Some((what, tracks)) = chosen.matched.as_ref().filter(|(_, tracks)| *tracks > 1) {
        _ = write!(text, "  (the {what}, {})", count(*tracks, "track"));
    }
    if !chosen.is_now {
        _ = write!(text, ", at {} of the queue", first.position + 1);
    }
    text.push('\n');
    for (n, next) in rest.iter().enumerate() {
        let label = if n == 0 { "then" } else { "" };
        _ = writeln!(text, "{label:<7}  {}", summary(&next.song));
    }
    text
}

pub(super) fn queue(screen: &Screen, songs: &[QueuedView], current: Option<QueueId>) -> String {
    if songs.is_empty() {
        return "the queue is empty; `p2pmusic ctl play` or `add` with some words fills it\n"
            .into();
    }
    let columns = [
        Column::short(""),
        Column::number("#"),
        Column::text("title"),
        Column::number("time"),
        Column::short("file"),
    ];
    let row = |queued: &QueuedView| {
        let is_current = Some(queued.id) == current;
        vec![
            if is_current { ">" } else { "" }.to_owned(),
            (queued.position + 1).to_string(),
            marked(&queued.song),
            clock(queued.song.duration),
            queued.song.uri.clone(),
        ]
    };
    screen.table(&columns, &songs.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn songs(screen: &Screen, songs: &[SongView]) -> String {
    let columns = [
        Column::text("title"),
        Column::number("time"),
        Column::short("file"),
    ];
    let row = |song: &SongView| vec![marked(song), clock(song.duration), song.uri.clone()];
    screen.table(&columns, &songs.iter().map(row).collect::<Vec<_>>())
}

/// Without names, as `ls` has none.
pub(super) fn directory(screen: &Screen, rows: &[Row]) -> String {
    let mut text = String::new();
    let mut files = Vec::new();
    for row in rows {
        match row {
            Row::Directory(directory) => {
                let mark = if directory.is_away { AWAY } else { "" };
                _ = writeln!(text, "{}/{mark}", directory.uri);
            }
            Row::Song(song) => {
                files.push(vec![clock(song.duration), marked(song), song.uri.clone()]);
            }
            Row::File(_) | Row::Path(_) | Row::Queued(_) | Row::Group(_) => {}
        }
    }
    let columns = [Column::number(""), Column::text(""), Column::short("")];
    text += &screen.table(&columns, &files);
    match text.is_empty() {
        true => "nothing is in there\n".into(),
        false => text,
    }
}

pub(super) fn peers(screen: &Screen, peers: &[PeerView]) -> String {
    let columns = [
        Column::text("speaker"),
        Column::short("state"),
        Column::number("tracks"),
        Column::short("address"),
    ];
    let row = |peer: &PeerView| {
        let address = match (peer.own, peer.address) {
            (true, _) => "this node".to_owned(),
            (false, Some(address)) => address.to_string(),
            (false, None) => "-".to_owned(),
        };
        vec![
            peer.name.to_string(),
            peer_state(peer.state).to_owned(),
            peer.tracks.to_string(),
            address,
        ]
    };
    screen.table(&columns, &peers.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn devices(screen: &Screen, devices: &[DeviceView]) -> String {
    if devices.is_empty() {
        return "there is no sound device here\n".into();
    }
    let columns = [
        Column::short(""),
        Column::short("device"),
        Column::short("description"),
    ];
    let row = |device: &DeviceView| {
        let mark = if device.in_use { "*" } else { "" };
        vec![
            mark.to_owned(),
            device.name.clone(),
            device.description.clone(),
        ]
    };
    screen.table(&columns, &devices.iter().map(row).collect::<Vec<_>>())
}

/// A time as a person reads it from a player.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn summary(song: &SongView) -> String {
    format!("{}  {}  {}", marked(song), clock(song.duration), song.uri)
}

/// The title, and whether only copies are here.
fn marked(song: &SongView) -> String {
    match song.is_away {
        true => format!("{}{AWAY}", title(song)),
        false => title(song),
    }
}

pub(super) fn title(song: &SongView) -> String {
    let shown = SongRef::from(song);
    match (shown.tag(Tag::Artist), shown.tag(Tag::Title)) {
        (Some(artist), Some(title)) => format!("{artist} – {title}"),
        (None, Some(title)) => title.to_owned(),
        (_, None) => shown.name.to_owned(),
    }
}

/// Behind what only copies are here of.
const AWAY: &str = " (its owner is away)";

/// Cells of a progress bar.
const BAR_CELLS: usize = 24;

/// Where there is little room.
const LEAST_CELLS: usize = 6;

#[cfg(test)]
mod tests {
    use super::{super::screen::width, *};
    use crate::{command::view::PlayerView, control::fixture};

    #[test]
    fn the_bar_shows_what_has_played_and_what_has_arrived() {
        let song = SongView {
            uri: "kitchen/a.flac".into(),
            tags: Default::default(),
            duration: Duration::from_secs(240),
            rate: 44_100,
            bits: Some(16),
            channels: 2,
            modified: 0,
            is_away: false,
        };
        let current = QueuedView {
            position: 0,
            id: QueueId(1),
            song,
        };
        let scene = Scene {
            state: StateView {
                node: fixture::view(),
                player: PlayerView {
                    state: PlayState::Play,
                    elapsed: Some(Duration::from_secs(60)),
                    current: Some(current),
                    ..PlayerView::default()
                },
            },
        };
        assert_eq!(
            scene.line(&Screen::default()),
            "playing  ██████▒▒▒▒▒▒············ 1:00 / 4:00  50 % here  a.flac\n"
        );
        let narrow = |columns| {
            let columns = Some(columns);
            scene.line(&Screen {
                columns,
                has_colours: false,
            })
        };
        assert_eq!(narrow(12), "playing  █…\n");
        assert_eq!(narrow(40), "playing  ██▒▒····· 1:00 / 4:00  50 % h…\n");
        for columns in 1..120 {
            assert!(
                width(narrow(columns).trim_end()) < columns.max(2),
                "{columns}"
            );
        }
    }
}
