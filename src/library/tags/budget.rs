//! What reading one file's tags may cost.
//!
//! The parser is not ours, and takes quadratic time or a hundred times the memory of
//! what it reads where a file has more items than any tagger writes. So it reads
//! through [`Budgeted`], which looks at the bytes that go by and fails once they are
//! too many, or take too long. That does not depend on how a tag is nested or coded:
//! each item of ID3v2, APE, Vorbis comments, RIFF INFO and MP4 has a length, of which
//! the two high bytes are zero unless it is long, and then the bytes run out first.
//! Items in items take the parser's stack, one call in the other: how far it has come
//! is seen by where the reader's own variables lie.

use std::{
    cell::RefCell,
    io::{self, Read, Seek, SeekFrom},
    rc::Rc,
    time::Instant,
};

use super::account::Account;

/// What has been spent, for the owner of a [`Budgeted`] that was given away.
#[derive(Clone, Debug)]
pub struct Spent(Rc<RefCell<Account>>);

/// A file that fails when too much of it is read.
pub struct Budgeted<R> {
    inner: R,
    spent: Spent,
}

impl<R> Budgeted<R> {
    /// Gives `inner` a fresh budget.
    pub fn new(inner: R) -> Self {
        let account = Account::new(stack_address(), Instant::now());
        let spent = Spent(Rc::new(RefCell::new(account)));
        Self { inner, spent }
    }

    pub fn spent(&self) -> Spent {
        self.spent.clone()
    }
}

impl Spent {
    /// Why no more was read, if too much was. A parser may have swallowed the error.
    pub fn over(&self) -> Option<String> {
        self.0.borrow().over().map(str::to_owned)
    }

    fn count(&self, bytes: &[u8]) -> io::Result<()> {
        let mut account = self.0.borrow_mut();
        account.count(bytes, stack_address());
        if account.asks_time() {
            account.handle_time(Instant::now());
        }
        match account.over() {
            Some(why) => Err(io::Error::other(why)),
            None => Ok(()),
        }
    }
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.spent.count(&buf[..read])?;
        Ok(read)
    }
}

impl<R: Seek> Seek for Budgeted<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.spent.count(&[])?;
        self.inner.seek(to)
    }
}

/// Where about the stack ends at present.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

#[cfg(test)]
mod tests {
    use super::{
        super::account::{CLOCK_CALLS, MAX_TIME},
        *,
    };

    fn read_all(bytes: &[u8]) -> Option<String> {
        let mut budgeted = Budgeted::new(bytes);
        let spent = budgeted.spent();
        let read = io::copy(&mut budgeted, &mut io::sink());
        assert_eq!(read.is_err(), spent.over().is_some());
        spent.over()
    }

    #[test]
    fn what_taggers_write_is_within_the_budget() {
        let item = |n: u32| [&n.to_be_bytes()[..], b"TXXX", &[0; 2], b"some text\0"].concat();
        let tag: Vec<u8> = (0..1000).flat_map(item).collect();
        assert_eq!(read_all(&tag), None);
        let cover: Vec<u8> = (0..4_000_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        assert_eq!(read_all(&cover), None);
        assert_eq!(read_all(&vec![0; 10_000_000]), None, "padding");
        let lyrics: Vec<u8> = "la ".repeat(30_000).bytes().flat_map(|b| [b, 0]).collect();
        assert_eq!(read_all(&lyrics), None);
    }

    #[test]
    fn too_many_items_values_or_bytes_are_named() {
        let many = |item: &[u8]| read_all(&item.repeat(600_000)).unwrap_or_default();
        assert!(many(b"\x05\0\0\0A=bcd").contains("items"));
        assert!(many(b"TXXX\0\0\0\x08\0\0\0text\0\0\0").contains("items"));
        assert!(many(b"a\0").contains("values"));
        assert!(many(&[7; 200]).contains("MiB"));
    }

    #[test]
    fn the_clock_ends_what_reads_nothing() {
        let mut budgeted = Budgeted::new(io::Cursor::new([]));
        let spent = budgeted.spent();
        let long_ago = Instant::now().checked_sub(2 * MAX_TIME).unwrap();
        *spent.0.borrow_mut() = Account::new(stack_address(), long_ago);
        let ended = (0..=CLOCK_CALLS).any(|_| budgeted.seek(SeekFrom::Start(0)).is_err());
        assert!(ended);
        assert!(spent.over().is_some_and(|why| why.contains("took")));
    }
}
