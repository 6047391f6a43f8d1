//! What a tag is, and what its number is on the wire.

use serde::{de::Error, Deserialize, Deserializer, Serialize, Serializer};

/// A tag, by MPD's name for it. Its number on the wire is its place here, so that a new one is
/// added at the end.
///
/// Source: MPD 0.24's list of tags, <https://mpd.readthedocs.io/en/latest/protocol.html#tags>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    Artist,
    AlbumArtist,
    Title,
    Album,
    Track,
    Date,
    Genre,
    Composer,
    Disc,
    ArtistSort,
    AlbumSort,
    AlbumArtistSort,
    TitleSort,
    ComposerSort,
    OriginalDate,
    Name,
    Mood,
    Performer,
    Conductor,
    Work,
    Ensemble,
    Movement,
    MovementNumber,
    ShowMovement,
    Location,
    Grouping,
    Comment,
    Label,
    MusicBrainzArtistId,
    MusicBrainzAlbumId,
    MusicBrainzAlbumArtistId,
    MusicBrainzTrackId,
    MusicBrainzReleaseTrackId,
    MusicBrainzWorkId,
    MusicBrainzReleaseGroupId,
}

/// All tags in the order of their numbers: MPD's name, and whether the tracks of an album
/// usually have the value in common.
const TABLE: &[(Tag, &str, bool)] = {
    use Tag::*;
    &[
        (Artist, "Artist", true),
        (AlbumArtist, "AlbumArtist", true),
        (Title, "Title", false),
        (Album, "Album", true),
        (Track, "Track", false),
        (Date, "Date", true),
        (Genre, "Genre", true),
        (Composer, "Composer", true),
        (Disc, "Disc", false),
        (ArtistSort, "ArtistSort", true),
        (AlbumSort, "AlbumSort", true),
        (AlbumArtistSort, "AlbumArtistSort", true),
        (TitleSort, "TitleSort", false),
        (ComposerSort, "ComposerSort", true),
        (OriginalDate, "OriginalDate", true),
        (Name, "Name", false),
        (Mood, "Mood", true),
        (Performer, "Performer", true),
        (Conductor, "Conductor", true),
        (Work, "Work", true),
        (Ensemble, "Ensemble", true),
        (Movement, "Movement", false),
        (MovementNumber, "MovementNumber", false),
        (ShowMovement, "ShowMovement", false),
        (Location, "Location", true),
        (Grouping, "Grouping", true),
        (Comment, "Comment", false),
        (Label, "Label", true),
        (MusicBrainzArtistId, "MUSICBRAINZ_ARTISTID", true),
        (MusicBrainzAlbumId, "MUSICBRAINZ_ALBUMID", true),
        (MusicBrainzAlbumArtistId, "MUSICBRAINZ_ALBUMARTISTID", true),
        (MusicBrainzTrackId, "MUSICBRAINZ_TRACKID", false),
        (
            MusicBrainzReleaseTrackId,
            "MUSICBRAINZ_RELEASETRACKID",
            false,
        ),
        (MusicBrainzWorkId, "MUSICBRAINZ_WORKID", true),
        (
            MusicBrainzReleaseGroupId,
            "MUSICBRAINZ_RELEASEGROUPID",
            true,
        ),
    ]
};

impl Tag {
    /// That of the least number, and that of the greatest.
    pub const FIRST: Self = TABLE[0].0;
    pub const LAST: Self = TABLE[TABLE.len() - 1].0;

    /// All tags, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(tag, ..)| *tag)
    }

    /// MPD's name.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The tag that MPD calls so, in any case of letters.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|tag| tag.name().eq_ignore_ascii_case(name))
    }

    /// Whether the tracks of an album usually have it in common. Such a value is written once
    /// a page.
    pub fn is_shared(self) -> bool {
        TABLE[self as usize].2
    }

    /// The number on the wire.
    pub(super) fn number(self) -> u64 {
        self as u64
    }

    /// The tag of this number; `None` for one of a later version.
    pub(super) fn of_number(number: u64) -> Option<Self> {
        let at = usize::try_from(number).ok()?;
        TABLE.get(at).map(|(tag, ..)| *tag)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Self::parse(&name).ok_or_else(|| D::Error::custom(format!("there is no tag {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_stands_at_its_number() {
        for (n, tag) in Tag::all().enumerate() {
            assert_eq!(tag.number(), n as u64, "{tag:?}");
            assert_eq!(Tag::of_number(n as u64), Some(tag));
            assert_eq!(Tag::parse(&tag.name().to_uppercase()), Some(tag));
        }
        assert_eq!(Tag::of_number(TABLE.len() as u64), None);
    }
}
