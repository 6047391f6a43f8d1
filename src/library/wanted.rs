//! What the library is to look at next.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// How well it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Care {
    /// What the times of change tell from before is read.
    Changes,
    /// All is read; a file of which nothing is different keeps its hash.
    All,
    /// The same, and nothing is believed: somebody has seen other bytes.
    Nothing,
}

/// Looks that were asked for and not begun.
#[derive(Debug, Default)]
pub struct WantedLooks {
    /// Of everything.
    whole: Option<Care>,
    /// Of what is at and below a path.
    places: BTreeMap<PathBuf, Care>,
}

impl WantedLooks {
    pub fn is_empty(&self) -> bool {
        self.whole.is_none() && self.places.is_empty()
    }

    pub fn ask_whole(&mut self, care: Care) {
        self.whole = self.whole.max(Some(care));
    }

    pub fn ask_place(&mut self, place: &Path, care: Care) {
        if self.places.len() >= MAX_PLACES && !self.places.contains_key(place) {
            return self.ask_whole(care.min(Care::All));
        }
        let asked = self.places.entry(place.to_owned()).or_insert(care);
        *asked = care.max(*asked);
    }

    /// The next look; `None` as its place is everything. Doubts come first, since a look
    /// at everything does not settle them.
    pub fn take(&mut self) -> Option<(Option<PathBuf>, Care)> {
        let doubted = self.places.iter().find(|(_, care)| **care == Care::Nothing);
        if let Some(place) = doubted.map(|(place, _)| place.clone()) {
            let care = self.places.remove(&place)?;
            return Some((Some(place), care));
        }
        if let Some(care) = self.whole.take() {
            self.places.retain(|_, asked| *asked > care);
            return Some((None, care));
        }
        let (place, care) = self.places.pop_first()?;
        Some((Some(place), care))
    }
}

/// Looks at places that wait; with more it looks at everything.
const MAX_PLACES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut wanted: WantedLooks) -> Vec<(Option<PathBuf>, Care)> {
        std::iter::from_fn(|| wanted.take()).collect()
    }

    #[test]
    fn a_look_at_everything_answers_for_places_but_not_for_doubts() {
        let mut wanted = WantedLooks::default();
        assert!(wanted.is_empty());
        wanted.ask_place(Path::new("/a"), Care::Changes);
        wanted.ask_place(Path::new("/b"), Care::All);
        wanted.ask_place(Path::new("/c"), Care::Nothing);
        wanted.ask_place(Path::new("/c"), Care::Changes);
        wanted.ask_whole(Care::Changes);
        let expected = [
            (Some("/c".into()), Care::Nothing),
            (None, Care::Changes),
            (Some("/b".into()), Care::All),
        ];
        assert_eq!(all(wanted), expected);
    }

    #[test]
    fn too_many_places_are_everything() {
        let mut wanted = WantedLooks::default();
        for n in 0..=MAX_PLACES {
            wanted.ask_place(Path::new(&format!("/{n}")), Care::All);
        }
        assert_eq!(all(wanted), [(None, Care::All)]);
    }
}
