//! What waits for the audio thread: orders, of which the latest wins, and
//! reports of the decoding thread. Posting never blocks and never queues up:
//! there is one place for each kind of order.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::report::Report;
use super::{Load, PlayId};

/// The mailbox of the audio thread.
#[derive(Default)]
pub struct Inbox {
    mail: Mutex<Mail>,
    bell: Condvar,
}

/// All that arrived since the last look.
#[derive(Default)]
pub struct Mail {
    /// Replaces what plays. Comes before all below.
    pub load: Option<Box<Load>>,
    /// Silence and forget; comes before `load`.
    pub stop: bool,
    /// The successor, or none.
    pub next: Option<Option<Box<Load>>>,
    /// Go on where the board says.
    pub seek: bool,
    /// Pause or go on.
    pub paused: Option<bool>,
    /// Make no sound of a play, or go on.
    pub held: Option<(PlayId, bool)>,
    /// 0 to 100.
    pub volume: Option<u8>,
    /// End the thread.
    pub quit: bool,
    /// At most three for each of the two jobs that can be under way.
    pub reports: VecDeque<Report>,
}

impl Mail {
    fn is_empty(&self) -> bool {
        !self.stop
            && !self.quit
            && self.load.is_none()
            && self.next.is_none()
            && !self.seek
            && self.paused.is_none()
            && self.held.is_none()
            && self.volume.is_none()
            && self.reports.is_empty()
    }
}

impl Inbox {
    /// Leaves an order.
    pub fn post(&self, order: impl FnOnce(&mut Mail)) {
        order(&mut self.lock());
        self.bell.notify_one();
    }

    /// Leaves a report.
    pub fn report(&self, report: Report) {
        self.post(|mail| mail.reports.push_back(report));
    }

    /// Waits for mail, at most as long as told.
    pub fn take(&self, wait: Option<Duration>) -> Mail {
        let mail = self.lock();
        let mut mail = match wait {
            None => self
                .bell
                .wait_while(mail, |mail| mail.is_empty())
                .unwrap_or_else(PoisonError::into_inner),
            Some(wait) => {
                self.bell
                    .wait_timeout_while(mail, wait, |mail| mail.is_empty())
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        std::mem::take(&mut mail)
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
