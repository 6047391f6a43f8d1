//! The tags in a RIFF/WAVE file: its INFO list, and an ID3v2 tag in a chunk of its own.
//!
//! Sources: Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft, 1991);
//! EBU Tech 3306 for files of more than 4 GiB.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use super::{gathered::GatheredTags, id3::Id3Tags, names::TagFamily};

/// What the chunks of a file say.
#[derive(Debug, Default)]
pub struct ChunkTags {
    pub info: GatheredTags,
    pub id3: Id3Tags,
}

impl ChunkTags {
    /// Adds what the RIFF/WAVE file says that begins at `begin`.
    ///
    /// # Errors
    /// Those of the reader; what has been read before is kept.
    pub fn read(&mut self, reader: &mut (impl Read + Seek), begin: u64) -> io::Result<()> {
        let mut form = [0; 4];
        reader.seek(SeekFrom::Start(begin))?;
        // `riff` is how Wave64 begins, whose chunks have other names.
        let is_form = reader.read_exact(&mut form).is_ok()
            && [b"RIFF", b"RF64", b"BW64", b"riff"].contains(&&form);
        if !is_form {
            let why = "it does not begin as a WAV file does";
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        let mut at = begin + FORM_BYTES;
        let mut sound = None;
        for _ in 0..MAX_CHUNKS {
            let Some(mut chunk) = Chunk::read(reader, at)? else {
                break;
            };
            match &chunk.id {
                b"LIST" => self.read_list(reader, &chunk)?,
                b"id3 " | b"ID3 " => self.id3.read(reader, chunk.begin)?,
                b"ds64" => sound = long_size(reader, &chunk)?,
                b"data" if chunk.size() == u64::from(u32::MAX) => {
                    let size = sound.unwrap_or_else(|| chunk.size());
                    chunk.end = chunk.begin.saturating_add(size);
                }
                _ => {}
            }
            at = chunk.next(reader)?;
        }
        Ok(())
    }

    fn read_list(&mut self, reader: &mut (impl Read + Seek), list: &Chunk) -> io::Result<()> {
        let mut kind = [0; 4];
        reader.seek(SeekFrom::Start(list.begin))?;
        match reader.read_exact(&mut kind) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        if &kind != b"INFO" {
            return Ok(());
        }
        let mut at = list.begin + 4;
        while at < list.end {
            let Some(item) = Chunk::read(reader, at)? else {
                break;
            };
            let mut text = Vec::new();
            let size = (item.end.min(list.end)).saturating_sub(item.begin);
            reader.seek(SeekFrom::Start(item.begin))?;
            reader
                .by_ref()
                .take(size.min(MAX_TEXT_BYTES))
                .read_to_end(&mut text)?;
            if let Ok(id) = std::str::from_utf8(&item.id) {
                self.info.put_named(TagFamily::Riff, id, &text_of(&text));
            }
            at = item.next(reader)?;
        }
        Ok(())
    }
}

/// Where a chunk's content lies.
struct Chunk {
    id: [u8; 4],
    begin: u64,
    end: u64,
}

impl Chunk {
    /// The chunk that begins at `at`, if one does.
    fn read(reader: &mut (impl Read + Seek), at: u64) -> io::Result<Option<Self>> {
        let mut head = [0; 8];
        reader.seek(SeekFrom::Start(at))?;
        match reader.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let [a, b, c, d, size @ ..] = head;
        let id = [a, b, c, d];
        let begin = at + 8;
        let is_chunk = id.iter().all(|byte| (b' '..=b'~').contains(byte));
        Ok(is_chunk.then_some(Self {
            id,
            begin,
            end: begin + u64::from(u32::from_le_bytes(size)),
        }))
    }

    fn size(&self) -> u64 {
        self.end - self.begin
    }

    /// Where the next one begins: at an even byte, but some forget that.
    fn next(&self, reader: &mut (impl Read + Seek)) -> io::Result<u64> {
        if self.size().is_multiple_of(2) {
            return Ok(self.end);
        }
        let mut padding = [0];
        reader.seek(SeekFrom::Start(self.end))?;
        let has_padding = reader.read(&mut padding)? == 0 || padding == [0];
        Ok(self.end.saturating_add(u64::from(has_padding)))
    }
}

/// The bytes of sound in a file that has more than fit into 32 bits (EBU Tech 3306).
fn long_size(reader: &mut (impl Read + Seek), chunk: &Chunk) -> io::Result<Option<u64>> {
    let mut sizes = [0; 16];
    reader.seek(SeekFrom::Start(chunk.begin))?;
    match reader.read_exact(&mut sizes) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let [_, _, _, _, _, _, _, _, sound @ ..] = sizes;
    Ok(Some(u64::from_le_bytes(sound).min(MAX_SOUND_BYTES)))
}

/// The text of an item, which ends with a zero. Its encoding is not said: what is not UTF-8 is
/// what Windows wrote.
fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = &bytes[..end.unwrap_or(bytes.len())];
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// `RIFF`, a size, `WAVE`.
const FORM_BYTES: u64 = 12;

/// A size that no file has.
const MAX_SOUND_BYTES: u64 = 1 << 56;

const MAX_CHUNKS: usize = 1024;

/// Of a text that is longer, no more is listed.
const MAX_TEXT_BYTES: u64 = 4096;
