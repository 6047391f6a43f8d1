//! All commands by name, each with the clients that may give it and how its words are read.

use super::{MpdCommand, ReplyForm, SessionCommand, TagTypes, Use};
use crate::{
    catalog::Tag,
    command::{
        Command, DatabaseCommand, NodeCommand, Placing, Playback, QueueCommand, QueueEdit,
        Selection, Sort, SortBy, StatePart, StateParts,
    },
    control::mpd::{
        args::{parse_seconds, Ack, AckCode, Args},
        filter::{take, take_some},
        idle,
    },
    playback::{
        queue::{QueueId, Single},
        transport::SeekTo,
    },
};

pub(super) fn spec(name: &str) -> Option<&'static Spec> {
    let at = SPECS.binary_search_by(|(other, ..)| (*other).cmp(name));
    at.ok().map(|at| &SPECS[at])
}

pub(super) type Spec = (&'static str, Use, fn(&mut Args) -> Result<MpdCommand, Ack>);

/// By name.
pub(super) const SPECS: &[Spec] = &[
    ("add", Use::Player, |a| add(a, false)),
    ("addid", Use::Player, |a| add(a, true)),
    ("binarylimit", Use::Any, |a| {
        a.number::<u32>()?;
        session(SessionCommand::Nothing)
    }),
    ("clear", Use::Player, |_| edit(QueueEdit::Clear)),
    ("clearerror", Use::Player, |_| play(Playback::ClearError)),
    ("close", Use::Open, |_| session(SessionCommand::Close)),
    ("command_list_begin", Use::Any, |_| {
        session(SessionCommand::ListBegin { confirm: false })
    }),
    ("command_list_end", Use::Any, |_| {
        session(SessionCommand::ListEnd)
    }),
    ("command_list_ok_begin", Use::Any, |_| {
        session(SessionCommand::ListBegin { confirm: true })
    }),
    ("commands", Use::Open, |_| {
        session(SessionCommand::Commands { usable: true })
    }),
    ("config", Use::Refused, |_| {
        session(SessionCommand::Forbidden)
    }),
    ("consume", Use::Player, |a| {
        play(Playback::Consume(a.flag()?))
    }),
    ("count", Use::Any, |a| count(a, false)),
    ("crossfade", Use::Refused, |a| match a.number::<u32>()? {
        0 => session(SessionCommand::AsItIs),
        _ => Err(Ack::arg(
            "this node does not crossfade: tracks follow without a gap",
        )),
    }),
    ("currentsong", Use::Any, |_| state(ReplyForm::CurrentSong)),
    ("decoders", Use::Any, |_| session(SessionCommand::Decoders)),
    ("delete", Use::Player, |a| {
        edit(QueueEdit::Delete(a.range()?))
    }),
    ("deleteid", Use::Player, |a| {
        edit(QueueEdit::DeleteId(a.id()?))
    }),
    ("disableoutput", Use::Refused, |a| {
        a.number::<u32>()?;
        session(SessionCommand::DisableOutput)
    }),
    ("enableoutput", Use::Refused, |a| {
        match a.number::<u32>()? {
            0 => session(SessionCommand::Nothing),
            _ => Err(Ack::new(AckCode::NoExist, "No such audio output")),
        }
    }),
    ("find", Use::Any, |a| find(a, false)),
    ("findadd", Use::Player, |a| find_add(a, false)),
    ("getvol", Use::Player, |_| state(ReplyForm::Volume)),
    ("idle", Use::Any, idle_for),
    ("kill", Use::Refused, |_| session(SessionCommand::Forbidden)),
    ("list", Use::Any, values),
    ("listall", Use::Any, |a| list_all(a, false)),
    ("listallinfo", Use::Any, |a| list_all(a, true)),
    ("listfiles", Use::Any, |a| list(a, true)),
    ("listplaylists", Use::Any, |_| {
        session(SessionCommand::Nothing)
    }),
    ("lsinfo", Use::Any, |a| list(a, false)),
    ("move", Use::Player, |a| {
        edit(QueueEdit::Move(a.range()?, a.place()?))
    }),
    ("moveid", Use::Player, |a| {
        edit(QueueEdit::MoveId(a.id()?, a.place()?))
    }),
    ("next", Use::Player, |_| play(Playback::Next)),
    ("noidle", Use::Any, |_| session(SessionCommand::NoIdle)),
    ("notcommands", Use::Open, |_| {
        session(SessionCommand::Commands { usable: false })
    }),
    ("outputs", Use::Any, |_| state(ReplyForm::Outputs)),
    ("p2p", Use::Any, |a| {
        Err(Ack::arg(match a.peek() {
            None => "a command in JSON is missing",
            Some(_) => "a command in JSON follows one blank",
        }))
    }),
    ("p2p_devices", Use::Any, |_| node(NodeCommand::Devices)),
    ("p2p_join", Use::Local, |_| node(NodeCommand::Join)),
    ("p2p_leave", Use::Local, |_| node(NodeCommand::Leave)),
    ("p2p_library", Use::Player, |_| node(NodeCommand::Library)),
    ("p2p_missed", Use::Any, |a| {
        database(DatabaseCommand::Missed(a.rest().join(" ")))
    }),
    ("p2p_peers", Use::Any, |_| node(NodeCommand::Peers)),
    ("p2p_play", Use::Player, |a| play_best(a, Placing::Instead)),
    ("p2p_play_last", Use::Player, |a| {
        play_best(a, Placing::Last)
    }),
    ("p2p_play_next", Use::Player, |a| {
        play_best(a, Placing::Next)
    }),
    ("p2p_stats", Use::Any, |_| node(NodeCommand::Stats)),
    ("p2p_status", Use::Any, |_| state(ReplyForm::NodeStatus)),
    ("password", Use::Open, |a| {
        session(SessionCommand::Password(a.text()?))
    }),
    ("pause", Use::Player, |a| {
        let pause = a.peek().is_some().then(|| a.flag()).transpose()?;
        play(Playback::Pause(pause))
    }),
    ("ping", Use::Open, |_| session(SessionCommand::Ping)),
    ("play", Use::Player, |a| {
        play(Playback::Play(optional_position(a)?))
    }),
    ("playid", Use::Player, |a| {
        let id = optional_position(a)?.map(to_id).transpose()?;
        play(Playback::PlayId(id))
    }),
    ("playlistfind", Use::Any, |a| {
        queue(QueueCommand::Find(take_some(a, false)?))
    }),
    ("playlistid", Use::Any, |a| {
        let id = optional_position(a)?.map(to_id).transpose()?;
        queue(QueueCommand::ById(id))
    }),
    ("playlistinfo", Use::Any, |a| {
        queue(QueueCommand::List(a.optional_range()?))
    }),
    ("playlistsearch", Use::Any, |a| {
        queue(QueueCommand::Find(take_some(a, true)?))
    }),
    ("plchanges", Use::Any, |a| changes(a, ReplyForm::Whole)),
    ("plchangesposid", Use::Any, |a| {
        changes(a, ReplyForm::Positions)
    }),
    ("previous", Use::Player, |_| play(Playback::Previous)),
    ("random", Use::Player, |a| play(Playback::Random(a.flag()?))),
    ("repeat", Use::Player, |a| play(Playback::Repeat(a.flag()?))),
    ("replay_gain_mode", Use::Refused, |a| {
        match a.text()?.as_str() {
            "off" => session(SessionCommand::AsItIs),
            _ => Err(Ack::arg("this node plays tracks as they are: only \"off\"")),
        }
    }),
    ("replay_gain_status", Use::Any, |_| {
        session(SessionCommand::ReplayGainStatus)
    }),
    ("rescan", Use::Any, |a| update(a, true)),
    ("search", Use::Any, |a| find(a, true)),
    ("searchadd", Use::Player, |a| find_add(a, true)),
    ("searchcount", Use::Any, |a| count(a, true)),
    ("seek", Use::Player, |a| {
        play(Playback::Seek(a.number()?, a.seconds()?))
    }),
    ("seekcur", Use::Player, seek_current),
    ("seekid", Use::Player, |a| {
        play(Playback::SeekId(a.id()?, a.seconds()?))
    }),
    ("setvol", Use::Player, |a| match a.number()? {
        volume @ 0..=100 => play(Playback::SetVolume(volume)),
        _ => Err(Ack::arg("Invalid volume value: it is 0 to 100")),
    }),
    ("shuffle", Use::Player, |a| {
        edit(QueueEdit::Shuffle(a.optional_range()?))
    }),
    ("single", Use::Player, |a| {
        let single = match a.text()?.as_str() {
            "0" => Single::Off,
            "1" => Single::On,
            "oneshot" => Single::OneShot,
            other => return Err(Ack::arg(format!("Unrecognized single mode: {other}"))),
        };
        play(Playback::Single(single))
    }),
    ("stats", Use::Any, |_| state(ReplyForm::Totals)),
    ("status", Use::Any, |_| state(ReplyForm::Status)),
    ("stop", Use::Player, |_| play(Playback::Stop)),
    ("swap", Use::Player, |a| {
        edit(QueueEdit::Swap(a.number()?, a.number()?))
    }),
    ("swapid", Use::Player, |a| {
        edit(QueueEdit::SwapId(a.id()?, a.id()?))
    }),
    ("tagtypes", Use::Any, tag_types),
    ("update", Use::Any, |a| update(a, false)),
    ("urlhandlers", Use::Any, |_| {
        session(SessionCommand::Nothing)
    }),
    ("volume", Use::Player, |a| match a.number()? {
        change @ -100..=100 => play(Playback::ChangeVolume(change)),
        _ => Err(Ack::arg("Invalid volume change: it is -100 to 100")),
    }),
];

fn session(command: SessionCommand) -> Result<MpdCommand, Ack> {
    Ok(MpdCommand::Session(command))
}

fn play(command: Playback) -> Result<MpdCommand, Ack> {
    whole(Command::Playback(command))
}

fn queue(command: QueueCommand) -> Result<MpdCommand, Ack> {
    whole(Command::Queue(command))
}

fn edit(command: QueueEdit) -> Result<MpdCommand, Ack> {
    queue(QueueCommand::Edit(command))
}

fn database(command: DatabaseCommand) -> Result<MpdCommand, Ack> {
    whole(Command::Database(command))
}

fn node(command: NodeCommand) -> Result<MpdCommand, Ack> {
    whole(Command::Node(command))
}

fn whole(command: Command) -> Result<MpdCommand, Ack> {
    Ok(MpdCommand::Node(command, ReplyForm::Whole))
}

fn state(form: ReplyForm) -> Result<MpdCommand, Ack> {
    Ok(MpdCommand::Node(Command::Node(NodeCommand::State), form))
}

fn idle_for(args: &mut Args) -> Result<MpdCommand, Ack> {
    let mut wanted = StateParts::NONE;
    while let Some(name) = args.next() {
        let mut all = StatePart::ALL.into_iter();
        match all.find(|&part| idle::name(part) == name) {
            Some(part) => wanted = wanted.or(part.into()),
            // Those of MPD that never change here.
            None if UNCHANGING.contains(&name.as_str()) => {}
            None => return Err(Ack::arg(format!("Unrecognized idle event: {name}"))),
        }
    }
    session(SessionCommand::Idle(match wanted.is_empty() {
        true => StateParts::ALL,
        false => wanted,
    }))
}

fn tag_types(args: &mut Args) -> Result<MpdCommand, Ack> {
    let what = args.next();
    // Clients also name tags that this node does not have.
    let mut tags = || {
        args.rest()
            .iter()
            .filter_map(|name| Tag::parse(name))
            .collect()
    };
    session(SessionCommand::TagTypes(match what.as_deref() {
        None => TagTypes::Show,
        Some("all") => TagTypes::All,
        Some("clear") => TagTypes::None,
        Some("enable") => TagTypes::Enable(tags()),
        Some("disable") => TagTypes::Disable(tags()),
        Some(other) => return Err(Ack::arg(format!("Unknown sub command: {other}"))),
    }))
}

fn add(args: &mut Args, tells_id: bool) -> Result<MpdCommand, Ack> {
    let uri = args.text()?;
    let at = args.peek().is_some().then(|| args.place()).transpose()?;
    let form = match tells_id {
        true => ReplyForm::Whole,
        false => ReplyForm::Nothing,
    };
    let command = Command::Database(DatabaseCommand::Add { uri, at });
    Ok(MpdCommand::Node(command, form))
}

fn list(args: &mut Args, files: bool) -> Result<MpdCommand, Ack> {
    let uri = args.next().unwrap_or_default();
    database(DatabaseCommand::List { uri, files })
}

fn list_all(args: &mut Args, info: bool) -> Result<MpdCommand, Ack> {
    let uri = args.next().unwrap_or_default();
    database(DatabaseCommand::ListAll { uri, info })
}

fn find(args: &mut Args, folded: bool) -> Result<MpdCommand, Ack> {
    let selection = selection(args, folded)?;
    database(DatabaseCommand::Find(selection))
}

fn find_add(args: &mut Args, folded: bool) -> Result<MpdCommand, Ack> {
    let selection = selection(args, folded)?;
    let at = match args.take("position") {
        true => Some(args.place()?),
        false => None,
    };
    let command = Command::Database(DatabaseCommand::FindAdd { selection, at });
    Ok(MpdCommand::Node(command, ReplyForm::Nothing))
}

fn selection(args: &mut Args, folded: bool) -> Result<Selection, Ack> {
    let mut selection = Selection {
        filter: take_some(args, folded)?,
        sort: None,
        window: None,
    };
    loop {
        if args.take("sort") {
            let word = args.text()?;
            let name = word.strip_prefix('-').unwrap_or(&word);
            let by = match name.eq_ignore_ascii_case("Last-Modified") {
                true => SortBy::Modified,
                false => SortBy::Tag(tag(name)?),
            };
            let descending = name.len() < word.len();
            selection.sort = Some(Sort { by, descending });
        } else if args.take("window") {
            selection.window = Some(args.range()?);
        } else {
            return Ok(selection);
        }
    }
}

fn values(args: &mut Args) -> Result<MpdCommand, Ack> {
    let tag_name = args.text()?;
    let tag = tag(&tag_name)?;
    let is_old_style = tag == Tag::Album
        && args.peek().is_some_and(|word| {
            !word.starts_with('(') && word != "group" && Tag::parse(word).is_none()
        });
    let filter = match is_old_style {
        // `list album ARTIST`, which older clients still send.
        true => {
            let artist = args.text()?;
            take(&mut Args::new("list", vec!["artist".into(), artist]), false)?
        }
        false => take(args, false)?,
    };
    let mut group = Vec::new();
    while args.take("group") {
        group.push(self::tag(&args.text()?)?);
    }
    database(DatabaseCommand::Values { tag, filter, group })
}

fn count(args: &mut Args, folded: bool) -> Result<MpdCommand, Ack> {
    let filter = take(args, folded)?;
    let group = match args.take("group") {
        true => Some(tag(&args.text()?)?),
        false => None,
    };
    database(DatabaseCommand::Count { filter, group })
}

fn play_best(args: &mut Args, placing: Placing) -> Result<MpdCommand, Ack> {
    let words = args.rest().join(" ");
    let words = words.trim();
    if words.is_empty() && placing != Placing::Instead {
        return Err(Ack::arg("say what is to come"));
    }
    database(DatabaseCommand::PlayBest(words.to_owned(), placing))
}

fn changes(args: &mut Args, form: ReplyForm) -> Result<MpdCommand, Ack> {
    let command = QueueCommand::Changes {
        since: args.number()?,
        range: args.optional_range()?.unwrap_or(0..usize::MAX),
    };
    Ok(MpdCommand::Node(Command::Queue(command), form))
}

fn seek_current(args: &mut Args) -> Result<MpdCommand, Ack> {
    let word = args.text()?;
    let seconds = |word: &str| parse_seconds(word);
    let to = match word.split_at_checked(1) {
        Some(("+", by)) => SeekTo::Forward(seconds(by)?),
        Some(("-", by)) => SeekTo::Back(seconds(by)?),
        _ => SeekTo::At(seconds(&word)?),
    };
    play(Playback::SeekCurrent(to))
}

fn update(args: &mut Args, rescan: bool) -> Result<MpdCommand, Ack> {
    let uri = args.next().unwrap_or_default();
    node(NodeCommand::Update { uri, rescan })
}

/// A position, where `-1` means none.
fn optional_position(args: &mut Args) -> Result<Option<usize>, Ack> {
    if args.take("-1") || args.peek().is_none() {
        return Ok(None);
    }
    args.number().map(Some)
}

fn to_id(number: usize) -> Result<QueueId, Ack> {
    let id = u32::try_from(number);
    id.map(QueueId)
        .map_err(|_| Ack::arg(format!("Integer expected: {number}")))
}

fn tag(name: &str) -> Result<Tag, Ack> {
    Tag::parse(name).ok_or_else(|| Ack::arg(format!("Unknown tag type: {name}")))
}

/// MPD's other words for `idle`.
const UNCHANGING: [&str; 6] = [
    "stored_playlist",
    "sticker",
    "subscription",
    "message",
    "mount",
    "partition",
];
