//! Pages of today, of tomorrow, and of an enemy.

use minicbor::Encoder;
use proptest::prelude::*;

use super::*;
use crate::{
    catalog::{
        entry::{HeldEntry, ListedEntry, Picture, ReplayGain},
        listing::{decode_listed, encode_listed},
        refs::{ListedRef, NotPlayable},
        samples, Tag, Tags,
    },
    media::Container,
};
use std::time::Duration;

/// Texts of which some are equal, and empty ones.
fn text() -> impl Strategy<Value = String> {
    "[ab\u{e4}\u{1d11e}]{0,2}"
}

fn entry() -> impl Strategy<Value = Option<Entry>> {
    let numbers = any::<(i32, Option<u8>, Option<u32>, Option<u8>, u16)>();
    let opening = prop::collection::vec(0_u64..5_000_000, 0..8);
    let tags = prop::collection::vec((0..Tag::all().count(), text()), 0..9);
    let gain = any::<Option<(Option<i16>, Option<u32>)>>();
    let listed = (numbers, opening, tags, gain).prop_map(|(numbers, opening, tags, gain)| {
        let (modified, bits, frames, track, padding) = numbers;
        let mut listed = samples::listed("a", "b", track);
        listed.modified = i64::from(modified).abs();
        (listed.bits, listed.layout, listed.padding) = (bits, frames, padding.into());
        listed.frames = frames.map(Into::into);
        listed.opening = opening.iter().map(|start| *start..5_000_000).collect();
        let tag = |n| Tag::all().nth(n).unwrap();
        listed.tags = tags.into_iter().map(|(n, text)| (tag(n), text)).collect();
        listed.gain = gain.map(|(track, album_peak)| ReplayGain {
            track,
            album_peak,
            ..ReplayGain::default()
        });
        listed.picture = bits.map(|n| Picture {
            content: TrackId([n; 32]),
            kind: "image/png".into(),
            place: frames.map(|_| 7..80),
        });
        Some(Entry::Listed(Box::new(listed)))
    });
    prop_oneof![6 => listed, 1 => any::<u8>().prop_map(samples::held), 1 => Just(None)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_packed_is_found_again(entries in prop::collection::vec(entry(), 0..40)) {
        let page = Page::decode(Page::new(&entries).bytes()).unwrap();
        prop_assert_eq!(page.len(), entries.len());
        for (n, entry) in entries.iter().enumerate() {
            let found = page.get(n).map(EntryRef::to_owned);
            prop_assert_eq!(&found, entry);
            let some = [FieldSet::LEAST, FieldSet::PATH, FieldSet::TAGS.and(FieldSet::DURATION)];
            let some = some.map(|wanted| page.get_some(n, wanted));
            prop_assert!(some.iter().all(|read| read.is_some() == found.is_some()));
            let [least, path, tags] = some.map(|read| read.and_then(EntryRef::listed));
            prop_assert_eq!(least.is_some(), entry.as_ref().and_then(Entry::listed).is_some());
            if let (Some(least), Some(path), Some(tags)) = (least, path, tags) {
                let whole = page.get(n).and_then(EntryRef::listed).unwrap();
                let of_path = ListedRef { dir: whole.dir, name: whole.name, ..least };
                let (duration, of_tags) = (whole.duration, whole.tags);
                prop_assert_eq!(path, of_path);
                prop_assert_eq!(tags, ListedRef { duration, tags: of_tags, ..least });
            }
            prop_assert_eq!(page.track(n), entry.as_ref().and_then(Entry::track));
            let listed = entry.as_ref().and_then(Entry::listed);
            prop_assert_eq!(page.path(n), listed.map(|it| (&*it.dir, &*it.name)));
            prop_assert_eq!(page.modified(n), listed.map(|it| it.modified));
        }
        for beyond in [0, 1, PAGE_ENTRIES] {
            prop_assert_eq!(page.get(entries.len() + beyond), None);
        }
        prop_assert_eq!(Page::new(&entries), page);
    }

    #[test]
    fn no_damage_to_a_page_does_harm(
        entries in prop::collection::vec(entry(), 1..4),
        change in any::<(prop::sample::Index, u8)>(),
    ) {
        let mut bytes = Page::new(&entries).bytes().to_vec();
        let at = change.0.index(bytes.len());
        bytes[at] ^= change.1;
        if let Ok(page) = Page::decode(&bytes) {
            for entry in page.entries().flatten() {
                let again = Page::new(&[Some(entry.to_owned())]);
                prop_assert_eq!(again.get(0), Some(entry));
            }
        }
    }
}

#[test]
fn a_text_is_kept_once() {
    let album = |count: usize| {
        let song = |n| samples::song("A directory with a long name", &format!("{n}"), None);
        Page::new(&(10..10 + count).map(song).collect::<Vec<_>>())
    };
    assert_eq!(album(2).texts, album(50).texts);
}

type ToRecord<'a> = &'a mut Encoder<Vec<u8>>;

/// The bytes of a page with these texts and one record, of so many fields.
fn page_of(texts: &[&str], fields: u64, write: impl FnOnce(ToRecord<'_>)) -> Vec<u8> {
    let mut record = Encoder::new(Vec::new());
    record.map(fields).unwrap();
    write(&mut record);
    let mut page = Encoder::new(Vec::new());
    page.map(3).unwrap().u8(0).unwrap();
    page.encode(texts).unwrap().u8(1).unwrap();
    let record = record.into_writer();
    page.array(1).unwrap().bytes(&record).unwrap();
    // What a page of tomorrow has besides.
    page.u8(9).unwrap().map(1).unwrap();
    page.str("more").unwrap().bool(true).unwrap();
    page.into_writer()
}

const TEXTS: [&str; 4] = ["music", "matroska", "opus", "Someone"];

/// Eleven fields up to the start of the sound.
fn untagged(record: ToRecord<'_>) {
    record.u8(0).unwrap().bytes(&[7; 32]).unwrap();
    for (number, value) in [(1, 0), (3, 5000), (4, 7), (5, 1), (6, 2)] {
        if number == 3 {
            record.u8(2).unwrap().str("a.webm").unwrap();
        }
        record.u8(number).unwrap().u16(value).unwrap();
    }
    record.u8(7).unwrap().u32(48_000).unwrap();
    record.u8(8).unwrap().u8(2).unwrap();
    record.u8(11).unwrap().u32(1_000_000).unwrap();
    record.u8(15).unwrap().u8(0).unwrap();
}

/// The same with two tags, and one that this version does not know.
fn opus(record: ToRecord<'_>) {
    untagged(record);
    let mut tags = Encoder::new(Vec::new());
    tags.map(3).unwrap().u8(0).unwrap().array(2).unwrap();
    tags.u8(3).unwrap().u8(3).unwrap();
    tags.u8(2).unwrap().str("A Song").unwrap();
    tags.u16(999).unwrap().array(1).unwrap().f32(0.5).unwrap();
    let tags = tags.into_writer();
    record.u8(17).unwrap().bytes(&tags).unwrap();
}

#[test]
fn an_entry_of_tomorrow_is_listed_and_says_why_it_is_not_played() {
    let bytes = page_of(&TEXTS, 14, |record| {
        opus(record);
        // A gain of which a later version knows more, and a field that it has added.
        record.u8(18).unwrap().array(6).unwrap().i16(-650).unwrap();
        record.null().unwrap().u16(32_768).unwrap().null().unwrap();
        record.str("by ear").unwrap().map(0).unwrap();
        record.u16(300).unwrap().begin_array().unwrap();
        record.tag(minicbor::data::Tag::new(1)).unwrap();
        record.u8(1).unwrap().end().unwrap();
    });
    let page = Page::decode(&bytes).unwrap();
    assert_eq!(**page.bytes(), *bytes);
    let listed = page.get(0).unwrap().listed().unwrap();
    assert_eq!(listed.path(), "music/a.webm");
    assert_eq!(listed.gain.unwrap().track, Some(-650));
    let tags: Vec<_> = listed.tags.iter().collect();
    let both = [(Tag::Artist, "Someone"), (Tag::Artist, "Someone")];
    assert_eq!(tags, [&both[..], &[(Tag::Title, "A Song")]].concat());
    let why = listed.playable().unwrap_err().to_string();
    assert!(why.contains("opus in matroska"), "{why}");
}

#[test]
fn a_field_that_must_be_understood_is_needed_only_to_play() {
    let texts = ["music", "flac", "flac", "Someone"];
    let with = |key: i32| {
        page_of(&texts, 13, |record| {
            opus(record);
            record.i32(key).unwrap().u8(1).unwrap();
        })
    };
    let playable = |bytes: Vec<u8>| {
        let page = Page::decode(&bytes).unwrap();
        let listed = page.get(0).unwrap().listed().unwrap();
        listed.playable()
    };
    assert_eq!(playable(with(22)), Ok(Container::Flac));
    assert_eq!(playable(with(-1 - 22)), Err(NotPlayable::Needs(22)));
}

#[test]
fn an_entry_of_an_unknown_kind_is_passed_on_and_not_shown() {
    let bytes = page_of(&[], 1, |record| {
        record.u8(40).unwrap().str("a playlist").unwrap();
    });
    let page = Page::decode(&bytes).unwrap();
    assert_eq!((page.len(), page.get(0), page.path(0)), (1, None, None));
    assert_eq!(**page.bytes(), *bytes);
}

#[test]
fn what_breaks_the_order_or_is_too_much_is_refused() {
    let refused = |bytes: Vec<u8>| match Page::decode(&bytes) {
        Err(CatalogueError::BadPage(why)) => why,
        other => panic!("{other:?}"),
    };
    let two = |first: i32, second: i32| {
        page_of(&[], 2, |record| {
            record.i32(first).unwrap().u8(1).unwrap();
            record.i32(second).unwrap().u8(1).unwrap();
        })
    };
    assert!(Page::decode(&two(30, 31)).is_ok());
    assert_eq!(refused(two(31, 30)), "malformed");
    assert_eq!(refused(two(30, 30)), "malformed");
    // The same field, needed and not.
    assert_eq!(refused(two(30, -31)), "malformed");
    let many = |count: u64| {
        page_of(&[], count, |record| {
            for number in 0..count {
                record.u64(30 + number).unwrap().u8(1).unwrap();
            }
        })
    };
    assert!(Page::decode(&many(64)).is_ok());
    assert_eq!(refused(many(65)), "an entry is too large");
    let long = |bytes: usize| {
        page_of(&[], 1, |record| {
            record.u8(30).unwrap().bytes(&vec![1; bytes]).unwrap();
        })
    };
    assert!(Page::decode(&long(8000)).is_ok());
    assert_eq!(refused(long(8200)), "an entry is too large");
    // A few bytes that name a long text many times.
    let text = "x".repeat(1000);
    let texts = [&TEXTS[..], &[&*text]].concat();
    let again = page_of(&texts, 12, |record| {
        untagged(record);
        let tags = [&[0xa1, 0, 0x89][..], &[4; 9]].concat();
        record.u8(17).unwrap().bytes(&tags).unwrap();
    });
    assert_eq!(refused(again), "an entry is too large");
    let nowhere = page_of(&[], 1, |record| {
        record.u8(1).unwrap().u8(0).unwrap();
    });
    assert_eq!(refused(nowhere), "malformed");
}

fn changed(change: impl FnOnce(&mut ListedEntry)) -> bool {
    let mut listed = samples::listed("a/b", "c.flac", None);
    change(&mut listed);
    decode_listed(&encode_listed(&listed)).is_ok()
}

#[test]
fn an_entry_cannot_lead_out_of_its_library() {
    for dir in [
        "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\nb", "a\u{85}",
    ] {
        assert!(!changed(|it| it.dir = dir.into()), "{dir:?}");
    }
    for name in ["", ".", "..", "a/b", "/", "a\0"] {
        assert!(!changed(|it| it.name = name.into()), "{name:?}");
    }
    assert!(changed(|it| it.dir = "".into()));
    assert!(changed(|it| it.dir = "...".into()));
}

#[test]
fn an_entry_can_be_computed_with() {
    assert!(changed(|_| ()));
    assert!(!changed(|it| it.rate = 0));
    assert!(!changed(|it| it.rate = u32::MAX));
    assert!(!changed(|it| it.channels = 0));
    assert!(!changed(|it| it.size = u64::MAX));
    assert!(!changed(|it| it.duration = Duration::MAX));
    assert!(!changed(|it| it.frames = Some(u64::MAX)));
    assert!(!changed(|it| it.modified = i64::MIN));
    assert!(!changed(|it| it.audio_start = it.size + 1));
    assert!(!changed(|it| it.opening = [0..1, 0..it.size + 1].into()));
    assert!(!changed(|it| it.opening = vec![0..1; 9].into()));
    let tags = |tag, text: String| Tags::from_iter([(tag, text)]);
    assert!(!changed(|it| it.tags = tags(Tag::Title, "a\nOK".into())));
    assert!(!changed(|it| it.tags = tags(Tag::Genre, "\r".into())));
    assert!(!changed(|it| it.tags = tags(Tag::Genre, "x".repeat(8192))));
    assert!(!changed(|it| it.codec = "a b".into()));
    let picture = |it: &ListedEntry, end| Picture {
        content: TrackId([1; 32]),
        kind: "image/jpeg".into(),
        place: Some(0..it.size + end),
    };
    assert!(changed(|it| it.picture = Some(picture(it, 0))));
    assert!(!changed(|it| it.picture = Some(picture(it, 1))));
    let held = HeldEntry {
        track: TrackId([0; 32]),
        size: u64::MAX,
    };
    let page = Page::new(&[Some(Entry::Held(Box::new(held)))]);
    assert!(Page::decode(page.bytes()).is_err());
}
