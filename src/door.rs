//! What benches and fuzz targets may see of the rooms, and nobody else: they
//! turn on the feature `door`, which no build that is installed does.
//!
//! A function here takes plain values and gives plain values, so that no type of
//! a room leaves it. The decoders take bytes as a stranger would send them, or
//! leave them in a file, and panic where a promise is broken.

mod crowd;

pub use self::crowd::{Crowd, CrowdSetup, Tally};

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode};

use crate::{
    catalog::{self, Catalogue, MemoryQuota, Page, Pull, SignedHead},
    config::Config,
    content::{blob::Verifier, ranges::GroupSet},
    control::mpd::{
        command::{self, Access},
        session::{Guess, Session, SessionAction},
    },
    daemon, identity, library,
    media::{
        decode::{self, Cancel, ReadProgress, ReadStop, TrackBytes},
        view::View,
        Container,
    },
    node::Memory,
    pairing,
    protocol::{
        encode_frame, read_frame, FromTracker, PeerReply, PeerRequest, ToTracker, MAX_REPLY_FRAME,
        MAX_REQUEST_FRAME, MAX_TRACKER_FRAME,
    },
    tracker::registry::{ConnId, Registry},
};

/// Panics as the daemon's do: one of a decoder's is contained, any other ends
/// the process. Call it once, first.
pub fn contain_decoders() {
    daemon::abort_on_panic();
}

/// A frame of each protocol and direction; what is read is written as it can
/// be read again.
pub fn frame(bytes: &[u8]) {
    fn one<M>(bytes: &[u8], cap: usize)
    where
        M: for<'b> Decode<'b, ()> + Encode<()> + PartialEq + std::fmt::Debug,
    {
        let Ok(message) = smol::block_on(read_frame::<M>(&mut &bytes[..], cap)) else {
            return;
        };
        let again = encode_frame(&message);
        let reread = smol::block_on(read_frame::<M>(&mut &again[..], usize::MAX));
        assert_eq!(reread.ok(), Some(message));
    }
    one::<ToTracker>(bytes, MAX_TRACKER_FRAME);
    one::<FromTracker>(bytes, MAX_TRACKER_FRAME);
    one::<PeerRequest>(bytes, MAX_REQUEST_FRAME);
    one::<PeerReply>(bytes, MAX_REPLY_FRAME);
}

/// Messages of a pairing, from a stranger without the code.
pub fn pairing(bytes: &[u8]) {
    pairing::try_messages(bytes);
}

/// Messages, one frame after the other, from members that the tracker knows.
pub fn registry(bytes: &[u8]) {
    let mut registry = Registry::new(Vec::new(), MemoryQuota::of(0));
    let mut now = Instant::now();
    let mut from = bytes;
    for conn in 0..4 {
        let peer = crate::id::PeerId([conn as u8 % 3; 32]);
        registry.handle_connected(ConnId(conn), peer, [10, 0, 0, 1].into(), now);
    }
    while let [conn, passed, rest @ ..] = from {
        from = rest;
        let Ok(message) = smol::block_on(read_frame(&mut from, MAX_TRACKER_FRAME)) else {
            return;
        };
        registry.handle_message(ConnId(u64::from(*conn % 4)), message, now);
        now += Duration::from_millis(u64::from(*passed) * 40);
        registry.handle_timeout(now);
        while registry.poll().is_some() {}
    }
}

/// A page, and a head that is followed with it.
pub fn catalogue(bytes: &[u8]) {
    if let Ok(page) = Page::decode(bytes) {
        assert_eq!(**page.bytes(), *bytes, "it would be relayed as another");
    }
    let mut from = Decoder::new(bytes);
    let Ok(mut head) = from.decode::<SignedHead>() else {
        return;
    };
    let rest = &bytes[from.position()..];
    // Nobody but the owner can make a head that is followed; here, all can.
    let identity = identity::Identity::from_secret(&[7; 32], &[identity::SwarmKey::OPEN])
        .expect("there is a key");
    head.head.owner = identity.peer_id();
    head.head.pages = *blake3::hash(blake3::hash(rest).as_bytes()).as_bytes();
    let head = SignedHead::sign(head.head, |bytes| identity.sign(bytes));
    let Ok(mut pull) = Pull::<Arc<Catalogue>>::new(head, None) else {
        return;
    };
    pull.wants(1);
    let _ = pull.handle_list(vec![*blake3::hash(rest).as_bytes()], None);
    pull.wants(1);
    let _ = pull.handle_page(0, rest);
    if pull.is_whole() {
        let catalogue = pull.finish().expect("nothing is missing");
        let pages = catalogue.pages().iter();
        for entry in pages.flat_map(|page| page.entries()).flatten() {
            let again = Page::new(&[Some(entry.to_owned())]);
            assert!(Page::decode(again.bytes()).is_ok());
        }
    }
}

/// A file in which the catalogue of an owner that is away is kept. Says whether it is one, but
/// for what only the owner can make.
pub fn archive(bytes: &[u8]) -> bool {
    let identity = identity::Identity::from_secret(&[7; 32], &[identity::SwarmKey::OPEN])
        .expect("there is a key");
    catalog::try_file(bytes, identity.peer_id(), |bytes| identity.sign(bytes))
}

/// A slice of a track of some size, of which the bytes are not.
pub fn slice(size: u64, bytes: &[u8]) {
    let wanted = bytes.chunks_exact(4).take(8).scan(0u32, |next, four| {
        let start = next.checked_add(u32::from(four[0]) << (four[1] % 24))?;
        *next = start.checked_add(u32::from(four[2]) + 1)?;
        Some(start..*next)
    });
    let mut groups = GroupSet::new();
    wanted.for_each(|range| groups.insert_range(range));
    let mut verifier = Verifier::new(crate::id::TrackId([7; 32]), size, &groups);
    let mut rest = Bytes::copy_from_slice(bytes);
    while let Some(len) = verifier.needs().filter(|len| *len <= rest.len()) {
        assert!(
            verifier.push(rest.split_to(len)).is_err(),
            "that is no part of it"
        );
    }
}

/// What a control client sends, answered as if all went well; the same as one
/// line.
pub fn mpd(bytes: &[u8]) {
    let mut session = Session::new(Access::Local, true);
    for chunk in bytes.chunks(1000) {
        session.handle_bytes(chunk);
        while let Some(action) = session.poll() {
            match action {
                SessionAction::Run(..) => session.handle_done(Ok(())),
                SessionAction::Compare(_) => session.handle_guess(Guess::Wrong),
                SessionAction::Close(_) => return,
                SessionAction::Write(_) => {}
            }
        }
    }
    if let Ok(line) = std::str::from_utf8(bytes) {
        let _ = command::parse(line);
    }
}

/// A configuration file.
pub fn config(text: &str) {
    let _ = Config::parse(text);
}

/// A key file, and what was remembered of the queue.
pub fn state(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        for line in text.lines() {
            if let Ok(key) = identity::SwarmKey::parse(line) {
                assert_eq!(identity::SwarmKey::parse(&key.to_string()).ok(), Some(key));
            }
        }
    }
    if let Ok(memory) = serde_json::from_slice::<Memory>(bytes) {
        let _ = Memory::of(&memory.recall(1), memory.volume);
    }
    library::read_index_values(bytes);
}

/// A music file: its view, and all that is read through it.
pub fn view(format: u8, bytes: &[u8]) {
    let mut read = |offset, buf: &mut [u8]| Ok::<_, ()>(copy(bytes, offset, buf));
    let hint = bytes.first().map(|n| u64::from(*n) * 8);
    for hint in [None, hint] {
        let Ok(view) = View::build(this(format), bytes.len() as u64, hint, &mut read) else {
            continue;
        };
        let mut at = 0;
        let mut buf = [0; 4096];
        while at < view.len().min(MAX_SHOWN) {
            let got = view.read(at, &mut buf, &mut read).expect("it is all here");
            assert!(got > 0, "a view that ends before its end");
            at += got as u64;
        }
    }
}

/// A music file: opened, decoded for a while, sought in.
pub fn decode(format: u8, bytes: &[u8]) {
    let bytes = Arc::new(Memorised(bytes.to_vec()));
    let (cancel, progress) = (Cancel::default(), ReadProgress::default());
    let opened = decode::open(bytes, this(format), None, &cancel, &progress);
    let Ok(mut opened) = opened else {
        return;
    };
    let mut out = Vec::new();
    for _ in 0..MAX_BLOCKS {
        out.clear();
        match opened.decode(1024, &mut out) {
            Ok(frames) if frames > 0 => {}
            _ => break,
        }
    }
    let _ = opened.seek(Duration::from_secs(1));
    let _ = opened.decode(1024, &mut out);
}

/// The tags of a music file, which is written to `path` first.
pub fn tags(format: u8, bytes: &[u8], path: &Path) {
    if fs::write(path, bytes).is_ok() {
        library::read_tags(path, this(format));
    }
}

fn this(format: u8) -> Container {
    const FORMATS: [Container; 5] = [
        Container::Wav,
        Container::Flac,
        Container::Mp3,
        Container::Ogg,
        Container::M4a,
    ];
    FORMATS[usize::from(format) % FORMATS.len()]
}

fn copy(bytes: &[u8], offset: u64, buf: &mut [u8]) -> usize {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let there = bytes.get(from..).unwrap_or_default();
    let len = there.len().min(buf.len());
    buf[..len].copy_from_slice(&there[..len]);
    len
}

/// A file that is in memory.
struct Memorised(Vec<u8>);

impl TrackBytes for Memorised {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8], _: &Cancel) -> Result<usize, ReadStop> {
        Ok(copy(&self.0, offset, buf))
    }

    fn wake(&self) {}
}

/// Of a view: what is far longer than its file is zeros.
const MAX_SHOWN: u64 = 1 << 20;
/// Of a decoder: a sound of a few bytes can last for hours.
const MAX_BLOCKS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// The files in `fuzz/seeds/NAME`, each with its name.
    fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
        let files = fs::read_dir(format!("fuzz/seeds/{name}")).unwrap();
        let read = |file: fs::DirEntry| {
            let name = file.file_name().into_string().unwrap();
            (name, fs::read(file.path()).unwrap())
        };
        files.map(|file| read(file.unwrap())).collect()
    }

    #[test]
    fn the_seeds_of_all_but_music_are_survived() {
        let survive = |name: &str, target: fn(&[u8])| {
            let seeds = seeds(name);
            seeds.iter().for_each(|(_, bytes)| target(bytes));
        };
        survive("catalogue", catalogue);
        survive("config", |bytes| config(&String::from_utf8_lossy(bytes)));
        survive("messages", frame);
        survive("mpd", mpd);
        survive("pairing", pairing);
        survive("state", state);
        for (name, bytes) in seeds("archive") {
            // What a fuzzer has found is kept by another name than a whole one.
            assert_eq!(archive(&bytes), !name.contains('-'), "{name}");
        }
    }

    /// What was found once, too: an M4A with a sample of 770 MB, and an Ogg file with a
    /// codebook of millions of entries.
    #[test]
    fn the_seeds_of_music_are_survived() {
        let seeds = fs::read_dir("fuzz/seeds/music").unwrap();
        for seed in seeds.map(|seed| seed.unwrap().path()) {
            let bytes = fs::read(&seed).unwrap();
            let (format, file) = bytes.split_first().unwrap();
            view(*format, file);
            decode(*format, file);
            let whole = View::build(this(*format), file.len() as u64, None, &mut |at, buf| {
                Ok::<_, ()>(copy(file, at, buf))
            });
            let is_hostile = seed.to_string_lossy().contains('-');
            assert_eq!(whole.is_err(), is_hostile, "{}", seed.display());
        }
    }
}
