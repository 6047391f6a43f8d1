//! What became of each play, for the laws to look at.

use std::time::Duration;

use super::{host::Host, net::HostNo, world::World};
use crate::audio::PlayerEvent;

/// What became of a play that its player was given.
#[derive(Clone, Debug, Default)]
pub struct Story {
    pub song: String,
    pub started: Option<Duration>,
    pub ended: Option<Duration>,
    /// When it starved.
    pub underruns: Vec<Duration>,
    pub fate: Option<Fate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Heard to its end.
    Heard,
    Failed(String),
    /// Another was wanted.
    Dropped,
}

impl Host {
    pub fn drop_stories(&mut self, which: impl Fn(&Story) -> bool) {
        for story in self.stories.values_mut().filter(|story| which(story)) {
            story.fate.get_or_insert(Fate::Dropped);
        }
    }
}

impl World {
    pub fn write_story(&mut self, host: HostNo, event: &PlayerEvent) {
        let elapsed = self.elapsed();
        let stories = &mut self.hosts[host.0].stories;
        let (play, what) = match event {
            PlayerEvent::Started { play, .. } => {
                stories
                    .entry(*play)
                    .or_default()
                    .started
                    .get_or_insert(elapsed);
                (play, "starts".to_owned())
            }
            PlayerEvent::Underrun { play } => {
                stories.entry(*play).or_default().underruns.push(elapsed);
                (play, "starves".to_owned())
            }
            PlayerEvent::Gap { play } => {
                stories.entry(*play).or_default().underruns.push(elapsed);
                (play, "has a gap".to_owned())
            }
            PlayerEvent::Resumed { play } => (play, "goes on".to_owned()),
            PlayerEvent::Crossed { from, to } => {
                let story = stories.entry(*from).or_default();
                story.fate.get_or_insert(Fate::Heard);
                let next = stories.entry(*to).or_default();
                next.started.get_or_insert(elapsed);
                (from, format!("passes on to {}", to.0))
            }
            PlayerEvent::Ended { play } => {
                stories.entry(*play).or_default().fate = Some(Fate::Heard);
                (play, "ends".to_owned())
            }
            PlayerEvent::Failed { play, why } => {
                stories.entry(*play).or_default().fate = Some(Fate::Failed(why.clone()));
                (play, format!("fails: {why}"))
            }
            PlayerEvent::DeviceOpen { .. }
            | PlayerEvent::DeviceLost { .. }
            | PlayerEvent::DeviceBack => return,
        };
        let ends = matches!(
            event,
            PlayerEvent::Crossed { .. } | PlayerEvent::Ended { .. } | PlayerEvent::Failed { .. }
        );
        if let (true, Some(story)) = (ends, self.hosts[host.0].stories.get_mut(play)) {
            story.ended.get_or_insert(elapsed);
        }
        let what = format!("play {} {what}", play.0);
        self.note(host, what);
    }
}
