//! What each kind of tag calls the tags that there are.
//!
//! Sources: MPD 0.24 (`src/tag/Id3Scan.cxx`, `src/lib/xiph/XiphTags.cxx`, `src/tag/ApeTag.cxx`),
//! MusicBrainz Picard's table of mappings
//! (<https://picard-docs.musicbrainz.org/en/appendices/tag_mapping.html>), and ID3v2.4.

use crate::catalog::Tag;

/// What names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagFamily {
    /// Names that are words: Vorbis comments, APE, TXXX of ID3v2, `----` of MP4.
    Words,
    /// Frames of ID3v2.4, and what 2.3 has instead.
    Id3,
    /// Items of MP4, whose bytes are Latin-1.
    Mp4,
    /// RIFF INFO.
    Riff,
}

/// The tag that `name` stands for in a family, and its rank among the names of that tag there:
/// the least that has a value counts.
pub fn tags_named(family: TagFamily, name: &str) -> impl Iterator<Item = (Tag, u8)> + '_ {
    NAMES.iter().filter_map(move |row| {
        let names = match family {
            TagFamily::Words => row.words,
            TagFamily::Id3 => row.id3,
            TagFamily::Mp4 => row.mp4,
            TagFamily::Riff => row.riff,
        };
        let rank = names.iter().position(|it| it.eq_ignore_ascii_case(name))?;
        Some((row.tag, rank as u8))
    })
}

/// The names of one tag.
struct TagNames {
    tag: Tag,
    words: &'static [&'static str],
    id3: &'static [&'static str],
    mp4: &'static [&'static str],
    riff: &'static [&'static str],
}

/// A row of [`NAMES`].
const fn row(
    tag: Tag,
    words: &'static [&'static str],
    id3: &'static [&'static str],
    mp4: &'static [&'static str],
    riff: &'static [&'static str],
) -> TagNames {
    TagNames {
        tag,
        words,
        id3,
        mp4,
        riff,
    }
}

const NAMES: &[TagNames] = &[
    row(Tag::Artist, &["ARTIST"], &["TPE1"], &["©ART"], &["IART"]),
    row(
        Tag::ArtistSort,
        &["ARTISTSORT"],
        &["TSOP", "XSOP"],
        &["soar"],
        &[],
    ),
    row(Tag::Album, &["ALBUM"], &["TALB"], &["©alb"], &["IPRD"]),
    row(
        Tag::AlbumSort,
        &["ALBUMSORT"],
        &["TSOA", "XSOA"],
        &["soal"],
        &[],
    ),
    row(
        Tag::AlbumArtist,
        &["ALBUMARTIST", "ALBUM ARTIST", "ALBUM_ARTIST"],
        &["TPE2"],
        &["aART"],
        &[],
    ),
    row(
        Tag::AlbumArtistSort,
        &["ALBUMARTISTSORT"],
        &["TSO2"],
        &["soaa"],
        &[],
    ),
    row(Tag::Title, &["TITLE"], &["TIT2"], &["©nam"], &["INAM"]),
    row(
        Tag::TitleSort,
        &["TITLESORT"],
        &["TSOT", "XSOT"],
        &["sonm"],
        &[],
    ),
    row(
        Tag::Track,
        &["TRACKNUMBER", "TRACK"],
        &["TRCK"],
        &["trkn"],
        &["IPRT", "ITRK"],
    ),
    row(Tag::Name, &["NAME"], &["TRSN"], &[], &[]),
    row(
        Tag::Genre,
        &["GENRE"],
        &["TCON"],
        &["©gen", "gnre"],
        &["IGNR"],
    ),
    row(Tag::Mood, &["MOOD"], &["TMOO"], &[], &[]),
    row(
        Tag::Date,
        &["DATE", "YEAR"],
        &["TDRC", "TYER", "TDRL"],
        &["©day"],
        &["ICRD"],
    ),
    row(
        Tag::OriginalDate,
        &["ORIGINALDATE", "ORIGINALYEAR"],
        &["TDOR", "TORY"],
        &[],
        &[],
    ),
    row(
        Tag::Composer,
        &["COMPOSER"],
        &["TCOM"],
        &["©wrt"],
        &["IMUS"],
    ),
    row(
        Tag::ComposerSort,
        &["COMPOSERSORT"],
        &["TSOC"],
        &["soco"],
        &[],
    ),
    row(Tag::Performer, &["PERFORMER"], &["TMCL"], &[], &[]),
    row(Tag::Conductor, &["CONDUCTOR"], &["TPE3"], &["©con"], &[]),
    row(Tag::Work, &["WORK", "WORKTITLE"], &[], &["©wrk"], &[]),
    row(
        Tag::Movement,
        &["MOVEMENTNAME", "MOVEMENT"],
        &["MVNM"],
        &["©mvn"],
        &[],
    ),
    row(
        Tag::MovementNumber,
        &["MOVEMENTNUMBER", "MOVEMENT"],
        &["MVIN"],
        &["©mvi"],
        &[],
    ),
    row(Tag::ShowMovement, &["SHOWMOVEMENT"], &[], &["shwm"], &[]),
    row(Tag::Ensemble, &["ENSEMBLE"], &[], &[], &[]),
    row(Tag::Location, &["LOCATION"], &[], &[], &[]),
    row(
        Tag::Grouping,
        &["GROUPING"],
        &["GRP1", "TIT1"],
        &["©grp"],
        &[],
    ),
    row(
        Tag::Disc,
        &["DISCNUMBER", "DISC"],
        &["TPOS"],
        &["disk"],
        &[],
    ),
    row(
        Tag::Label,
        &["LABEL", "ORGANIZATION", "PUBLISHER"],
        &["TPUB"],
        &["©pub"],
        &["IPUB"],
    ),
    row(
        Tag::Comment,
        &["COMMENT", "DESCRIPTION"],
        &["COMM"],
        &["©cmt"],
        &["ICMT"],
    ),
    brainz(
        Tag::MusicBrainzArtistId,
        &["MUSICBRAINZ_ARTISTID", "MusicBrainz Artist Id"],
    ),
    brainz(
        Tag::MusicBrainzAlbumId,
        &["MUSICBRAINZ_ALBUMID", "MusicBrainz Album Id"],
    ),
    brainz(
        Tag::MusicBrainzAlbumArtistId,
        &["MUSICBRAINZ_ALBUMARTISTID", "MusicBrainz Album Artist Id"],
    ),
    brainz(
        Tag::MusicBrainzTrackId,
        &["MUSICBRAINZ_TRACKID", "MusicBrainz Track Id"],
    ),
    brainz(
        Tag::MusicBrainzReleaseTrackId,
        &["MUSICBRAINZ_RELEASETRACKID", "MusicBrainz Release Track Id"],
    ),
    brainz(
        Tag::MusicBrainzWorkId,
        &["MUSICBRAINZ_WORKID", "MusicBrainz Work Id"],
    ),
    brainz(
        Tag::MusicBrainzReleaseGroupId,
        &["MUSICBRAINZ_RELEASEGROUPID", "MusicBrainz Release Group Id"],
    ),
];

/// A row of a tag that has names only where names are words.
const fn brainz(tag: Tag, words: &'static [&'static str]) -> TagNames {
    row(tag, words, &[], &[], &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tag_has_a_row_and_is_found_by_its_own_name() {
        for tag in Tag::all() {
            assert_eq!(NAMES.iter().filter(|row| row.tag == tag).count(), 1);
            let name = match tag {
                Tag::Track => "TrackNumber",
                Tag::Disc => "DiscNumber",
                _ => tag.name(),
            };
            let found = tags_named(TagFamily::Words, name).map(|(tag, _)| tag);
            assert!(found.into_iter().any(|it| it == tag), "{tag:?}");
        }
    }

    #[test]
    fn a_name_means_what_its_family_means_by_it() {
        let found = |family, name| tags_named(family, name).collect::<Vec<_>>();
        assert_eq!(found(TagFamily::Words, "year"), [(Tag::Date, 1)]);
        assert_eq!(found(TagFamily::Id3, "TPE1"), [(Tag::Artist, 0)]);
        assert_eq!(found(TagFamily::Mp4, "©day"), [(Tag::Date, 0)]);
        assert_eq!(found(TagFamily::Riff, "ITRK"), [(Tag::Track, 1)]);
        assert_eq!(found(TagFamily::Words, "TPE1"), []);
        let both = [(Tag::Movement, 1), (Tag::MovementNumber, 1)];
        assert_eq!(found(TagFamily::Words, "MOVEMENT"), both);
    }
}
