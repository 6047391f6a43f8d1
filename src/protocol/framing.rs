//! Frames from a stream: see `frames` for how they are written.

use minicbor::{Decode, Decoder};
use smol::io::{AsyncRead, AsyncReadExt};

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the connection ended")]
    Closed,
    #[error("a message of {len} bytes where {cap} is the most")]
    TooLong { len: usize, cap: usize },
    #[error("a malformed message")]
    Malformed,
    /// A later version knows it.
    #[error("a message of the unknown kind {0}")]
    Unsupported(i64),
    #[error(transparent)]
    Io(std::io::Error),
}

impl From<std::io::Error> for FrameError {
    /// A stream that ends in the midst has ended: TLS has more to say of that, with an address
    /// to read on at, than a person wants to know.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Reads one frame of at most `cap` bytes. The buffer grows with what
/// arrives, not with what is announced.
///
/// # Errors
/// [`FrameError::Closed`] when the stream ends before the frame's first byte.
pub async fn read_frame<M: for<'b> Decode<'b, ()>>(
    from: &mut (impl AsyncRead + Unpin),
    cap: usize,
) -> Result<M, FrameError> {
    let len = read_frame_length(from, cap).await?;
    read_frame_body(from, len).await
}

/// The first part of [`read_frame`]: how many bytes follow.
///
/// # Errors
/// [`FrameError::Closed`] when the stream ends before the frame's first byte.
pub async fn read_frame_length(
    from: &mut (impl AsyncRead + Unpin),
    cap: usize,
) -> Result<usize, FrameError> {
    let mut header = [0; 4];
    if from.read(&mut header[..1]).await? == 0 {
        return Err(FrameError::Closed);
    }
    from.read_exact(&mut header[1..]).await?;
    let len = u32::from_be_bytes(header) as usize;
    if len > cap {
        return Err(FrameError::TooLong { len, cap });
    }
    Ok(len)
}

/// The second part of [`read_frame`].
///
/// # Errors
/// [`FrameError::Closed`] when the stream ends before it.
pub async fn read_frame_body<M: for<'b> Decode<'b, ()>>(
    from: &mut (impl AsyncRead + Unpin),
    len: usize,
) -> Result<M, FrameError> {
    let mut body = Vec::with_capacity(len.min(FIRST_CAPACITY));
    smol::io::copy(from.take(len as u64), &mut body).await?;
    if body.len() < len {
        return Err(FrameError::Closed);
    }
    decode(&body)
}

/// Decodes a frame's body, refusing what is left over behind it.
fn decode<M: for<'b> Decode<'b, ()>>(body: &[u8]) -> Result<M, FrameError> {
    let mut from = Decoder::new(body);
    match from.decode() {
        Ok(message) if from.position() == body.len() => Ok(message),
        Err(error) if error.is_unknown_variant() => kind(body),
        _ => Err(FrameError::Malformed),
    }
}

/// The kind of a message that this version does not know.
fn kind<M>(body: &[u8]) -> Result<M, FrameError> {
    let mut from = Decoder::new(body);
    let number = from.array().and_then(|_| from.i64());
    Err(number.map_or(FrameError::Malformed, FrameError::Unsupported))
}

/// What a frame's buffer starts with: most messages fit.
const FIRST_CAPACITY: usize = 4096;
