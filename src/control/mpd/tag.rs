//! The tags of the protocol.

/// The tags that this node knows, by MPD's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
}

impl Tag {
    pub const ALL: [Self; 9] = [
        Self::Artist,
        Self::AlbumArtist,
        Self::Title,
        Self::Album,
        Self::Track,
        Self::Date,
        Self::Genre,
        Self::Composer,
        Self::Disc,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Artist => "Artist",
            Self::AlbumArtist => "AlbumArtist",
            Self::Title => "Title",
            Self::Album => "Album",
            Self::Track => "Track",
            Self::Date => "Date",
            Self::Genre => "Genre",
            Self::Composer => "Composer",
            Self::Disc => "Disc",
        }
    }

    /// Whether it is one that the tracks of an album usually have in common.
    pub fn is_shared(self) -> bool {
        !matches!(self, Self::Title | Self::Track | Self::Disc)
    }

    pub fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|tag| tag.name().eq_ignore_ascii_case(name))
    }
}

/// The tags that a client wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagMask(u16);

impl TagMask {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u16::MAX);

    pub fn contains(self, tag: Tag) -> bool {
        self.0 & 1 << tag as u16 != 0
    }

    pub fn with(self, tag: Tag) -> Self {
        Self(self.0 | 1 << tag as u16)
    }

    pub fn without(self, tag: Tag) -> Self {
        Self(self.0 & !(1 << tag as u16))
    }
}

impl Default for TagMask {
    fn default() -> Self {
        Self::ALL
    }
}
