//! Starts tasks, on the executor of all and on the threads that may wait.
//!
//! What starts a task is 2 KB of code for each kind of future or closure: in a box
//! they are one kind for each kind of result.

use std::{future::Future, pin::Pin};

use smol::Task;

/// Runs `future` beside its owner; dropping the task ends it.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    let boxed: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(future);
    smol::spawn(boxed)
}

/// Runs `work` on a thread that may wait; dropping the task before that has begun leaves it out.
pub fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let boxed: Box<dyn FnOnce() -> T + Send> = Box::new(work);
    smol::unblock(boxed)
}
