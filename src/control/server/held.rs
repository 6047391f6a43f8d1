//! What clients have this node keep in memory, in bytes.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};

/// Bytes kept for the clients of one kind, together: command lists that they send, and answers
/// that they have not taken. One may have the longest list, and eight at once still fit; what
/// more there were would be a client that does nothing else.
pub(super) const MAX_HELD: usize = 16 * 1024 * 1024;

/// One client's part of what is kept; given back when it goes.
#[derive(Debug)]
pub(super) struct ClientBytes {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl ClientBytes {
    pub fn new(all: Arc<AtomicUsize>) -> Self {
        Self { all, own: 0 }
    }

    /// Takes note that `bytes` are kept for this client now. False when that is too much of
    /// all together, and more than a client needs.
    pub fn set(&mut self, bytes: usize) -> bool {
        // What one gives back while another takes does not make the sum wrong, only late.
        let before = self.all.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_sub(self.own, Ordering::Relaxed);
        let was = std::mem::replace(&mut self.own, bytes);
        bytes <= NEEDED || (before + bytes).saturating_sub(was) <= MAX_HELD
    }
}

impl Drop for ClientBytes {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// What every client may have, whatever the others have: a line and a page of an answer. All
/// clients together have less than [`MAX_HELD`] of it.
const NEEDED: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_a_bound_in_bytes_and_everybody_a_little() {
        let all = Arc::<AtomicUsize>::default();
        let list = 2 * 1024 * 1024;
        let mut lists: Vec<_> = (0..8).map(|_| ClientBytes::new(all.clone())).collect();
        assert!(lists.iter_mut().all(|held| held.set(list)));
        let mut more = ClientBytes::new(all.clone());
        assert!(more.set(NEEDED));
        assert!(!more.set(list));
        drop(more);
        lists.pop();
        assert!(ClientBytes::new(all.clone()).set(list));
        lists.iter_mut().for_each(|held| assert!(held.set(0)));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
