//! MP3: the view is the frames, from the first header that another follows to the
//! tags at the end: ID3v1 and APEv2, whose pictures the demuxer would search for
//! frames.
//!
//! What is shown begins with a frame, since whatever stands before it is searched for frames,
//! too.

use super::{le_u32, ParserInput, Segment, Shown, ViewError};

pub(super) fn view<E>(file: &mut ParserInput<'_, '_, E>) -> Result<Shown, ViewError<E>> {
    let start = file.after_id3v2()?;
    let mut end = file.size;
    if end - start >= ID3V1 + APE_FOOTER {
        let tail = file.bytes(end - ID3V1 - APE_FOOTER, (ID3V1 + APE_FOOTER) as usize)?;
        let (before, last) = tail.split_at(APE_FOOTER as usize);
        let footer = if last.starts_with(b"TAG") {
            end -= ID3V1;
            before
        } else {
            &tail[ID3V1 as usize..]
        };
        end -= ape_bytes(footer)
            .filter(|&bytes| bytes <= end - start)
            .unwrap_or(0);
    }
    let start = first_frame(file, start, end)?
        .ok_or(ViewError::Malformed("there is no frame of MPEG Layer III"))?;
    let head = file.bytes(start, (end - start).min(HEADER_END) as usize)?;
    Ok(Shown {
        segments: vec![Segment::File(start..end)],
        bits: None,
        audio_start: start,
        ends: None,
        states_frames: has_header(&head),
    })
}

/// Whether the first frame holds no sound, but a header of Xing's, LAME's or Fraunhofer's,
/// behind the side information or where that ends in the longest case.
fn has_header(frame: &[u8]) -> bool {
    let (Some(&kind), Some(&mode)) = (frame.get(1), frame.get(3)) else {
        return false;
    };
    let (is_mpeg_1, is_mono) = (kind & 0x08 != 0, mode >> 6 == 3);
    let side = match (is_mpeg_1, is_mono) {
        (true, false) => 32,
        (true, true) | (false, false) => 17,
        (false, true) => 9,
    };
    let is_at = |at: usize, names: &[&[u8]]| {
        let there = frame.get(at..).unwrap_or_default();
        names.iter().any(|name| there.starts_with(name))
    };
    is_at(HEADER + side, &[b"Xing", b"Info"]) || is_at(HEADER + 32, &[b"VBRI"])
}

/// The size of the APEv2 tag that ends with this footer.
fn ape_bytes(footer: &[u8]) -> Option<u64> {
    let size = u64::from(le_u32(&footer[12..]));
    let has_header = le_u32(&footer[20..]) & 0x8000_0000 != 0;
    footer
        .starts_with(b"APETAGEX")
        .then_some(size + if has_header { APE_FOOTER } else { 0 })
}

/// Where the first frame begins that another of its kind follows, or none can.
fn first_frame<E>(
    file: &mut ParserInput<'_, '_, E>,
    start: u64,
    end: u64,
) -> Result<Option<u64>, ViewError<E>> {
    let last = end.min(start.saturating_add(SEARCH));
    let mut at = start;
    while at < last {
        let len = WINDOW.min(end - at);
        let window = file.bytes(at, len as usize)?;
        let is_tail = at + len == end;
        // What begins later has not all of its frame in this window.
        let step = if is_tail { WINDOW } else { WINDOW - REACH };
        let found = (0..window.len().min(step as usize)).find(|&i| {
            MpegFrame::parse(&window[i..]).is_some_and(|frame| {
                match window.get(i + frame.bytes..).and_then(MpegFrame::parse) {
                    Some(next) => next.kind == frame.kind,
                    None => is_tail && i + frame.bytes + HEADER > window.len(),
                }
            })
        });
        if let Some(i) = found {
            return Ok(Some(at + i as u64));
        }
        at += step;
    }
    Ok(None)
}

/// What the four bytes of a frame's header say (ISO/IEC 11172-3, 2.4.1.3).
struct MpegFrame {
    /// With its header.
    bytes: usize,
    /// What all frames of a stream have in common: version, layer and rate.
    kind: [u8; 2],
}

impl MpegFrame {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0xff, kind, sizes, _] = bytes.first_chunk()? else {
            return None;
        };
        // The last bit says that there is no checksum.
        let (rates, kilobits, slots) = match kind & 0xfe {
            0xfa => ([44_100, 48_000, 32_000], &MPEG_1, 144),
            0xf2 => ([22_050, 24_000, 16_000], &MPEG_2, 72),
            0xe2 => ([11_025, 12_000, 8_000], &MPEG_2, 72),
            _ => return None,
        };
        let rate = *rates.get(usize::from(sizes >> 2 & 3))?;
        // 0 is the free format, which the decoder does not know; 15 is forbidden.
        let kilobits = *kilobits.get(usize::from(sizes >> 4).checked_sub(1)?)?;
        Some(Self {
            bytes: slots * kilobits * 1000 / rate + usize::from(sizes >> 1 & 1),
            kind: [kind & 0xfe, sizes & 0x0c],
        })
    }
}

const MPEG_1: [usize; 14] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
/// And of MPEG 2.5, which goes on where MPEG 2 ends.
const MPEG_2: [usize; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

const ID3V1: u64 = 128;
const APE_FOOTER: u64 = 32;
const HEADER: usize = 4;

/// Where the name of the latest of the headers in a first frame ends.
const HEADER_END: u64 = 40;

/// The longest frame, 320 kbit/s at 32 kHz, and the header after it.
const REACH: u64 = 1441 + HEADER as u64;

/// Read at once: less than what the decoder reads for its first sound.
const WINDOW: u64 = 4096;

/// How far a frame is looked for, as the demuxer's own search goes: a tag whose size
/// is wrong has its picture here.
const SEARCH: u64 = 1024 * 1024;
