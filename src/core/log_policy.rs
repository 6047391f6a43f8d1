//! What the log says of what happens: once, and not with every attempt.

use std::time::Instant;

use super::chatter::Chatter;
use crate::{
    audio::PlayerEvent,
    node::{Event, MachineReport, ScanEvent},
};

/// See the module's description.
#[derive(Debug)]
pub struct LogPolicy {
    chatter: Chatter,
    /// Whether the log says that there is no sound.
    is_silent: bool,
}

impl LogPolicy {
    pub fn new() -> Self {
        Self {
            chatter: Chatter::new(),
            is_silent: false,
        }
    }

    /// Logs what a person wants to know of `event`.
    pub fn note(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Tracker(event) => self.chatter.say(event, now),
            Event::Player(event) => self.note_player(event),
            Event::Scan(ScanEvent::Problem(what)) => log::warn!("{what}"),
            Event::Machine(MachineReport::CacheMended) => {
                log::info!("the cache can be written again");
            }
            _ => {}
        }
    }

    fn note_player(&mut self, event: &PlayerEvent) {
        match event {
            PlayerEvent::DeviceLost { why } if !self.is_silent => {
                self.is_silent = true;
                log::warn!("no sound: {why}");
            }
            PlayerEvent::DeviceOpen { .. } | PlayerEvent::DeviceBack if self.is_silent => {
                self.is_silent = false;
                log::info!("the audio device is back");
            }
            PlayerEvent::Underrun { .. } => {
                log::debug!("the sound waits for bytes (underrun)");
            }
            PlayerEvent::Gap { .. } => log::debug!("the sound had a gap (underrun)"),
            PlayerEvent::Resumed { .. } => log::debug!("the sound goes on"),
            _ => {}
        }
    }

    /// Whether the log says that there is no sound.
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }
}
