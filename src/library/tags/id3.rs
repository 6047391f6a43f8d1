//! ID3v2 (2.2 to 2.4): the tag as a whole, and its frames one by one.
//!
//! lofty gives a tag up at the first frame that is broken, and compares each with all
//! others. Here each frame is on its own: what it holds is read by lofty's parser of such a
//! frame ([`frames`](super::frames)), and one that is broken is left out. What no tag is made
//! of, such as a picture, is passed over and not read.
//!
//! Sources: <https://id3.org/id3v2-00>, <https://id3.org/id3v2.3.0>,
//! <https://id3.org/id3v2.4.0-structure>.

use std::{
    io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom},
    ops::Range,
};

use lofty::id3::v2::{upgrade_v2, upgrade_v3, FrameFlags};

use super::{
    frames::{FrameLoss, Id3Values},
    gathered::GatheredTags,
};

/// What an ID3v2 tag says, or several one behind the other.
#[derive(Debug, Default)]
pub struct Id3Tags {
    pub tags: GatheredTags,
    /// The frames that are left out, each with the reason.
    pub losses: Vec<String>,
}

impl Id3Tags {
    /// Adds what the tags say that begin at `at`, if some do.
    ///
    /// # Errors
    /// Those of the reader; what has been read before is kept.
    pub fn read(&mut self, reader: &mut (impl Read + Seek), at: u64) -> io::Result<()> {
        let mut begin = at;
        for _ in 0..MAX_TAGS {
            let Some(head) = Id3Head::read(reader, begin)? else {
                break;
            };
            let mut walk = FrameWalk::new(head.version);
            let walked = walk.walk_tag(reader, &head);
            let (tags, losses) = walk.into_tags();
            self.tags.fill_up(tags);
            self.losses.extend(losses);
            self.losses.truncate(MAX_LOSSES);
            walked?;
            begin = head.end();
        }
        Ok(())
    }
}

/// Where the tags are that a file begins with, behind up to `junk` bytes.
///
/// # Errors
/// Those of the reader.
pub fn place(reader: &mut (impl Read + Seek), junk: u64) -> io::Result<Range<u64>> {
    let mut start = 0;
    if junk > 0 {
        let mut bytes = Vec::new();
        reader.seek(SeekFrom::Start(0))?;
        reader.by_ref().take(junk).read_to_end(&mut bytes)?;
        let found = bytes.windows(3).position(|bytes| bytes == b"ID3");
        start = found.unwrap_or_default() as u64;
    }
    let mut end = start;
    for _ in 0..MAX_TAGS {
        let Some(head) = Id3Head::read(reader, end)? else {
            break;
        };
        end = head.end();
    }
    Ok(if start == end { 0..0 } else { start..end })
}

/// The ten bytes that a tag begins with.
#[derive(Clone, Copy, Debug)]
struct Id3Head {
    at: u64,
    /// 2, 3 or 4.
    version: u8,
    is_unsynchronised: bool,
    is_extended: bool,
    has_footer: bool,
    /// Bytes behind the head, without the footer.
    size: u64,
}

impl Id3Head {
    /// The head of the tag that begins at `at`, if one does.
    fn read(reader: &mut (impl Read + Seek), at: u64) -> io::Result<Option<Self>> {
        let Some(head) = read_at::<10>(reader, at)? else {
            return Ok(None);
        };
        let [b'I', b'D', b'3', version @ 2..=4, _, flags, a, b, c, d] = head else {
            return Ok(None);
        };
        let Some(size) = synchsafe([a, b, c, d]) else {
            return Ok(None);
        };
        Ok(Some(Self {
            at,
            version,
            is_unsynchronised: flags & 0x80 != 0,
            is_extended: version > 2 && flags & 0x40 != 0,
            has_footer: version == 4 && flags & 0x10 != 0,
            size: u64::from(size),
        }))
    }

    /// The byte behind the tag.
    fn end(&self) -> u64 {
        self.at + HEAD_BYTES + self.size + if self.has_footer { HEAD_BYTES } else { 0 }
    }
}

/// Walks the frames of one tag.
struct FrameWalk {
    version: u8,
    /// Whether sizes of this 2.4 tag are plain numbers, as iTunes once wrote them.
    is_plain: bool,
    values: Id3Values,
    losses: Vec<String>,
}

/// Where a frame's content lies, and what has been done to it.
struct FrameHead {
    /// As ID3v2.4 calls it, where that has such a frame.
    id: String,
    /// The bytes of the content.
    begin: u64,
    end: u64,
    flags: FrameFlags,
}

impl FrameWalk {
    fn new(version: u8) -> Self {
        Self {
            version,
            is_plain: false,
            values: Id3Values::new(version),
            losses: Vec::new(),
        }
    }

    /// Takes the values of all frames of a tag.
    fn walk_tag(&mut self, reader: &mut (impl Read + Seek), head: &Id3Head) -> io::Result<()> {
        let begin = head.at + HEAD_BYTES;
        if !head.is_unsynchronised || head.version == 4 {
            return self.walk(reader, begin..begin + head.size, head);
        }
        let mut body = Vec::new();
        reader.seek(SeekFrom::Start(begin))?;
        let most = head.size.min(MAX_WHOLE_BYTES);
        reader.by_ref().take(most).read_to_end(&mut body)?;
        let body = synchronised(&body);
        let end = body.len() as u64;
        self.walk(&mut Cursor::new(body), 0..end, head)
    }

    /// Takes the values of all frames that lie at these bytes.
    fn walk(
        &mut self,
        reader: &mut (impl Read + Seek),
        bytes: Range<u64>,
        head: &Id3Head,
    ) -> io::Result<()> {
        let mut at = bytes.start;
        if head.is_extended {
            at += self.extended_size(reader, at, bytes.end)?;
        }
        while let Some(frame) = self.next(reader, at, bytes.end)? {
            at = frame.end;
            if !Id3Values::has_use_for(&frame.id) {
                continue;
            }
            let size = (frame.end - frame.begin).min(MAX_FRAME_BYTES);
            let mut content = Vec::new();
            reader.seek(SeekFrom::Start(frame.begin))?;
            reader.by_ref().take(size).read_to_end(&mut content)?;
            let is_all = content.len() as u64 == frame.end - frame.begin;
            let taken = match is_all || size == MAX_FRAME_BYTES {
                true => plain_content(content, &frame, self.version, head)
                    .and_then(|content| self.values.take(&frame.id, content)),
                false => Err(FrameLoss::Cut),
            };
            if let Err(why) = taken {
                self.lose(&frame.id, why);
            }
        }
        Ok(())
    }

    /// The frame that begins at `at`; `None` where the frames are over.
    fn next(
        &mut self,
        reader: &mut (impl Read + Seek),
        at: u64,
        end: u64,
    ) -> io::Result<Option<FrameHead>> {
        let is_short = self.version == 2;
        let begin = at + if is_short { 6 } else { HEAD_BYTES };
        if begin >= end {
            return Ok(None);
        }
        let bytes = match is_short {
            true => read_at::<6>(reader, at)?.map(|[a, b, c, x, y, z]| {
                // As a frame of 2.3 would be written.
                [a, b, c, 0, 0, x, y, z, 0, 0]
            }),
            false => read_at::<10>(reader, at)?,
        };
        let Some([a, b, c, d, s0, s1, s2, s3, f0, f1]) = bytes else {
            return Ok(None);
        };
        // Behind the last frame is padding.
        let Some(id) = frame_id([a, b, c, d], self.version) else {
            if a != 0 {
                self.lose("what follows", FrameLoss::NoFrame);
            }
            return Ok(None);
        };
        let size = [s0, s1, s2, s3];
        let size = match self.version {
            4 => self.size_of(reader, size, begin, end)?,
            _ => u64::from(u32::from_be_bytes(size)),
        };
        let flags = u16::from_be_bytes([f0, f1]);
        if size > end - begin {
            self.lose(&id, FrameLoss::Cut);
            return Ok(None);
        }
        Ok(Some(FrameHead {
            id,
            begin,
            end: begin + size,
            flags: match self.version {
                4 => FrameFlags::parse_id3v24(flags),
                _ => FrameFlags::parse_id3v23(flags),
            },
        }))
    }

    /// The size of a frame of 2.4, which is synchsafe, but iTunes wrote plain numbers: what
    /// follows tells them apart.
    fn size_of(
        &mut self,
        reader: &mut (impl Read + Seek),
        bytes: [u8; 4],
        begin: u64,
        end: u64,
    ) -> io::Result<u64> {
        let plain = u64::from(u32::from_be_bytes(bytes));
        let Some(safe) = synchsafe(bytes).map(u64::from).filter(|_| !self.is_plain) else {
            self.is_plain = true;
            return Ok(plain);
        };
        if safe == plain || leads_to_frame(reader, begin + safe, end)? {
            return Ok(safe);
        }
        self.is_plain = leads_to_frame(reader, begin + plain, end)?;
        Ok(if self.is_plain { plain } else { safe })
    }

    /// The bytes of the extended header, which has nothing that a tag is made of.
    fn extended_size(&self, reader: &mut (impl Read + Seek), at: u64, end: u64) -> io::Result<u64> {
        let Some(bytes) = read_at::<4>(reader, at)? else {
            return Ok(0);
        };
        let size = match self.version {
            4 => synchsafe(bytes).map(u64::from),
            // Its own four bytes do not count.
            _ => Some(u64::from(u32::from_be_bytes(bytes)) + 4),
        };
        // Some say that there is one where there is none.
        let is_frame = frame_id(bytes, self.version).is_some();
        Ok(size
            .filter(|size| !is_frame && *size <= end - at)
            .unwrap_or(0))
    }

    fn lose(&mut self, id: &str, why: FrameLoss) {
        if self.losses.len() < MAX_LOSSES {
            self.losses.push(format!("{id} {why}"));
        }
    }

    fn into_tags(self) -> (GatheredTags, Vec<String>) {
        (self.values.into_tags(), self.losses)
    }
}

/// Whether a frame of 2.4 begins at `at`, or the tag ends there, or has only padding.
fn leads_to_frame(reader: &mut (impl Read + Seek), at: u64, end: u64) -> io::Result<bool> {
    if at + HEAD_BYTES >= end {
        return Ok(at == end);
    }
    let Some(bytes) = read_at::<10>(reader, at)? else {
        return Ok(false);
    };
    let [a, b, c, d, size @ .., _, _] = bytes;
    let size = synchsafe(size).unwrap_or(u32::from_be_bytes(size));
    let fits = u64::from(size) <= end - at - HEAD_BYTES;
    Ok(bytes == [0; 10] || fits && frame_id([a, b, c, d], 4).is_some())
}

/// The name of a frame, as ID3v2.4 has it; `None` where that is no name.
fn frame_id(bytes: [u8; 4], version: u8) -> Option<String> {
    // Some write frames of 2.2 into a tag of 2.3.
    let length = if bytes[3] == 0 && version < 4 { 3 } else { 4 };
    let bytes = &bytes[..length];
    let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    // Those of other makers may have any letter.
    let is_other = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    if !bytes.first().is_some_and(is_name) || !bytes.iter().all(is_other) {
        return None;
    }
    let id = std::str::from_utf8(bytes).ok()?;
    let newer = match (length, version) {
        (3, _) => upgrade_v2(id),
        // What 2.4 has in other words.
        (_, 3) => upgrade_v3(id).filter(|_| !matches!(id, "TYER" | "TORY")),
        _ => None,
    };
    Some(newer.unwrap_or(id).to_owned())
}

/// The content as it was before it was wrapped up for its flags.
fn plain_content(
    mut content: Vec<u8>,
    frame: &FrameHead,
    version: u8,
    head: &Id3Head,
) -> Result<Vec<u8>, FrameLoss> {
    let flags = &frame.flags;
    if flags.compression {
        return Err(FrameLoss::Compressed);
    }
    if flags.encryption.is_some() {
        return Err(FrameLoss::Encrypted);
    }
    let group = usize::from(flags.grouping_identity.is_some());
    let length = if flags.data_length_indicator.is_some() {
        4
    } else {
        0
    };
    content.drain(..(group + length).min(content.len()));
    let is_unsynchronised = version == 4 && (flags.unsynchronisation || head.is_unsynchronised);
    Ok(match is_unsynchronised {
        true => synchronised(&content),
        false => content,
    })
}

/// Without the zeros that keep a tag from looking like sound.
fn synchronised(bytes: &[u8]) -> Vec<u8> {
    let mut before = 0;
    let kept = bytes
        .iter()
        .filter(|byte| std::mem::replace(&mut before, **byte) != 0xff || **byte != 0);
    kept.copied().collect()
}

/// A number of four bytes of seven bits.
fn synchsafe(bytes: [u8; 4]) -> Option<u32> {
    let fold = |sum: u32, byte: u8| (byte < 0x80).then_some(sum << 7 | u32::from(byte));
    bytes.into_iter().try_fold(0, fold)
}

/// The bytes at `at`; `None` where the file is over.
fn read_at<const N: usize>(
    reader: &mut (impl Read + Seek),
    at: u64,
) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    reader.seek(SeekFrom::Start(at))?;
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

const HEAD_BYTES: u64 = 10;

/// Bytes before the first tag: what editors of tags have left behind.
pub const MAX_JUNK: u64 = 1024;

/// Tags one behind the other.
const MAX_TAGS: usize = 8;

/// Of a text that is longer, no more is listed.
const MAX_FRAME_BYTES: u64 = 64 * 1024;

/// Of a tag that is unsynchronised as a whole, covers included.
const MAX_WHOLE_BYTES: u64 = 16 * 1024 * 1024;

/// Frames that are named when they are left out.
const MAX_LOSSES: usize = 4;

#[cfg(test)]
mod tests;
