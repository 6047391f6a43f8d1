//! What the frames of an ID3v2 tag hold. Text is decoded by lofty's parsers; what taggers get
//! wrong about it is put right before.

use lofty::{
    config::ParsingMode,
    id3::v2::{
        CommentFrame, ExtendedTextFrame, FrameFlags, FrameId, Id3v2Version, KeyValueFrame,
        TextInformationFrame, UniqueFileIdentifierFrame,
    },
};

use super::{
    gathered::GatheredTags,
    genres::genres,
    names::{tags_named, TagFamily},
};
use crate::catalog::Tag;

/// Why a frame is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameLoss {
    #[error("is compressed")]
    Compressed,
    #[error("is encrypted")]
    Encrypted,
    #[error("is cut off")]
    Cut,
    #[error("is not a text")]
    NoText,
    #[error("is not a frame")]
    NoFrame,
}

/// The values of an ID3v2 tag's frames.
#[derive(Debug)]
pub struct Id3Values {
    version: u8,
    tags: GatheredTags,
    /// Day and month, which 2.3 has beside the year.
    day: Option<String>,
}

impl Id3Values {
    /// Of a tag of this version: 2, 3 or 4.
    pub fn new(version: u8) -> Self {
        Self {
            version,
            tags: GatheredTags::default(),
            day: None,
        }
    }

    /// Whether a tag is made of what a frame of this name holds.
    pub fn has_use_for(id: &str) -> bool {
        matches!(id, "TXXX" | "UFID" | "TDAT" | "TDA")
            || tags_named(TagFamily::Id3, id).next().is_some()
    }

    /// Takes the values of a frame.
    ///
    /// # Errors
    /// [`FrameLoss`].
    pub fn take(&mut self, id: &str, content: Vec<u8>) -> Result<(), FrameLoss> {
        if content.is_empty() {
            return Ok(());
        }
        match id {
            "TXXX" => self.take_words(&content),
            "COMM" => self.take_comment(&content),
            "TMCL" => self.take_players(&content),
            "UFID" => self.take_identifier(&content),
            _ => self.take_text(id, &content),
        }
    }

    fn take_text(&mut self, id: &str, content: &[u8]) -> Result<(), FrameLoss> {
        let text = parsed(content, |mut content| {
            let id = FrameId::new(id.to_owned()).ok()?;
            TextInformationFrame::parse(&mut content, id, FLAGS, VERSION).ok()?
        })?;
        let text = &*text.value;
        if matches!(id, "TDAT" | "TDA") {
            self.day = Some(text.trim().to_owned());
            return Ok(());
        }
        for value in text.split('\0') {
            match id {
                "TCON" => {
                    for genre in genres(value) {
                        self.tags.put_named(TagFamily::Id3, id, &genre);
                    }
                }
                "TPE1" | "TCOM" if self.version < 4 && !text.contains('\0') => {
                    for name in names_in(value) {
                        self.tags.put_named(TagFamily::Id3, id, name);
                    }
                }
                _ => self.tags.put_named(TagFamily::Id3, id, value),
            }
        }
        Ok(())
    }

    fn take_words(&mut self, content: &[u8]) -> Result<(), FrameLoss> {
        let frame = parsed(content, |mut content| {
            ExtendedTextFrame::parse(&mut content, FLAGS, VERSION).ok()?
        })?;
        for value in frame.content.split('\0') {
            for (tag, rank) in tags_named(TagFamily::Words, &frame.description) {
                self.tags.put(tag, BEHIND_FRAMES + rank, value);
            }
        }
        Ok(())
    }

    /// A comment without a description is meant for people, with one as often for a program.
    fn take_comment(&mut self, content: &[u8]) -> Result<(), FrameLoss> {
        let frame = parsed(content, |mut content| {
            CommentFrame::parse(&mut content, FLAGS, VERSION).ok()?
        })?;
        let is_for_program = frame.description.starts_with("iTun");
        if !is_for_program {
            let rank = u8::from(!frame.description.is_empty());
            self.tags.put(Tag::Comment, rank, &frame.content);
        }
        Ok(())
    }

    /// Instruments, each with its player.
    fn take_players(&mut self, content: &[u8]) -> Result<(), FrameLoss> {
        let frame = parsed(content, |mut content| {
            let id = FrameId::new("TMCL").ok()?;
            KeyValueFrame::parse(&mut content, id, FLAGS, VERSION).ok()?
        })?;
        for (instrument, player) in frame.key_value_pairs.iter() {
            let value = match (instrument.trim(), player.trim()) {
                (_, "") => continue,
                ("", player) => player.to_owned(),
                (instrument, player) => format!("{player} ({instrument})"),
            };
            self.tags.put(Tag::Performer, 0, &value);
        }
        Ok(())
    }

    fn take_identifier(&mut self, content: &[u8]) -> Result<(), FrameLoss> {
        let frame =
            UniqueFileIdentifierFrame::parse(&mut &*content, FLAGS, ParsingMode::Relaxed).ok();
        let Some(frame) = frame.flatten() else {
            return Ok(());
        };
        if frame.owner == "http://musicbrainz.org" {
            let text = String::from_utf8_lossy(&frame.identifier);
            self.tags.put(Tag::MusicBrainzTrackId, 0, &text);
        }
        Ok(())
    }

    /// The values of all frames that were there.
    pub fn into_tags(mut self) -> GatheredTags {
        let year = self.tags.first(Tag::Date);
        let year =
            year.filter(|year| year.len() == 4 && year.bytes().all(|it| it.is_ascii_digit()));
        if let (Some(year), Some(day), true) = (year, self.day, self.version < 4) {
            if let (4, Some((day, month))) = (day.len(), day.split_at_checked(2)) {
                let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                if is_number(day) && is_number(month) {
                    let date = format!("{year}-{month}-{day}");
                    self.tags.replace_first(Tag::Date, date);
                }
            }
        }
        self.tags
    }
}

/// What `parse` makes of a frame, or of it as it was meant.
fn parsed<T>(content: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Result<T, FrameLoss> {
    let found = parse(content).or_else(|| mended(content).and_then(|content| parse(&content)));
    found.ok_or(FrameLoss::NoText)
}

/// A frame whose text is not in the encoding that it says, in the one that it is likely in.
fn mended(content: &[u8]) -> Option<Vec<u8>> {
    let (&encoding, text) = content.split_first()?;
    match encoding {
        // Latin-1 is what a program writes that knows of no encodings.
        UTF_8 => Some([&[LATIN_1], text].concat()),
        UTF_16 => {
            let even = &text[..text.len() & !1];
            let is_marked = even.starts_with(b"\xff\xfe") || even.starts_with(b"\xfe\xff");
            let mark: &[u8] = if is_marked { &[] } else { b"\xff\xfe" };
            Some([&[UTF_16], mark, even].concat())
        }
        _ => None,
    }
}

/// The names in a text of 2.3, which has a slash between them. Where one of two letters would
/// come of it, the slash belongs to the name, as in AC/DC.
fn names_in(text: &str) -> Vec<&str> {
    let names: Vec<_> = text.split('/').map(str::trim).collect();
    match names.iter().all(|name| name.chars().count() > 2) {
        true => names,
        false => vec![text],
    }
}

const LATIN_1: u8 = 0;
const UTF_16: u8 = 1;
const UTF_8: u8 = 3;

/// The rank of names that are words: frames that have a name of their own come first.
const BEHIND_FRAMES: u8 = 8;

/// Of a frame whose content is as its flags would have it.
const FLAGS: FrameFlags = FrameFlags {
    tag_alter_preservation: false,
    file_alter_preservation: false,
    read_only: false,
    grouping_identity: None,
    compression: false,
    encryption: None,
    unsynchronisation: false,
    data_length_indicator: None,
};

/// That which knows all encodings.
const VERSION: Id3v2Version = Id3v2Version::V4;
