//! When the cache is written besides what arrives, and what happens when it cannot be:
//! the disk is full, read-only, or not there.
//!
//! Playing goes on in memory then; this says it once, and looks now and then whether
//! the cause is gone.

use std::time::Duration;

use smol::{Task, Timer};

use super::{Input, Peer};
use crate::node::{Event, MachineReport};

use crate::util::work;

impl Peer {
    /// Has the store put away what nobody plays any more, unless somebody goes on
    /// skipping: then after the last.
    pub(super) fn rest_soon(&mut self) {
        let store = self.store.clone();
        self.resting = Some(work::spawn(async move {
            Timer::after(REST_AFTER).await;
            work::unblock(move || store.rest_idle()).await;
        }));
    }

    /// Has it put away everything, as far as that is done in time; what is not is
    /// looked at again when it is wanted.
    pub(super) fn rest_now(&mut self) -> Task<()> {
        self.resting = None;
        self.fetches.clear();
        let store = self.store.clone();
        work::unblock(move || store.rest_all())
    }

    /// Finds out whether the cache can be written, before it is needed.
    pub(super) fn try_out_cache(&mut self) {
        let (store, to) = (self.store.clone(), self.answer.clone());
        self.tasks.spawn(async move {
            if let Err(e) = work::unblock(move || store.check()).await {
                let broken = Event::Machine(MachineReport::CacheBroken(e.to_string()));
                let _ = to.send(Input::Event(broken)).await;
            }
        });
    }

    /// Something could not be kept. A track that is too large for the cache is
    /// among this; what comes after it can be kept, as the next look finds.
    pub(super) fn handle_broken_cache(&mut self, why: &str) {
        if self.mending.is_some() {
            return;
        }
        log::warn!("what is played is not kept: {why}");
        let (store, to) = (self.store.clone(), self.answer.clone());
        self.mending = Some(work::spawn(async move {
            loop {
                Timer::after(LOOK_AGAIN).await;
                let store = store.clone();
                if work::unblock(move || store.check()).await.is_ok() {
                    let _ = to
                        .send(Input::Event(Event::Machine(MachineReport::CacheMended)))
                        .await;
                    return;
                }
            }
        }));
    }

    /// What the directory holds is known now, if it was not there before.
    pub(super) fn handle_mended_cache(&mut self) {
        if self.mending.take().is_some() {
            log::info!("the cache can be written again");
            self.announce_held();
        }
    }
}

/// The player lets go of a track within milliseconds; a person skips through a list
/// faster than this. So each track that was left before its end costs a card one block of
/// bitfield and the metadata of four names, at most once in this long; the sync of its
/// bytes is what would have been written anyway.
const REST_AFTER: Duration = Duration::from_secs(5);
/// A person who has made room looks at `status` about this much later. One look
/// writes 1 MiB.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
