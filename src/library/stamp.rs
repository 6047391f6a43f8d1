//! By what a file is known again.

/// By what a file is known to be unchanged, without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct FileStamp {
    /// Bytes.
    #[n(0)]
    pub size: u64,
    /// Last modified, in seconds since 1970, and nanoseconds.
    #[n(1)]
    pub modified: (i64, u32),
    /// 0 where the file system makes inode numbers up anew at each mount.
    #[n(2)]
    pub inode: u64,
    /// When the kernel last saw it change in any way, which no program can set, in
    /// seconds since 1970, and nanoseconds. `None` where that was not noted, or is
    /// made up.
    #[n(3)]
    pub changed: Option<(i64, u32)>,
}

impl FileStamp {
    /// Whether size and times are the same: all that can be said of a file
    /// across mounts.
    pub fn same_content(&self, other: &Self) -> bool {
        (self.size, self.modified) == (other.size, other.modified) && !self.is_touched(other)
    }

    /// Whether nothing tells the file that has `other` from the one that had this.
    pub fn is_same(&self, other: &Self) -> bool {
        self.same_content(other) && self.inode == other.inode
    }

    /// Whether something happened to it: another owner or mode, or another content of
    /// the same size by a program that puts the time of modification back.
    fn is_touched(&self, other: &Self) -> bool {
        matches!((self.changed, other.changed), (Some(was), Some(is)) if was != is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_until_something_tells_otherwise() {
        let was = FileStamp {
            size: 7,
            modified: (1_000, 5),
            inode: 42,
            changed: Some((1_001, 0)),
        };
        for (is, has_same_content, is_same) in [
            (was, true, true),
            (FileStamp { size: 8, ..was }, false, false),
            (
                FileStamp {
                    modified: (1_000, 6),
                    ..was
                },
                false,
                false,
            ),
            (FileStamp { inode: 43, ..was }, true, false),
            (
                FileStamp {
                    changed: Some((1_002, 0)),
                    ..was
                },
                false,
                false,
            ),
            // Noted before times of change were.
            (
                FileStamp {
                    changed: None,
                    ..was
                },
                true,
                true,
            ),
        ] {
            assert_eq!(was.same_content(&is), has_same_content, "{is:?}");
            assert_eq!(is.same_content(&was), has_same_content, "{is:?}");
            assert_eq!(was.is_same(&is), is_same, "{is:?}");
        }
    }
}
