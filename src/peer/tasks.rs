//! Tasks with one owner.

use std::future::Future;

use smol::Task;

use crate::util::work;

/// A set of tasks, all of which end when it is dropped.
#[derive(Default)]
pub struct Tasks(Vec<Task<()>>);

impl Tasks {
    /// Starts a task, and forgets those that have ended.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.retain(|task| !task.is_finished());
        self.0.push(work::spawn(future));
    }
}
