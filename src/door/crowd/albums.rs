//! What the catalogues of a crowd have in them.

use std::{sync::Arc, time::Duration};

use crate::{
    catalog::{Entry, ListedEntry, Page, Tag, PAGE_ENTRIES},
    id::TrackId,
    media::Container,
};

/// A library of albums, tagged as they usually are.
pub fn pages(tracks: usize) -> Vec<Arc<Page>> {
    let numbers: Vec<usize> = (0..tracks).collect();
    let page = |numbers: &[usize]| {
        let entries: Vec<_> = numbers.iter().map(|n| Some(entry(*n))).collect();
        Arc::new(Page::new(&entries))
    };
    numbers.chunks(PAGE_ENTRIES).map(page).collect()
}

fn entry(n: usize) -> Entry {
    let (album, track) = (n / 12, n % 12 + 1);
    let artist: Arc<str> = format!("The Performers No. {}", album / 4).into();
    let title = format!("Title of an ordinary length {n}");
    let tags = [
        (Tag::Artist, artist.to_string()),
        (Tag::Album, format!("An Album of Songs, Vol. {album}")),
        (Tag::AlbumArtist, artist.to_string()),
        (Tag::Genre, "Alternative".to_owned()),
        (Tag::Date, "1997".to_owned()),
        (Tag::Title, title.clone()),
        (Tag::Track, track.to_string()),
        (Tag::Disc, "1".to_owned()),
    ];
    Entry::Listed(Box::new(ListedEntry {
        dir: format!("{artist}/An Album of Songs, Vol. {album}").into(),
        name: format!("{track:02} - {title}.flac").into(),
        size: 25_000_000 + n as u64,
        modified: 1_700_000_000 + n as i64,
        track: Some(TrackId(*blake3::hash(&n.to_le_bytes()).as_bytes())),
        rate: 44_100,
        channels: 2,
        bits: Some(16),
        duration: Duration::from_millis(240_000 + n as u64),
        opening: [0..16_384, 24_990_000..25_000_000].into(),
        audio_start: 8_192,
        tags: tags.into_iter().collect(),
        ..ListedEntry::in_container(Container::Flac)
    }))
}
