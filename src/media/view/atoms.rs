//! The atoms of ISO base media (ISO/IEC 14496-12, section 4.2): a size, a kind, a body.

use std::ops::Range;

use super::{be_u32, ParserInput, ViewError};

/// Where an atom and its body are in the file.
pub(super) struct Atom {
    pub kind: [u8; 4],
    pub start: u64,
    pub body: Range<u64>,
}

/// The atoms that fill a range of the file. Where bytes are left over, the demuxer
/// would read a header that begins in them and ends outside.
pub(super) fn children<E>(
    file: &mut ParserInput<'_, '_, E>,
    range: Range<u64>,
) -> Result<Vec<Atom>, ViewError<E>> {
    let mut atoms = Vec::new();
    let mut start = range.start;
    while start < range.end {
        if atoms.len() == ATOMS {
            return Err(ViewError::Malformed("it has too many atoms"));
        }
        let atom = next(file, start..range.end)?;
        start = atom.body.end;
        atoms.push(atom);
    }
    Ok(atoms)
}

/// The atom that a range begins with.
pub(super) fn next<E>(
    file: &mut ParserInput<'_, '_, E>,
    range: Range<u64>,
) -> Result<Atom, ViewError<E>> {
    let start = range.start;
    if range.end - start < 8 {
        return Err(ViewError::Malformed("an atom is cut off"));
    }
    let head = file.bytes(start, 8)?;
    let (len, head_len) = match be_u32(&head) {
        0 => (range.end - start, 8),
        1 => {
            let long = file.bytes(start + 8, 8)?;
            let len = u64::from(be_u32(&long)) << 32 | u64::from(be_u32(&long[4..]));
            (len, 16)
        }
        len => (u64::from(len), 8),
    };
    if len < head_len || len > range.end - start {
        return Err(ViewError::Malformed("the size of an atom is impossible"));
    }
    Ok(Atom {
        kind: [head[4], head[5], head[6], head[7]],
        start,
        body: start + head_len..start + len,
    })
}

/// Bytes of those fields that `flags` say are there.
pub(super) fn fields(flags: u32, fields: &[(u32, u64)]) -> u64 {
    let there = fields.iter().filter(|(flag, _)| flags & flag != 0);
    there.map(|(_, len)| len).sum()
}

/// Atoms side by side; encoders write ten.
pub(super) const ATOMS: usize = 256;
