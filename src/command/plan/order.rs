//! The order in which songs are listed, and in which they are added.

use crate::{catalog::Tag, command::song::SongRef, util::text::fold};

/// Sorts by path such that a directory's tracks stay together: the separator
/// comes before whatever a name may contain.
pub fn path_key(song: &SongRef<'_>) -> String {
    let dirs = song.dir.split('/').filter(|part| !part.is_empty());
    let mut key = String::with_capacity(song.uri_room());
    key.push_str(song.owner);
    for part in dirs.chain([song.name]) {
        key.push('\0');
        key.push_str(part);
    }
    key
}

/// Sorts as albums are heard: a directory's tracks together, by their album, disc and track, and
/// by their names where that is not said. Discs in directories of their own are one album.
///
/// Source: MPD 0.24, `src/db/plugins/simple/SongSort.cxx`.
pub fn album_key(song: &SongRef<'_>) -> String {
    let of_album = without_disc(song.dir);
    let above = SongRef {
        dir: of_album,
        name: "",
        ..*song
    };
    let album = fold(song.tags.first(Tag::Album).unwrap_or_default());
    let track = song.tags.number(Tag::Track).unwrap_or(0);
    let (place, disc, path) = (path_key(&above), disc_of(song), path_key(song));
    format!("{place}\0{album}\0{disc:010}{track:010}{path}")
}

/// The number of the disc that a song is on: that of its tag, or of its directory.
pub fn disc_of(song: &SongRef<'_>) -> u32 {
    let of_dir = || {
        let name = song.dir.rsplit('/').next()?;
        let number = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = number.find(|c: char| !c.is_ascii_digit());
        let is_disc = without_disc(song.dir) != song.dir;
        number[..end.unwrap_or(number.len())]
            .parse()
            .ok()
            .filter(|_| is_disc)
    };
    song.tags.number(Tag::Disc).or_else(of_dir).unwrap_or(0)
}

/// The directory of an album, a disc of which lies in `dir`.
pub fn without_disc(dir: &str) -> &str {
    let Some((above, name)) = dir.rsplit_once('/') else {
        return dir;
    };
    let rest = ["cd", "disc", "disk"].iter().find_map(|word| {
        let begin = name.get(..word.len())?;
        let is_it = begin.eq_ignore_ascii_case(word);
        is_it.then(|| &name[word.len()..])
    });
    let number = rest.map(|rest| rest.trim_start_matches([' ', '-', '_']));
    let is_disc = number.is_some_and(|number| {
        let digits = number.chars().take_while(char::is_ascii_digit).count();
        digits > 0 && !number[digits..].starts_with(char::is_alphanumeric)
    });
    match is_disc {
        true => above,
        false => dir,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::catalog::{Tags, TagsRef};

    #[test]
    fn discs_are_parts_of_their_album() {
        for (dir, album) in [
            ("kitchen/wall/cd1", "kitchen/wall"),
            ("kitchen/wall/disc 2", "kitchen/wall"),
            ("kitchen/wall/disk_3 (bonus)", "kitchen/wall"),
            ("kitchen/wall/cds", "kitchen/wall/cds"),
            ("kitchen/wall/discovery", "kitchen/wall/discovery"),
            ("kitchen", "kitchen"),
        ] {
            assert_eq!(without_disc(dir), album);
        }
    }

    /// The songs of these directories, names, albums, discs and tracks, in the order of albums.
    fn in_order(songs: &[(&str, &str, &str, &str, &str)]) -> Vec<String> {
        let mut keys: Vec<_> = songs
            .iter()
            .map(|(dir, name, album, disc, track)| {
                let tags = [
                    (Tag::Album, *album),
                    (Tag::Disc, *disc),
                    (Tag::Track, *track),
                ];
                let tags = tags.into_iter().filter(|(_, text)| !text.is_empty());
                let tags: Tags = tags.collect();
                let song = SongRef {
                    owner: "kitchen",
                    dir,
                    name,
                    tags: TagsRef::from(&tags),
                    duration: Duration::ZERO,
                    rate: 44_100,
                    bits: None,
                    channels: 2,
                    modified: 0,
                    is_away: false,
                };
                (album_key(&song), format!("{dir}/{name}"))
            })
            .collect();
        keys.sort();
        keys.into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn albums_are_heard_by_disc_and_track_and_directories_in_turn() {
        let songs = [
            ("b/x", "first", "X", "1", "1"),
            ("b/x", "b", "X", "2", "1"),
            ("b/x", "a", "X", "2", "2"),
            ("b/x", "c", "X", "2", "10"),
            ("b/x", "0", "Y", "1", "1"),
            // Discs that only their directories tell.
            ("c/Y/CD 2", "1", "y", "", "1"),
            ("c/Y/CD 2", "0", "y", "", "2"),
            ("c/Y/CD 10", "1", "y", "", "1"),
            // What has no tags comes by its name, and a directory before what is in it.
            ("d", "1", "", "", ""),
            ("d", "2", "", "", ""),
            ("d/a", "1", "", "", ""),
        ];
        let expected: Vec<_> = songs
            .iter()
            .map(|(dir, name, ..)| format!("{dir}/{name}"))
            .collect();
        let mut reversed = songs;
        reversed.reverse();
        assert_eq!(in_order(&reversed), expected);
    }
}
