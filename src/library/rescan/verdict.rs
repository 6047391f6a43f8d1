//! What becomes of a file that a look comes upon, or does not come upon any more.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    catalog::{
        decode_listed, encode_listed, ListedEntry, Tags, MAX_PAGE_BYTES, MODIFIED, PAGE_ENTRIES,
    },
    id::EntryNo,
    library::{
        index::record::{KnownPath, Record},
        roots::Root,
        scan::seen::FoundFile,
        stamp::FileStamp,
        wanted::Care,
    },
    media::probed::Probed,
};

/// What is to be done with a file that is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileVerdict {
    /// It did not change.
    Unchanged(EntryNo, Box<Record>),
    /// It is read, since it is new or has changed; so it was before.
    Read(Option<(EntryNo, Box<Record>)>),
    /// It did not change, and is not listed for this reason.
    Noted(String),
}

impl FileVerdict {
    /// Of a file of which that is known, and which has this stamp now.
    pub fn of(known: Option<KnownPath>, now: &FileStamp, care: Care) -> Self {
        let believes = care == Care::Changes;
        match known {
            Some(KnownPath::Listed(no, record)) if believes && record.stamp.is_same(now) => {
                Self::Unchanged(no, record)
            }
            Some(KnownPath::Listed(no, record)) => Self::Read(Some((no, record))),
            // One without a reason is of an earlier version.
            Some(KnownPath::Unplayable(note))
                if believes && note.stamp.is_same(now) && !note.why.is_empty() =>
            {
                Self::Noted(note.why)
            }
            Some(KnownPath::Unplayable(_)) | None => Self::Read(None),
        }
    }
}

/// Whether `path` is at or below `place`, which is everything where there is none.
pub(super) fn is_at(path: &Path, place: Option<&Path>) -> bool {
    place.is_none_or(|place| path.starts_with(place))
}

/// The unknown place that a file, which was not seen, may still be in. One that is in none of
/// the roots is gone from the library in any case.
pub(super) fn may_exist<'a>(
    path: &Path,
    roots: &[Root],
    unknown: &'a [PathBuf],
) -> Option<&'a PathBuf> {
    let is_ours = roots.iter().any(|root| path.starts_with(&root.path));
    unknown.iter().find(|dir| is_ours && path.starts_with(dir))
}

/// What the catalogue says of a file: what the decoder found, and the tags. `None` where that
/// breaks the rules of a catalogue.
pub(super) fn listed(
    found: &FoundFile,
    probed: Probed,
    tags: Tags,
    by_tags: Option<Duration>,
) -> Option<ListedEntry> {
    let duration = match probed.media.duration.is_zero() {
        true => by_tags.unwrap_or_default(),
        false => probed.media.duration,
    };
    // As it will be read again.
    let duration = Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    let listed = ListedEntry {
        dir: found.dir.as_str().into(),
        name: found.name.as_str().into(),
        size: found.stamp.size,
        modified: found
            .stamp
            .modified
            .0
            .clamp(*MODIFIED.start(), *MODIFIED.end()),
        rate: probed.media.rate,
        channels: probed.media.channels,
        bits: probed.bits,
        duration,
        frames: probed.frames,
        opening: probed.opening.into(),
        audio_start: probed.media.audio_start.unwrap_or_default(),
        tags,
        ..ListedEntry::in_container(probed.media.container)
    };
    let encoded = encode_listed(&listed);
    let fits = encoded.len() <= MAX_ENTRY_BYTES && decode_listed(&encoded).is_ok();
    fits.then_some(listed)
}

/// Gives a file the hash that it had, if all that is known of it is the same: then it
/// was touched (another owner, another mode) rather than changed. Should it be another
/// one all the same, the requester will see that.
pub(super) fn keep_hash(record: &mut Record, mut before: Record) {
    let is_same_file = (before.stamp.size, before.stamp.modified, before.stamp.inode)
        == (record.stamp.size, record.stamp.modified, record.stamp.inode);
    let track = before.listed.track.take();
    if is_same_file && before.listed == record.listed {
        record.listed.track = track;
    }
}

/// An entry's share of a page, less what a page adds to it and the hash that
/// is still to come.
const MAX_ENTRY_BYTES: usize = MAX_PAGE_BYTES / PAGE_ENTRIES - 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{samples, Tag},
        id::TrackId,
        library::index::record::Note,
        media::{Container, MediaInfo},
    };

    fn stamp(size: u64) -> FileStamp {
        FileStamp {
            size,
            modified: (1_000, 0),
            ..FileStamp::default()
        }
    }

    fn record(size: u64) -> Box<Record> {
        Box::new(Record {
            path: b"/srv/a.flac".to_vec(),
            stamp: stamp(size),
            absent: false,
            listed: samples::listed("", "a.flac", None),
        })
    }

    #[test]
    fn what_did_not_change_is_believed_unless_more_care_is_asked_for() {
        let known = || Some(KnownPath::Listed(EntryNo(3), record(7)));
        let noted = |why: &str| {
            Some(KnownPath::Unplayable(Note {
                stamp: stamp(7),
                why: why.to_owned(),
            }))
        };
        let read = || FileVerdict::Read(Some((EntryNo(3), record(7))));
        for (known, size, care, verdict) in [
            (None, 7, Care::Changes, FileVerdict::Read(None)),
            (
                known(),
                7,
                Care::Changes,
                FileVerdict::Unchanged(EntryNo(3), record(7)),
            ),
            (known(), 8, Care::Changes, read()),
            (known(), 7, Care::All, read()),
            (known(), 7, Care::Nothing, read()),
            (
                noted("it is empty"),
                7,
                Care::Changes,
                FileVerdict::Noted("it is empty".into()),
            ),
            (
                noted("it is empty"),
                8,
                Care::Changes,
                FileVerdict::Read(None),
            ),
            (noted("it is empty"), 7, Care::All, FileVerdict::Read(None)),
            (noted(""), 7, Care::Changes, FileVerdict::Read(None)),
        ] {
            assert_eq!(FileVerdict::of(known, &stamp(size), care), verdict);
        }
    }

    #[test]
    fn what_lies_in_an_unknown_place_of_a_root_may_exist() {
        let roots = crate::library::roots::name_roots(&["/srv".into()]);
        let unknown = ["/srv/disk".into(), "/mnt".into()];
        for (path, place) in [
            ("/srv/disk/a.flac", Some("/srv/disk")),
            ("/srv/disk2/a.flac", None),
            ("/srv/a.flac", None),
            ("/mnt/a.flac", None),
        ] {
            let found = may_exist(Path::new(path), &roots, &unknown);
            assert_eq!(
                found.map(|dir| dir.as_path()),
                place.map(Path::new),
                "{path}"
            );
        }
        assert!(is_at(Path::new("/srv/a"), None));
        assert!(is_at(Path::new("/srv/a"), Some(Path::new("/srv"))));
        assert!(!is_at(Path::new("/srv/a"), Some(Path::new("/srv/ab"))));
    }

    #[test]
    fn a_file_keeps_its_hash_while_nothing_is_different() {
        let track = Some(TrackId([1; 32]));
        let before = |change: fn(&mut Record)| {
            let mut before = *record(7);
            before.listed.track = track;
            change(&mut before);
            before
        };
        for (before, kept) in [
            (before(|_| {}), track),
            (before(|record| record.stamp.changed = Some((9, 9))), track),
            (before(|record| record.stamp.inode = 9), None),
            (before(|record| record.stamp.size = 9), None),
            (
                before(|record| record.listed.duration = Duration::from_secs(99)),
                None,
            ),
        ] {
            let mut now = *record(7);
            keep_hash(&mut now, before);
            assert_eq!(now.listed.track, kept);
        }
    }

    #[test]
    fn a_file_is_listed_with_the_length_that_is_known_and_within_the_rules() {
        let found = |name: &str| FoundFile {
            path: "/srv/a.mp3".into(),
            dir: "jazz".into(),
            name: name.into(),
            stamp: FileStamp {
                modified: (i64::MAX, 0),
                ..stamp(5_000)
            },
        };
        let probed = |seconds| Probed {
            media: MediaInfo {
                duration: Duration::from_secs(seconds),
                audio_start: Some(10),
                ..MediaInfo::cd(Container::Mp3)
            },
            frames: None,
            bits: None,
            opening: vec![0..2_000, 3_000..5_000],
        };
        let tags = || Tags::from_iter([(Tag::Title, "A".to_owned())]);
        let by_tags = Some(Duration::from_secs(9));
        for (seconds, by_tags, length) in [(5, by_tags, 5), (0, by_tags, 9), (0, None, 0)] {
            let listed = listed(&found("a.mp3"), probed(seconds), tags(), by_tags).unwrap();
            assert_eq!(listed.duration, Duration::from_secs(length));
            assert_eq!(listed.modified, *MODIFIED.end(), "as late as can be said");
        }
        let long = "x".repeat(MAX_ENTRY_BYTES);
        assert_eq!(listed(&found(&long), probed(5), tags(), None), None);
    }
}
