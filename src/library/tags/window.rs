//! A file from a certain byte on, as if it began there.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// A file without its first bytes. What is near to where it has been read is not read again.
pub struct Tail<R> {
    inner: BufReader<R>,
    /// Bytes that are not seen.
    begin: u64,
    /// The next byte, of the whole file.
    at: u64,
}

impl<R: Read + Seek> Tail<R> {
    /// `inner` from this byte on, which is the next.
    ///
    /// # Errors
    /// Those of seeking there.
    pub fn new(inner: R, begin: u64) -> io::Result<Self> {
        let mut inner = BufReader::new(inner);
        let at = inner.seek(SeekFrom::Start(begin))?;
        Ok(Self { inner, begin, at })
    }
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: Read + Seek> Seek for Tail<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "that is before the start");
        let at = match to {
            SeekFrom::Start(at) => self.begin.checked_add(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => {
                self.at = self.inner.seek(SeekFrom::End(0))?;
                self.at.max(self.begin).checked_add_signed(by)
            }
        };
        let at = at.filter(|at| *at >= self.begin).ok_or_else(before)?;
        let by = i128::from(at) - i128::from(self.at);
        match i64::try_from(by) {
            Ok(by) if !self.inner.buffer().is_empty() => self.inner.seek_relative(by)?,
            _ => _ = self.inner.seek(SeekFrom::Start(at))?,
        }
        self.at = at;
        Ok(at - self.begin)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn it_begins_where_it_is_cut() {
        let mut tail = Tail::new(Cursor::new(b"ID3fLaC"), 3).unwrap();
        let mut text = String::new();
        tail.read_to_string(&mut text).unwrap();
        assert_eq!((&*text, tail.stream_position().unwrap()), ("fLaC", 4));
        for (to, at, next) in [
            (SeekFrom::End(-2), 2, b'a'),
            (SeekFrom::Current(-2), 1, b'L'),
            (SeekFrom::Start(3), 3, b'C'),
            (SeekFrom::Start(0), 0, b'f'),
            (SeekFrom::Current(1), 2, b'a'),
        ] {
            let mut byte = [0];
            assert_eq!(tail.seek(to).unwrap(), at);
            tail.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [next], "{to:?}");
        }
        assert!(tail.seek(SeekFrom::End(-5)).is_err());
        assert!(tail.seek(SeekFrom::Start(0)).is_ok());
        assert!(tail.seek(SeekFrom::Current(-1)).is_err());
    }

    #[test]
    fn a_file_may_be_shorter_than_it_says() {
        let mut none = Tail::new(Cursor::new(b"ID3"), 9).unwrap();
        assert_eq!(none.seek(SeekFrom::End(0)).unwrap(), 0);
        assert_eq!(none.read(&mut [0]).unwrap(), 0);
    }
}
