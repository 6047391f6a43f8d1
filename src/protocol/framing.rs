//! Messages as frames: written to memory, read from a stream.

use std::sync::Arc;

use serde::{de::DeserializeOwned, Serialize};
use smol::io::{AsyncRead, AsyncReadExt};

use super::FromTracker;

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the connection ended")]
    Closed,
    #[error("a message of {len} bytes where {cap} is the most")]
    TooLong { len: usize, cap: usize },
    #[error("a malformed message")]
    Malformed,
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

/// `message` as a frame.
pub fn encode_frame<M: Serialize>(message: &M) -> Vec<u8> {
    let body = postcard::to_allocvec(message).expect("plain data always has an encoding");
    let len = u32::try_from(body.len()).expect("the caps are far below 4 GiB");
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// `message` as a frame in two parts, of which the second, a page's bytes, is
/// shared with the message: many are sent the same one.
pub fn encode_shared(message: &FromTracker) -> (Vec<u8>, Option<Arc<[u8]>>) {
    let FromTracker::Page {
        owner,
        index,
        bytes,
    } = message
    else {
        return (encode_frame(message), None);
    };
    // The bytes stand last, behind their number.
    let mut head = encode_frame(&FromTracker::Page {
        owner: *owner,
        index: *index,
        bytes: Arc::default(),
    });
    let none = head.pop();
    debug_assert_eq!(none, Some(0));
    let number = postcard::to_allocvec(&bytes.len()).expect("plain data always has an encoding");
    head.extend_from_slice(&number);
    let len = u32::try_from(head.len() - 4 + bytes.len()).expect("the caps are far below 4 GiB");
    head[..4].copy_from_slice(&len.to_be_bytes());
    (head, Some(bytes.clone()))
}

/// Reads one frame of at most `cap` bytes. The buffer grows with what
/// arrives, not with what is announced.
///
/// # Errors
/// [`FrameError::Closed`] when the stream ends before the frame's first byte.
pub async fn read_frame<M: DeserializeOwned>(
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
pub async fn read_frame_body<M: DeserializeOwned>(
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
fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<M, FrameError> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        _ => Err(FrameError::Malformed),
    }
}

/// What a frame's buffer starts with: most messages fit.
const FIRST_CAPACITY: usize = 4096;
