//! What many entries have in common, once in memory.

use std::{collections::BTreeSet, sync::Arc};

use super::{entry::SharedTags, Entry};

/// Makes equal strings and tags of different entries one.
#[derive(Debug, Default)]
pub struct Interner {
    strings: BTreeSet<Arc<str>>,
    tags: BTreeSet<Arc<SharedTags>>,
}

impl Interner {
    /// Replaces what `entry` is likely to have in common with others.
    pub fn intern(&mut self, entry: &mut Entry) {
        let Entry::Listed(listed) = entry else {
            return;
        };
        share(&mut self.strings, &mut listed.dir);
        let tags = &mut listed.tags.shared;
        if !self.tags.contains(tags) {
            let mut own = SharedTags::clone(tags);
            for text in own.texts_mut().into_iter().flatten() {
                share(&mut self.strings, text);
            }
            *tags = Arc::new(own);
        }
        share(&mut self.tags, tags);
    }

    /// Lets go of what no entry has any more.
    pub fn forget_unused(&mut self) {
        self.tags.retain(|tags| Arc::strong_count(tags) > 1);
        self.strings.retain(|text| Arc::strong_count(text) > 1);
    }
}

fn share<T: Ord + ?Sized>(known: &mut BTreeSet<Arc<T>>, value: &mut Arc<T>) {
    if let Some(known) = known.get(value) {
        *value = known.clone();
    } else {
        known.insert(value.clone());
    }
}
