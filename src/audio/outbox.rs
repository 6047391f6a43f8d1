//! Telling what happened without ever waiting for the listener.

use std::collections::VecDeque;

use super::{PlayerEvent, EVENT_BOUND};

/// Events on their way to a bounded channel that is never waited for.
pub struct EventOutbox {
    events: async_channel::Sender<PlayerEvent>,
    waiting: VecDeque<PlayerEvent>,
}

impl EventOutbox {
    /// Nothing waits yet.
    pub fn new(events: async_channel::Sender<PlayerEvent>) -> Self {
        Self {
            events,
            waiting: VecDeque::new(),
        }
    }

    /// Sends `event`, now or when there is room.
    pub fn push(&mut self, event: PlayerEvent) {
        self.waiting.push_back(event);
        self.flush();
        if self.waiting.len() > EVENT_BOUND {
            // Nobody has listened for minutes; what starved matters least.
            let least = self.waiting.iter().position(|event| {
                matches!(
                    event,
                    PlayerEvent::Underrun { .. }
                        | PlayerEvent::Resumed { .. }
                        | PlayerEvent::Gap { .. }
                )
            });
            self.waiting.remove(least.unwrap_or(0));
        }
    }

    /// Sends what there is room for.
    pub fn flush(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(async_channel::TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return;
                }
                Err(async_channel::TrySendError::Closed(_)) => {}
            }
        }
    }

    /// Whether all has been sent.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
