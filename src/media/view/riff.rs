//! RIFF/WAVE: only `fmt ` and `data` are shown.

use super::{le_u32, ParserInput, Segment, Shown, ViewError, MAX_CHANNELS};

pub(super) fn view<E>(file: &mut ParserInput<'_, '_, E>) -> Result<Shown, ViewError<E>> {
    let mut offset = file.after_id3v2()?;
    let head = file.bytes(offset, 12)?;
    if !head.starts_with(b"RIFF") || !head.ends_with(b"WAVE") {
        return Err(ViewError::Malformed("the RIFF/WAVE header is missing"));
    }
    offset += 12;
    let mut format = None;
    for _ in 0..CHUNKS {
        let head = file.bytes(offset, 8)?;
        let (len, body) = (le_u32(&head[4..]), offset + 8);
        match &head[..4] {
            b"fmt " => {
                if !(16..=FORMAT_BYTES).contains(&len) {
                    return Err(ViewError::Malformed("the fmt chunk is of a strange size"));
                }
                format = Some(file.bytes(body, len as usize)?);
            }
            b"data" => {
                let format = format.ok_or(ViewError::Malformed("data stands before fmt"))?;
                return shown(&format, body, len, file.size);
            }
            _ => {}
        }
        // Chunks begin at even offsets.
        offset = body + u64::from(len) + u64::from(len & 1);
    }
    Err(ViewError::Malformed("the data chunk is missing"))
}

fn shown<E>(format: &[u8], start: u64, len: u32, size: u64) -> Result<Shown, ViewError<E>> {
    let u16_at = |at: usize| u16::from_le_bytes([format[at], format[at + 1]]);
    let (coding, channels, frame, bits) = (u16_at(0), u16_at(2), u16_at(12), u16_at(14));
    if ![PCM, FLOAT, EXTENSIBLE].contains(&coding) {
        return Err(ViewError::Malformed("its samples are compressed"));
    }
    if le_u32(&format[4..]) == 0 || !(1..=MAX_CHANNELS).contains(&channels) {
        return Err(ViewError::Malformed(
            "its rate or its channels are impossible",
        ));
    }
    if !(1..=64).contains(&bits) || frame != channels * bits.div_ceil(8) {
        return Err(ViewError::Malformed("the size of its frames is impossible"));
    }
    // What was recorded from a pipe does not know its length.
    let there = size - start;
    let len = match len {
        0 | u32::MAX => there,
        len => u64::from(len).min(there),
    };
    let len = len - len % u64::from(frame);
    let says = u32::try_from(len).map_err(|_| ViewError::Malformed("it is larger than 4 GiB"))?;
    let format_len = format.len() as u32; // at most FORMAT_BYTES
    let mut head = b"RIFF".to_vec();
    head.extend_from_slice(&says.saturating_add(20 + format_len).to_le_bytes());
    head.extend_from_slice(b"WAVEfmt ");
    head.extend_from_slice(&format_len.to_le_bytes());
    head.extend_from_slice(format);
    head.extend_from_slice(b"data");
    head.extend_from_slice(&says.to_le_bytes());
    Ok(Shown {
        segments: vec![Segment::Bytes(head), Segment::File(start..start + len)],
        bits: u8::try_from(bits).ok(),
        audio_start: start,
        ends: None,
        states_frames: false,
    })
}

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;

/// WAVEFORMATEXTENSIBLE has 40 bytes.
const FORMAT_BYTES: u32 = 40;

/// Chunks before the data; broadcast recorders write up to ten.
const CHUNKS: usize = 64;
