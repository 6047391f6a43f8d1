//! FLAC (RFC 9639): only STREAMINFO and a sound SEEKTABLE are shown. Its
//! offsets count from the first frame, so all else can be left out.

use super::{ParserInput, Segment, Shown, ViewError};

pub(super) fn view<E>(file: &mut ParserInput<'_, '_, E>) -> Result<Shown, ViewError<E>> {
    let mut offset = file.after_id3v2()?;
    if file.bytes(offset, 4)? != *b"fLaC" {
        return Err(ViewError::Malformed("the fLaC marker is missing"));
    }
    offset += 4;
    let mut info = None;
    let mut table = None;
    for _ in 0..BLOCKS {
        let head = file.bytes(offset, 4)?;
        let body = offset + 4;
        let len = u32::from_be_bytes([0, head[1], head[2], head[3]]);
        match head[0] & 0x7f {
            STREAMINFO if len == INFO_BYTES && info.is_none() => {
                info = Some(file.bytes(body, INFO_BYTES as usize)?);
            }
            SEEKTABLE if len <= TABLE_BYTES && table.is_none() => {
                table = Some(file.bytes(body, len as usize)?);
            }
            _ => {}
        }
        offset = body + u64::from(len);
        if head[0] & LAST != 0 {
            let info = info.ok_or(ViewError::Malformed("STREAMINFO is missing"))?;
            let table = table.and_then(|t| sound_table(&t, file.size.saturating_sub(offset)));
            return shown(&info, table, offset, file.size);
        }
    }
    Err(ViewError::Malformed("it has too many metadata blocks"))
}

fn shown<E>(
    info: &[u8],
    table: Option<Vec<u8>>,
    audio_start: u64,
    size: u64,
) -> Result<Shown, ViewError<E>> {
    // 20 bits of rate, 3 of channels - 1, 5 of bits - 1.
    let packed = u32::from_be_bytes([info[10], info[11], info[12], info[13]]);
    if packed >> 12 == 0 {
        return Err(ViewError::Malformed("its rate is 0"));
    }
    if audio_start >= size {
        return Err(ViewError::Malformed("it ends before the sound"));
    }
    let bits = (packed >> 4 & 0x1f) as u8 + 1;
    let mut head = b"fLaC".to_vec();
    let mut block = |kind: u8, body: &[u8]| {
        head.push(kind);
        let len = body.len() as u32; // at most TABLE_BYTES
        head.extend_from_slice(&len.to_be_bytes()[1..]);
        head.extend_from_slice(body);
    };
    match table {
        Some(table) => {
            block(STREAMINFO, info);
            block(SEEKTABLE | LAST, &table);
        }
        None => block(STREAMINFO | LAST, info),
    }
    Ok(Shown {
        segments: vec![Segment::Bytes(head), Segment::File(audio_start..size)],
        bits: Some(bits),
        audio_start,
        ends: None,
        states_frames: false,
    })
}

/// The seek points without placeholders, if they ascend and lie in the file:
/// the demuxer's search never ends on others.
fn sound_table(table: &[u8], audio_bytes: u64) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(table.len());
    let mut before = None;
    for point in table.chunks_exact(POINT_BYTES) {
        let (sample, rest) = point.split_first_chunk::<8>()?;
        let sample = u64::from_be_bytes(*sample);
        let offset = u64::from_be_bytes(*rest.first_chunk::<8>()?);
        if sample == PLACEHOLDER {
            continue;
        }
        if offset >= audio_bytes || before.is_some_and(|(s, o)| sample <= s || offset <= o) {
            return None;
        }
        before = Some((sample, offset));
        out.extend_from_slice(point);
    }
    Some(out).filter(|out| !out.is_empty())
}

const STREAMINFO: u8 = 0;
const SEEKTABLE: u8 = 3;
const LAST: u8 = 0x80;
const INFO_BYTES: u32 = 34;
const POINT_BYTES: usize = 18;
const PLACEHOLDER: u64 = u64::MAX;

/// The largest seek table worth fetching before the sound: 900 points.
const TABLE_BYTES: u32 = 16 * 1024;

/// Metadata blocks; encoders write five, taggers some pictures more.
const BLOCKS: usize = 64;
