//! How long something may take at most.

use std::{
    future::{Future, IntoFuture},
    io,
    time::{Duration, Instant},
};

use smol::{future, Timer};

/// `future`, or `None` after `limit`.
pub async fn within<T>(limit: Duration, future: impl IntoFuture<Output = T>) -> Option<T> {
    future::or(async { Some(future.await) }, async {
        Timer::after(limit).await;
        None
    })
    .await
}

/// `work`, for no longer than `limit`.
///
/// # Errors
/// Those of `work`, and [`io::ErrorKind::TimedOut`] when it takes too long.
pub async fn io_within<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let late = || Err(io::ErrorKind::TimedOut.into());
    within(limit, work).await.unwrap_or_else(late)
}

/// Waits for one thing after another, for each as long at most. Cheaper than
/// [`within`] for each: its timer is not set anew before it has gone off.
pub struct Patience {
    limit: Duration,
    timer: Timer,
}

impl Patience {
    pub fn new(limit: Duration) -> Self {
        let timer = Timer::after(limit);
        Self { limit, timer }
    }

    /// `future`, or `None` when it takes too long.
    pub async fn wait<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let Some(due) = Instant::now().checked_add(self.limit) else {
            return Some(future.await);
        };
        let over = async {
            while Instant::now() < due {
                (&mut self.timer).await;
                self.timer.set_at(due);
            }
            None
        };
        future::or(async { Some(future.await) }, over).await
    }
}

/// Waits for one deadline after another. Cheaper than a timer for each: its own is not set anew
/// before it has gone off, unless it would be late.
pub struct Alarm {
    timer: Timer,
    set: Option<Instant>,
}

impl Alarm {
    pub fn new() -> Self {
        let (timer, set) = (Timer::never(), None);
        Self { timer, set }
    }

    /// Waits until `due`, where there is such a time.
    pub async fn wait(&mut self, due: Option<Instant>) {
        let Some(due) = due else {
            return future::pending().await;
        };
        while Instant::now() < due {
            if self.set.is_none_or(|set| set > due) {
                self.timer.set_at(due);
                self.set = Some(due);
            }
            (&mut self.timer).await;
            self.set = None;
        }
    }
}
