//! Messages as frames, in memory: the length of what follows in four bytes, and that.

use std::sync::Arc;

use minicbor::{Encode, Encoder};

use super::FromTracker;

/// `message` as a frame.
pub fn encode_frame<M: Encode<()>>(message: &M) -> Vec<u8> {
    frame(message, 0)
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
    let without = FromTracker::Page {
        owner: *owner,
        index: *index,
        bytes: Arc::default(),
    };
    // The bytes stand last, behind their number.
    let mut number = Encoder::new(Vec::new());
    number.bytes_len(bytes.len() as u64).expect(INFALLIBLE);
    let number = number.into_writer();
    let mut head = frame(&without, number.len() - 1 + bytes.len());
    let none = head.pop();
    debug_assert_eq!(none, Some(NO_BYTES));
    head.extend_from_slice(&number);
    (head, Some(bytes.clone()))
}

/// The frame of `message`, which is followed by `more` bytes.
fn frame<M: Encode<()>>(message: &M, more: usize) -> Vec<u8> {
    let mut frame = vec![0; 4];
    minicbor::encode(message, &mut frame).expect(INFALLIBLE);
    let len = u32::try_from(frame.len() - 4 + more).expect("the caps are far below 4 GiB");
    frame[..4].copy_from_slice(&len.to_be_bytes());
    frame
}

/// An empty string of bytes.
const NO_BYTES: u8 = 0x40;

const INFALLIBLE: &str = "memory takes whatever is written to it";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PeerId;

    /// However many bytes announce how many there are.
    #[test]
    fn a_frame_in_two_parts_is_the_frame_in_one() {
        for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536] {
            let page = FromTracker::Page {
                owner: PeerId([7; 32]),
                index: 3,
                bytes: vec![9; length].into(),
            };
            let (head, body) = encode_shared(&page);
            let parts = [&head[..], body.as_deref().unwrap_or_default()].concat();
            assert_eq!(parts, encode_frame(&page), "{length}");
            let announced = u32::from_be_bytes([parts[0], parts[1], parts[2], parts[3]]);
            assert_eq!(announced as usize, parts.len() - 4);
        }
    }
}
