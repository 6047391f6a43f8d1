//! Strings that many entries share, once in memory.

use std::{collections::BTreeSet, sync::Arc};

use super::Entry;

/// Makes equal strings of different entries one string.
#[derive(Debug, Default)]
pub struct Interner(BTreeSet<Arc<str>>);

impl Interner {
    /// Replaces the strings of `entry` that others are likely to share.
    pub fn intern(&mut self, entry: &mut Entry) {
        let Entry::Listed(listed) = entry else {
            return;
        };
        self.share(&mut listed.dir);
        let tags = &mut listed.tags;
        [
            &mut tags.artist,
            &mut tags.album,
            &mut tags.album_artist,
            &mut tags.genre,
            &mut tags.date,
            &mut tags.composer,
        ]
        .into_iter()
        .flatten()
        .for_each(|text| self.share(text));
    }

    /// Lets go of what no entry has any more.
    pub fn forget_unused(&mut self) {
        self.0.retain(|text| Arc::strong_count(text) > 1);
    }

    fn share(&mut self, text: &mut Arc<str>) {
        if let Some(known) = self.0.get(text) {
            *text = known.clone();
        } else {
            self.0.insert(text.clone());
        }
    }
}
