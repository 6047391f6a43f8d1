//! What a node has logged.
#![allow(dead_code)] // each test file uses a part of it

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub struct Log {
    pub lines: Mutex<Vec<String>>,
    pub grown: Condvar,
}

impl Log {
    /// A thread that gave up while it held the lines has not changed them.
    pub fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
