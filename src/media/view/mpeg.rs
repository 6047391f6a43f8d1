//! MP3: the tags around the frames are left out. At the end those are ID3v1 and
//! APEv2, whose pictures the demuxer would search for frames.

use super::{le_u32, Probe, Segment, Shown, ViewError};

pub(super) fn view<E>(file: &mut Probe<'_, '_, E>) -> Result<Shown, ViewError<E>> {
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
    if start == end {
        return Err(ViewError::Malformed("there is nothing but tags"));
    }
    Ok(Shown {
        segments: vec![Segment::File(start..end)],
        bits: None,
        audio_start: start,
    })
}

/// The size of the APEv2 tag that ends with this footer.
fn ape_bytes(footer: &[u8]) -> Option<u64> {
    let size = u64::from(le_u32(&footer[12..]));
    let has_header = le_u32(&footer[20..]) & 0x8000_0000 != 0;
    footer
        .starts_with(b"APETAGEX")
        .then_some(size + if has_header { APE_FOOTER } else { 0 })
}

const ID3V1: u64 = 128;
const APE_FOOTER: u64 = 32;
