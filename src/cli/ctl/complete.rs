//! What a shell is told of the paths that begin with what has been typed.

use super::{client::CtlClient, CtlError};
use crate::command::{DatabaseCommand, Row};

/// The directories and tracks whose path begins with `word`, one a line, in the directory that
/// it is in; at the top the speakers.
pub(super) fn complete(client: &mut CtlClient, word: &str) -> Result<String, CtlError> {
    let dir = word.rfind('/').map_or("", |at| &word[..at]);
    let uri = dir.to_owned();
    let rows = client.rows(DatabaseCommand::List { uri, files: false })?;
    let path = |row| match row {
        Row::Directory(directory) => Some(format!("{}/", directory.uri)),
        Row::Song(song) => Some(song.uri),
        Row::File(_) | Row::Path(_) | Row::Queued(_) | Row::Group(_) => None,
    };
    let paths = rows.into_iter().filter_map(path);
    let fit = paths.filter(|path| path.starts_with(word));
    Ok(fit.take(MAX_PATHS).map(|path| path + "\n").collect())
}

/// More than anybody looks through.
const MAX_PATHS: usize = 1000;
