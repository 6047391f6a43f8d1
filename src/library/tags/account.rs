//! The account of what a parser of tags has read: what is too much, and why.

use std::time::{Duration, Instant};

/// What has gone by, and what may.
#[derive(Debug)]
pub(super) struct Account {
    bytes: u64,
    items: u32,
    values: u32,
    calls: u32,
    /// Where the stack was when the parser was called.
    stack: usize,
    /// The last two bytes that went by.
    last: [u8; 2],
    deadline: Instant,
    over: Option<String>,
}

impl Account {
    /// Of a parser that is called now, with its stack at `stack`.
    pub fn new(stack: usize, now: Instant) -> Self {
        Self {
            bytes: 0,
            items: 0,
            values: 0,
            calls: 0,
            stack,
            last: [1; 2],
            deadline: now + MAX_TIME,
            over: None,
        }
    }

    /// Why no more is read, if too much was.
    pub fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }

    /// These bytes go by, while the stack is at `stack`.
    pub fn count(&mut self, bytes: &[u8], stack: usize) {
        self.bytes += bytes.len() as u64;
        for &byte in bytes {
            match (self.last, byte) {
                ([0, 0], 1..) => self.items += 1,
                ([_, before], 0) if before > 0 => self.values += 1,
                _ => {}
            }
            self.last = [self.last[1], byte];
        }
        self.calls = self.calls.wrapping_add(1);
        let over = if self.items > MAX_ITEMS {
            format!("its tags have more than {MAX_ITEMS} items")
        } else if self.values > MAX_VALUES {
            format!("its tags have more than {MAX_VALUES} values")
        } else if self.bytes > MAX_BYTES {
            format!("its tags have more than {} MiB", MAX_BYTES >> 20)
        } else if self.stack.abs_diff(stack) > MAX_STACK {
            "its tags are nested too deep".into()
        } else {
            return;
        };
        self.over.get_or_insert(over);
    }

    /// Whether [`Self::handle_time`] is to be told the time: not every time, which would cost
    /// more than reading.
    pub fn asks_time(&self) -> bool {
        self.calls.is_multiple_of(CLOCK_CALLS)
    }

    pub fn handle_time(&mut self, now: Instant) {
        if now > self.deadline {
            let late = || format!("reading its tags took more than {} s", MAX_TIME.as_secs());
            self.over.get_or_insert_with(late);
        }
    }
}

/// Items of a tag, each of which counts two or three times. Taggers write some dozen,
/// an audiobook with 500 chapters has 3,000; the parser compares each with all before.
const MAX_ITEMS: u32 = 8192;

/// Texts that end with a zero, among them each character of UTF-16: long lyrics have
/// 10,000. The parser makes a value of a hundred bytes of each.
const MAX_VALUES: u32 = 256 * 1024;

/// Some covers, which the parser reads through where it cannot seek. Of a text it makes up to
/// four times as much.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// A quarter of what a thread has. Tags as they are written take a tenth of it; a chapter in
/// a chapter takes up to 10 KB.
const MAX_STACK: usize = 512 * 1024;

/// A disk that spins up takes 10 s, and so does a cover on a slow network.
pub(super) const MAX_TIME: Duration = Duration::from_secs(20);

/// The clock is looked at every so many calls: between two of them the parser does
/// little more than compare one item with the others.
pub(super) const CLOCK_CALLS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// Why an account is over after `count` times these bytes, at such a depth of the stack.
    fn over(bytes: &[u8], count: u32, depth: usize) -> Option<String> {
        let mut account = Account::new(1 << 20, Instant::now());
        for _ in 0..count {
            account.count(bytes, (1 << 20) - depth);
        }
        account.over().map(str::to_owned)
    }

    #[test]
    fn each_budget_has_its_end_and_its_words() {
        let mib = vec![1; 1 << 20];
        for (bytes, most, depth, words) in [
            (&[0, 0, 5][..], MAX_ITEMS, 0, "items"),
            (&[65, 0][..], MAX_VALUES, 0, "values"),
            (&mib, (MAX_BYTES >> 20) as u32, 0, "MiB"),
        ] {
            assert_eq!(over(bytes, most, depth), None, "{words}");
            let why = over(bytes, most + 1, depth);
            assert!(
                why.as_ref().is_some_and(|why| why.contains(words)),
                "{why:?}"
            );
        }
        assert_eq!(over(&[], 1, MAX_STACK), None);
        let why = over(&[], 1, MAX_STACK + 1);
        assert_eq!(why.as_deref(), Some("its tags are nested too deep"));
    }

    #[test]
    fn time_is_asked_for_now_and_then_and_the_first_reason_stays() {
        let begin = Instant::now();
        let mut account = Account::new(0, begin);
        let asked = (0..10 * CLOCK_CALLS).filter(|_| {
            account.count(&[], 0);
            account.asks_time()
        });
        assert_eq!(asked.count(), 10);
        account.handle_time(begin + MAX_TIME);
        assert_eq!(account.over(), None);
        account.handle_time(begin + 2 * MAX_TIME);
        account.count(&[], usize::MAX);
        assert!(account
            .over()
            .is_some_and(|why| why.contains("took more than")));
    }
}
