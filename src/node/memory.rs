//! What a node remembers of how it was used, over a restart.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::player::queue::{Options, Queue, QueueItem};

/// The volume, and the queue with its options and its current track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// In per cent.
    pub volume: u8,
    pub options: Options,
    pub queue: Vec<Arc<QueueItem>>,
    /// The position of the current track.
    pub current: Option<usize>,
    /// Its default name, and what the swarm called it because that was taken.
    pub known_as: Option<(String, String)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            volume: FIRST_VOLUME,
            options: Options::default(),
            queue: Vec::new(),
            current: None,
            known_as: None,
        }
    }
}

impl Memory {
    pub fn of(queue: &Queue, volume: u8) -> Self {
        Self {
            volume,
            options: queue.options(),
            queue: queue.slots().iter().map(|slot| slot.item.clone()).collect(),
            current: queue.cursor().and_then(|id| queue.position(id)),
            known_as: None,
        }
    }

    /// The queue as it was. What no longer fits is left out.
    pub fn recall(&self, seed: u64) -> Queue {
        let mut queue = Queue::new(seed);
        if queue.insert(self.queue.iter().cloned(), None).is_ok() {
            queue.set_options(self.options);
            if let Some(Ok(current)) = self.current.map(|position| queue.id_at(position)) {
                // It has just been found there.
                let _ = queue.choose(current);
            }
        }
        queue
    }
}

/// Loud enough to be heard, not loud enough to frighten: nobody knows yet what
/// amplifier is behind the DAC.
const FIRST_VOLUME: u8 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    #[test]
    fn a_queue_survives_a_restart() {
        let mut queue = Queue::new(1);
        let database = fixture::database();
        let items = database.tracks().map(|found| Arc::new(found.into()));
        queue.insert(items, None).unwrap();
        queue.choose(queue.id_at(1).unwrap()).unwrap();
        queue.set_options(Options {
            repeat: true,
            ..Options::default()
        });
        let memory = Memory::of(&queue, 42);
        let text = serde_json::to_string(&memory).unwrap();
        let recalled: Memory = serde_json::from_str(&text).unwrap();
        assert_eq!(recalled, memory);
        assert!(memory.queue.len() > 1);
        assert_eq!(Memory::of(&recalled.recall(2), 42), memory);
    }

    proptest::proptest! {
        /// A power cut, a bad card, or a person may have been at the file.
        #[test]
        fn any_change_to_the_file_is_survived(at: usize, byte: u8, cut: bool) {
            let database = fixture::database();
            let queue = database.tracks().map(|found| Arc::new(found.into())).collect();
            let memory = Memory { queue, current: Some(1), ..Memory::default() };
            let mut text = serde_json::to_vec(&memory).unwrap();
            let at = at % text.len();
            match cut {
                true => text.truncate(at),
                false => text[at] = byte,
            }
            if let Ok(memory) = serde_json::from_slice::<Memory>(&text) {
                let _ = Memory::of(&memory.recall(1), memory.volume);
            }
        }
    }

    #[test]
    fn what_is_damaged_is_forgotten() {
        let memory: Memory = serde_json::from_str("{\"current\": 7}").unwrap();
        assert_eq!(Memory::of(&memory.recall(1), 30), Memory::default());
    }
}
