//! What many tracks of a queue have in common, once in memory.

use std::{collections::BTreeSet, sync::Arc};

use super::tags::{TagValues, Tags};

/// Makes equal tags of different tracks one.
#[derive(Debug, Default)]
pub struct Interner(BTreeSet<Arc<TagValues>>);

impl Interner {
    /// Replaces what `tags` is likely to have in common with others.
    pub fn intern(&mut self, tags: &mut Tags) {
        match self.0.get(&tags.shared) {
            Some(known) => tags.shared = known.clone(),
            None => _ = self.0.insert(tags.shared.clone()),
        }
    }
}
