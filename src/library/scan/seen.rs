//! What a walk comes upon.

use std::path::{Path, PathBuf};

use crate::library::stamp::FileStamp;

/// A file with a name that promises music.
#[derive(Debug)]
pub struct FoundFile {
    /// The file, as the system knows it.
    pub path: PathBuf,
    pub dir: String,
    pub name: String,
    pub stamp: FileStamp,
}

/// What the walk came upon.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A directory that is about to be read.
    Directory(&'a Path),
    File(FoundFile),
    /// Something that cannot be listed, and why.
    Problem {
        path: PathBuf,
        why: String,
    },
    /// The same, of which nothing is wrong that had to be seen to.
    LeftOut {
        path: PathBuf,
        why: String,
    },
}
