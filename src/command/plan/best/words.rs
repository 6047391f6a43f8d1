//! How well a few words are in a text.

use std::ops::Range;

use crate::util::text::{fold, fold_into};

/// The words, without case and accents.
#[derive(Debug)]
pub(super) struct SoughtWords {
    pub(super) phrase: String,
    pub(super) words: Vec<String>,
}

/// How the words are in a text; that of several is that of the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Part,
    Beginning,
    Word,
    /// They are all of it.
    Exact,
}

/// A text, and where the words are in it. Many tracks in a row have the same: it is searched
/// only when it is another one.
#[derive(Debug)]
pub(super) struct Looked {
    plain: String,
    /// Without case and accents.
    pub(super) folded: String,
    /// Of each word.
    pub(super) fits: Vec<Option<Fit>>,
}

impl Looked {
    pub(super) fn new(words: &[String]) -> Self {
        Self {
            plain: String::new(),
            folded: String::new(),
            fits: vec![None; words.len()],
        }
    }

    /// Whether it is another text than before.
    pub(super) fn fill(&mut self, text: &str, words: &[String]) -> bool {
        if self.plain == text {
            return false;
        }
        text.clone_into(&mut self.plain);
        fold_into(text, &mut self.folded);
        for (fit, word) in self.fits.iter_mut().zip(words) {
            *fit = occurrence(&self.folded, word);
        }
        true
    }

    pub(super) fn has_a_word(&self) -> bool {
        self.fits.iter().any(Option::is_some)
    }
}

impl SoughtWords {
    pub(super) fn new(text: &str) -> Self {
        let words: Vec<_> = fold(text).split_whitespace().map(str::to_owned).collect();
        Self {
            phrase: words.join(" "),
            words,
        }
    }

    /// How the words are in `texts` together, at least one of them in `name`; exact when they
    /// are all of that.
    pub(super) fn fit(&self, texts: &[&Looked], name: &Looked) -> Option<Fit> {
        if name.folded == self.phrase {
            return Some(Fit::Exact);
        }
        if !name.has_a_word() {
            return None;
        }
        let of_word = |index: usize| texts.iter().filter_map(|text| text.fits[index]).max();
        worst((0..self.words.len()).map(of_word))
    }

    /// The uppermost directory, but its owner's whole library, that the words name.
    pub(super) fn named_dir(&self, dir: &Looked) -> Option<(Fit, Range<usize>)> {
        self.fit(&[dir], dir)?;
        let dir = &*dir.folded;
        let mut begin = dir.find('/').map_or(dir.len(), |at| at + 1);
        while begin < dir.len() {
            let end = dir[begin..].find('/').map_or(dir.len(), |at| begin + at);
            if let Some(fit) = self.fit_part(&dir[..end], &dir[begin..end]) {
                return Some((fit, begin..end));
            }
            begin = end + 1;
        }
        None
    }

    /// [`fit`](Self::fit), of a text that ends with `name`.
    fn fit_part(&self, text: &str, name: &str) -> Option<Fit> {
        if *name == self.phrase {
            return Some(Fit::Exact);
        }
        let is_named = self.words.iter().any(|word| name.contains(word.as_str()));
        let fits = self.words.iter().map(|word| occurrence(text, word));
        is_named.then(|| worst(fits)).flatten()
    }
}

/// That of the worst word, if all are there.
fn worst(mut fits: impl Iterator<Item = Option<Fit>>) -> Option<Fit> {
    fits.try_fold(Fit::Word, |worst, fit| Some(worst.min(fit?)))
}

/// Of how the word is in each field: a title counts more than an artist, that more than an
/// album, and that more than a path.
pub(super) fn weight_of(fields: [Option<Fit>; 4]) -> u32 {
    let scores = fields.into_iter().zip(FIELD_WEIGHTS).map(|(fit, weight)| {
        let factor = match fit {
            None => 0,
            Some(Fit::Part) => 1,
            Some(Fit::Beginning) => 2,
            Some(Fit::Word | Fit::Exact) => 4,
        };
        factor * weight
    });
    scores.max().unwrap_or(0)
}

/// How well `word` is in `text`, by where it stands best.
pub(super) fn occurrence(text: &str, word: &str) -> Option<Fit> {
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let fits = text.match_indices(word).map(|(at, _)| {
        let starts = !is_part(text[..at].chars().next_back());
        let ends = !is_part(text[at + word.len()..].chars().next());
        match (starts, ends) {
            (true, true) => Fit::Word,
            (true, false) => Fit::Beginning,
            _ => Fit::Part,
        }
    });
    fits.max()
}

/// Title, artist, album, path.
const FIELD_WEIGHTS: [u32; 4] = [8, 6, 4, 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_fit_better_than_beginnings_and_these_better_than_parts() {
        let fit = |text: &str| occurrence(text, "gold");
        assert_eq!(fit("heart of gold"), Some(Fit::Word));
        assert_eq!(fit("goldberg variations"), Some(Fit::Beginning));
        assert_eq!(fit("marigold"), Some(Fit::Part));
        assert_eq!(fit("silver"), None);
    }
}
