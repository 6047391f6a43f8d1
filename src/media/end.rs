//! How the decoding of a track ends.

/// How a track's samples came to their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeEnd {
    /// All samples were decoded.
    Ended,
    /// The owner asked for it.
    Cancelled,
    /// The rest cannot be decoded, and why.
    Failed(String),
}
