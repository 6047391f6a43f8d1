//! Vorbis in Ogg (RFC 3533, Vorbis I): the comment packet, which holds the
//! pictures, is replaced by an empty one. It shares pages with the setup packet,
//! so both are paged anew.
//!
//! The demuxer takes headers wherever they come, in the midst of the sound as well,
//! and allocates what their lengths say. No decoder ever hears of those, since a track
//! ends where another stream begins; so they are spoilt while the sound is read.

use super::{le_u32, vorbis, ParserInput, ReadAt, Segment, Shown, ViewError, MAX_CHANNELS};

pub(super) fn view<E>(
    file: &mut ParserInput<'_, '_, E>,
    audio_start: Option<u64>,
) -> Result<Shown, ViewError<E>> {
    let first =
        OggPage::read(file, 0)?.ok_or(ViewError::Malformed("it does not begin with OggS"))?;
    let ident = file.bytes(first.body, first.body_bytes().min(IDENT as u64) as usize)?;
    if ident.len() < IDENT || !ident.starts_with(b"\x01vorbis") {
        return Err(ViewError::Malformed("it holds no Vorbis"));
    }
    if !(1..=MAX_CHANNELS).contains(&u16::from(ident[11])) || le_u32(&ident[12..]) == 0 {
        return Err(ViewError::Malformed(
            "its rate or its channels are impossible",
        ));
    }
    let mut found = None;
    if let Some(audio_start) = audio_start {
        found = setup_before(file, &first, audio_start)?;
    }
    if found.is_none() {
        found = headers(file, &first)?;
    }
    let (setup, audio_start) = found
        .filter(|(_, audio_start)| *audio_start < file.size)
        .ok_or(ViewError::Malformed(
            "its headers are not those of one plain stream",
        ))?;
    if !vorbis::has_sane_codebooks(&setup) {
        return Err(ViewError::Malformed("its codebooks are impossible"));
    }
    Ok(Shown {
        segments: vec![
            Segment::File(0..first.end()),
            Segment::Bytes(repage(first.serial, &setup)),
            Segment::OggSound(audio_start..file.size),
        ],
        bits: None,
        audio_start,
        ends: None,
        states_frames: false,
    })
}

/// Reads sound at `within` bytes after `start`, and spoils each header that ends there:
/// its page's checksum is then wrong, and the demuxer drops it.
pub(super) fn read_sound<E>(
    start: u64,
    within: u64,
    out: &mut [u8],
    read: &mut ReadAt<'_, E>,
) -> Result<usize, E> {
    let count = read(start + within, out)?;
    let mut before = [0; LONGEST - 1];
    let len = within.min(before.len() as u64) as usize;
    let before = &mut before[..len];
    let from = start + within - len as u64;
    let mut done = 0;
    while done < len {
        match read(from + done as u64, &mut before[done..])? {
            0 => break,
            more => done += more,
        }
    }
    spoil_headers(before, &mut out[..count]);
    Ok(count)
}

fn spoil_headers(before: &[u8], sound: &mut [u8]) {
    let mut last = [0; LONGEST];
    let mut ends_header = |byte| {
        last.rotate_left(1);
        last[LONGEST - 1] = byte;
        HEADERS.iter().any(|header| last.ends_with(header))
    };
    for &byte in before {
        ends_header(byte);
    }
    for byte in sound {
        if ends_header(*byte) {
            *byte = !*byte;
        }
    }
}

/// The setup packet, and where the first page of sound begins; `None` where the
/// pages are not those of one plain stream.
fn headers<E>(
    file: &mut ParserInput<'_, '_, E>,
    first: &OggPage,
) -> Result<Option<(Vec<u8>, u64)>, ViewError<E>> {
    let mut setup = Vec::new();
    let mut comment_over = false;
    let mut offset = first.end();
    for _ in 0..PAGES {
        let Some(page) = OggPage::read(file, offset)?.filter(|p| p.serial == first.serial) else {
            return Ok(None);
        };
        let mut at = page.body;
        for (i, &lace) in page.lacing.iter().enumerate() {
            if comment_over {
                setup.extend(file.bytes(at, usize::from(lace))?);
                if setup.len() > SETUP {
                    return Ok(None);
                }
                if lace < 255 {
                    // The sound begins on a page of its own.
                    let plain = i + 1 == page.lacing.len() && setup.starts_with(b"\x05vorbis");
                    return Ok(plain.then(|| (setup, page.end())));
                }
            }
            comment_over |= lace < 255;
            at += u64::from(lace);
        }
        offset = page.end();
    }
    Ok(None)
}

/// The setup packet, taken from the bytes before `audio_start`, without walking
/// through the comment before it; `None` if it is not to be found there. A wrong
/// `audio_start` may give a wrong packet, which the decoder then refuses.
fn setup_before<E>(
    file: &mut ParserInput<'_, '_, E>,
    first: &OggPage,
    audio_start: u64,
) -> Result<Option<(Vec<u8>, u64)>, ViewError<E>> {
    let from = audio_start.saturating_sub(WINDOW).max(first.end());
    if audio_start <= from || audio_start >= file.size {
        return Ok(None);
    }
    let window = file.bytes(from, (audio_start - from) as usize)?;
    let Some(at) = window.windows(7).rposition(|w| w == b"\x05vorbis") else {
        return Ok(None);
    };
    let mut rest = &window[at..];
    let mut setup = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        match OggPage::parse(rest).filter(|page| page.serial == first.serial) {
            // It goes on in the next page.
            Some(page) => rest = rest.get(page.body as usize..).unwrap_or_default(),
            None => {
                setup.push(byte);
                rest = after;
            }
        }
    }
    Ok(Some((setup, audio_start)))
}

/// Pages that hold an empty comment packet and `setup`.
fn repage(serial: u32, setup: &[u8]) -> Vec<u8> {
    let mut lacing = vec![COMMENT.len() as u8];
    lacing.extend(std::iter::repeat_n(255, setup.len() / 255));
    lacing.push((setup.len() % 255) as u8);
    let data = [COMMENT, setup].concat();
    let mut rest = data.as_slice();
    let mut out = Vec::new();
    for (i, lacing) in lacing.chunks(255).enumerate() {
        let len: usize = lacing.iter().map(|&l| usize::from(l)).sum();
        let (body, after) = rest.split_at(len);
        rest = after;
        let ends_packet = lacing.iter().any(|&lace| lace < 255);
        let granule = if ends_packet { 0 } else { u64::MAX };
        let mut page = b"OggS\0".to_vec();
        page.push(u8::from(i > 0)); // goes on with a packet
        page.extend_from_slice(&granule.to_le_bytes());
        page.extend_from_slice(&serial.to_le_bytes());
        page.extend_from_slice(&(i as u32 + 1).to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push(lacing.len() as u8);
        page.extend_from_slice(lacing);
        page.extend_from_slice(body);
        let crc = crc(&page);
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        out.extend(page);
    }
    out
}

/// The checksum of RFC 3533: polynomial 0x04c11db7, nothing reflected.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc: u32, _| {
            let carry = crc & 0x8000_0000 != 0;
            crc << 1 ^ if carry { 0x04c1_1db7 } else { 0 }
        })
    })
}

struct OggPage {
    serial: u32,
    lacing: Vec<u8>,
    /// The offset of its data.
    body: u64,
}

impl OggPage {
    /// The page at `offset`, if there is one.
    fn read<E>(
        file: &mut ParserInput<'_, '_, E>,
        offset: u64,
    ) -> Result<Option<Self>, ViewError<E>> {
        let mut head = file.bytes(offset, HEAD)?;
        head.extend(file.bytes(offset + HEAD as u64, usize::from(head[26]))?);
        Ok(Self::parse(&head).map(|page| Self {
            body: offset + page.body,
            ..page
        }))
    }

    /// The page at the beginning of `bytes`, if its whole head is there.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        if !head.starts_with(b"OggS\0") {
            return None;
        }
        let lacing = rest.get(..usize::from(head[26]))?;
        Some(Self {
            serial: le_u32(&head[14..]),
            lacing: lacing.to_vec(),
            body: (HEAD + lacing.len()) as u64,
        })
    }

    fn body_bytes(&self) -> u64 {
        self.lacing.iter().map(|&lace| u64::from(lace)).sum()
    }

    fn end(&self) -> u64 {
        self.body + self.body_bytes()
    }
}

/// No vendor, no comments, the framing bit.
const COMMENT: &[u8] = b"\x03vorbis\0\0\0\0\0\0\0\0\x01";

/// How those packets begin that the demuxer would take in the midst of the sound:
/// comment and setup of Vorbis, Opus' comment, and the first one of FLAC.
const HEADERS: [&[u8]; 4] = [b"\x03vorbis", b"\x05vorbis", b"OpusTags", b"\x7fFLAC"];
const LONGEST: usize = 8;

/// The identification packet has this many bytes.
const IDENT: usize = 30;

/// A page's head before its lacing.
const HEAD: usize = 27;

/// The largest setup packet; encoders write 4 to 10 KB.
const SETUP: usize = 128 * 1024;

/// Where the setup packet is looked for; encoders write 4 to 10 KB.
const WINDOW: u64 = 16 * 1024;

/// Header pages to walk: 16 MB of pictures in pages of 4 KB.
const PAGES: usize = 4096;
