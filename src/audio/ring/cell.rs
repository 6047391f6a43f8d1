//! Numbers that belong together, as one thread tells them another one.

use std::sync::atomic::{fence, AtomicU64, Ordering};

/// Numbers that one thread writes without ever waiting, and that others read as a whole (a
/// sequence lock).
#[derive(Debug)]
pub struct SeqCell<const N: usize> {
    /// Odd while they are written, 0 before they ever were.
    turn: AtomicU64,
    numbers: [AtomicU64; N],
}

impl<const N: usize> Default for SeqCell<N> {
    fn default() -> Self {
        Self {
            turn: AtomicU64::new(0),
            numbers: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl<const N: usize> SeqCell<N> {
    /// Of one thread alone.
    pub fn store(&self, numbers: [u64; N]) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (cell, number) in self.numbers.iter().zip(numbers) {
            cell.store(number, Ordering::Relaxed);
        }
        self.turn.store(turn + 2, Ordering::Release);
    }

    /// What was stored last, and a number that differs from store to store; nothing before, or
    /// where it is written again and again meanwhile.
    pub fn load(&self) -> Option<(u64, [u64; N])> {
        (0..TRIES).find_map(|_| {
            let turn = self.turn.load(Ordering::Acquire);
            let numbers = std::array::from_fn(|i| self.numbers[i].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            let is_whole = turn.is_multiple_of(2) && turn == self.turn.load(Ordering::Relaxed);
            (is_whole && turn > 0).then_some((turn, numbers))
        })
    }
}

/// Writing takes nanoseconds, once in 10 ms; a writer that was interrupted in it is not waited
/// for.
const TRIES: u32 = 100;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn a_reader_never_sees_a_half() {
        let cell = Arc::<SeqCell<3>>::default();
        assert_eq!(cell.load(), None);
        let writer = cell.clone();
        let writes = thread::spawn(move || {
            for n in 1..200_000 {
                writer.store([n, n * 2, n * 3]);
            }
        });
        let mut last = 0;
        while last < 199_999 {
            let Some((turn, seen)) = cell.load() else {
                continue;
            };
            let n = seen[0];
            assert_eq!((turn, seen), (n * 2, [n, n * 2, n * 3]));
            assert!(n >= last, "time goes on");
            last = n;
        }
        writes.join().unwrap();
    }
}
