//! How parts of messages are encoded that the derived code knows no good way for, and how parts
//! are read that a later version may have added.

use std::sync::Arc;

use minicbor::{
    decode::{self, Decode, Decoder},
    encode::{self, Encoder, Write},
};

/// Bytes that are shared.
pub(super) mod bytes {
    use super::*;

    pub fn encode<C, W: Write>(
        bytes: &Arc<[u8]>,
        to: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        to.bytes(bytes)?.ok()
    }

    pub fn decode<C>(from: &mut Decoder<'_>, _: &mut C) -> Result<Arc<[u8]>, decode::Error> {
        Ok(from.bytes()?.into())
    }
}

/// Hashes, one behind the other in one string of bytes.
pub(super) mod hashes {
    use super::*;
    use crate::catalog::Hash;

    pub fn encode<C, W: Write>(
        hashes: &[Hash],
        to: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        to.bytes(hashes.as_flattened())?.ok()
    }

    pub fn decode<C>(from: &mut Decoder<'_>, _: &mut C) -> Result<Vec<Hash>, decode::Error> {
        match from.bytes()?.as_chunks() {
            (hashes, []) => Ok(hashes.to_vec()),
            _ => Err(decode::Error::message("half a hash")),
        }
    }
}

/// A kind that this version does not know is the type's default.
pub(super) mod lenient {
    use super::*;

    pub fn decode<'b, C, T: Decode<'b, C> + Default>(
        from: &mut Decoder<'b>,
        context: &mut C,
    ) -> Result<T, decode::Error> {
        Ok(known(from, context)?.unwrap_or_default())
    }

    /// Those of a list that this version knows.
    pub fn list<'b, C, T: Decode<'b, C>>(
        from: &mut Decoder<'b>,
        context: &mut C,
    ) -> Result<Vec<T>, decode::Error> {
        let indefinite = || decode::Error::message("a list of no length");
        let count = from.array()?.ok_or_else(indefinite)?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.extend(known(from, context)?);
        }
        Ok(all)
    }

    fn known<'b, C, T: Decode<'b, C>>(
        from: &mut Decoder<'b>,
        context: &mut C,
    ) -> Result<Option<T>, decode::Error> {
        let start = from.position();
        match T::decode(from, context) {
            Err(error) if error.is_unknown_variant() => {
                from.set_position(start);
                from.skip()?;
                Ok(None)
            }
            decoded => decoded.map(Some),
        }
    }
}
