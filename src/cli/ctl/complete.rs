//! What a shell is told of the paths that begin with what has been typed.

use crate::command::{DatabaseCommand, Row};

/// What the node is asked for: the directory that `word` is in.
pub(super) fn asked(word: &str) -> DatabaseCommand {
    let dir = word.rfind('/').map_or("", |at| &word[..at]);
    let uri = dir.to_owned();
    DatabaseCommand::List { uri, files: false }
}

/// The directories and tracks of it whose path begins with `word`, one a line; at the top the
/// speakers.
pub(super) fn fitting(rows: Vec<Row>, word: &str) -> String {
    let path = |row| match row {
        Row::Directory(directory) => Some(format!("{}/", directory.uri)),
        Row::Song(song) => Some(song.uri),
        Row::File(_) | Row::Path(_) | Row::Queued(_) | Row::Group(_) => None,
    };
    let paths = rows.into_iter().filter_map(path);
    let fit = paths.filter(|path| path.starts_with(word));
    fit.take(MAX_PATHS).map(|path| path + "\n").collect()
}

/// More than anybody looks through.
const MAX_PATHS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::answer::DirectoryView;

    #[test]
    fn a_word_is_completed_in_the_directory_that_it_is_in() {
        let directory = |uri: &str| {
            Row::Directory(DirectoryView {
                uri: uri.to_owned(),
                modified: None,
                is_away: false,
            })
        };
        for (word, dir, fits) in [
            ("", "", "kitchen/\nkitchen/jazz/\n"),
            ("kit", "", "kitchen/\nkitchen/jazz/\n"),
            ("kitchen/j", "kitchen", "kitchen/jazz/\n"),
            ("kitchen/jazz/", "kitchen/jazz", "kitchen/jazz/\n"),
            ("attic", "", ""),
        ] {
            let DatabaseCommand::List { uri, .. } = asked(word) else {
                panic!("a list is asked for");
            };
            assert_eq!(uri, dir);
            let rows = vec![directory("kitchen"), directory("kitchen/jazz")];
            assert_eq!(fitting(rows, word), fits);
        }
        let many = (0..2 * MAX_PATHS).map(|n| directory(&n.to_string()));
        assert_eq!(fitting(many.collect(), "").lines().count(), MAX_PATHS);
    }
}
