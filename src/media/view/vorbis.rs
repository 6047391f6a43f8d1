//! The codebooks of a Vorbis setup packet (Vorbis I, section 3.2.1), looked at before
//! the decoder makes tables of them: a few bytes can claim sixteen million entries,
//! for which it would allocate some hundred megabytes and compute for seconds.

/// Whether the packet has as many codebooks as it says, none larger than any
/// encoder's.
pub(super) fn has_sane_codebooks(setup: &[u8]) -> bool {
    codebooks(setup).is_some()
}

fn codebooks(setup: &[u8]) -> Option<()> {
    let mut bits = Bits {
        bytes: setup.strip_prefix(b"\x05vorbis")?,
        at: 0,
    };
    let count = bits.take(8)? + 1;
    let mut all = 0;
    for _ in 0..count {
        all += codebook(&mut bits)?;
    }
    (all <= MAX_ALL_ENTRIES).then_some(())
}

/// Steps over a codebook, and gives how many entries it has.
fn codebook(bits: &mut Bits<'_>) -> Option<u32> {
    if bits.take(24)? != SYNC {
        return None;
    }
    let dimensions = bits.take(16)?;
    let entries = bits.take(24)?;
    if entries == 0 || entries > MAX_ENTRIES {
        return None;
    }
    match bits.take(1)? {
        1 => ordered_lengths(bits, entries)?,
        _ => {
            let sparse = bits.take(1)? == 1;
            for _ in 0..entries {
                if !sparse || bits.take(1)? == 1 {
                    bits.take(5)?;
                }
            }
        }
    }
    let values = match bits.take(4)? {
        0 => return Some(entries),
        1 => lookup_values(entries, dimensions)?,
        2 => entries.checked_mul(dimensions)?,
        _ => return None,
    };
    // The least value and the step, then how long each one is.
    bits.skip(64)?;
    let len = bits.take(4)? + 1;
    bits.skip(1)?;
    bits.skip(usize::try_from(values.checked_mul(len)?).ok()?)?;
    Some(entries)
}

/// Lengths as runs: how many entries have this length, then the next.
fn ordered_lengths(bits: &mut Bits<'_>, entries: u32) -> Option<()> {
    bits.take(5)?;
    let mut done = 0;
    for _ in 0..=LONGEST {
        if done == entries {
            return Some(());
        }
        let left = entries - done;
        done += bits.take(u32::BITS - left.leading_zeros())?;
        if done > entries {
            return None;
        }
    }
    None
}

/// The greatest number whose `dimensions`th power is not above `entries`.
fn lookup_values(entries: u32, dimensions: u32) -> Option<u32> {
    let fits = |n: u32| {
        let mut power = 1u32;
        // A power of 2 or more is above `entries` after at most 32 steps.
        (0..dimensions.min(u32::BITS)).all(|_| {
            power = power.saturating_mul(n);
            power <= entries
        })
    };
    if dimensions == 0 {
        return None;
    }
    (1..=entries).take_while(|&n| fits(n)).last()
}

/// Bits of a packet, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// At most 32.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for n in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << n;
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }
}

/// "BCV".
const SYNC: u32 = 0x56_43_42;
/// Of a codeword, in bits.
const LONGEST: u32 = 32;
/// libvorbis' largest has 6561 entries.
const MAX_ENTRIES: u32 = 64 * 1024;
/// Of all books: libvorbis' have some ten thousand together.
const MAX_ALL_ENTRIES: u32 = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Puts numbers of so many bits behind one another.
    fn packet(fields: &[(u32, u32)]) -> Vec<u8> {
        let bits = fields
            .iter()
            .flat_map(|(value, len)| (0..*len).map(move |n| value >> n & 1));
        let bits: Vec<u32> = bits.collect();
        let byte = |bits: &[u32]| {
            bits.iter()
                .rev()
                .fold(0u8, |byte, bit| byte << 1 | *bit as u8)
        };
        [
            &b"\x05vorbis"[..],
            &bits.chunks(8).map(byte).collect::<Vec<_>>(),
        ]
        .concat()
    }

    #[test]
    fn books_are_stepped_over_whatever_their_form() {
        let head = |entries| [(SYNC, 24), (2, 16), (entries, 24)];
        let ordered = |entries| [&head(entries)[..], &[(1, 1), (0, 5)]].concat();
        let plain = [&head(3)[..], &[(0, 1), (0, 1)], &[(7, 5); 3], &[(0, 4)]].concat();
        let sparse = [
            &head(2)[..],
            &[(0, 1), (1, 1), (0, 1), (1, 1), (4, 5), (0, 4)],
        ]
        .concat();
        // Nine entries of two dimensions: three values of five bits.
        let runs = [
            &ordered(9)[..],
            &[(4, 4), (5, 3)],
            &[(1, 4), (0, 32), (0, 32), (4, 4), (0, 1)],
            &[(0, 5); 3],
        ];
        let all = [&[(2, 8)], &plain[..], &sparse, &runs.concat()].concat();
        let whole = packet(&all);
        assert!(has_sane_codebooks(&whole));
        assert!(!has_sane_codebooks(&whole[..whole.len() - 1]));
        // Found by the fuzz target `decode`: sixteen million entries in some bytes.
        let many = 0xff_ffff;
        let absurd = [&[(0, 8)], &ordered(many)[..], &[(many, 24), (0, 4)]].concat();
        assert!(!has_sane_codebooks(&packet(&absurd)));
        let large = [
            &[(0, 8)],
            &ordered(MAX_ENTRIES)[..],
            &[(MAX_ENTRIES, 17), (0, 4)],
        ]
        .concat();
        assert!(has_sane_codebooks(&packet(&large)));
    }

    proptest! {
        #[test]
        fn any_packet_is_sane_or_not(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = has_sane_codebooks(&[b"\x05vorbis", &noise[..]].concat());
        }
    }
}
