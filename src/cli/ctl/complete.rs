//! What a shell is told of the paths that begin with what has been typed.

use super::{client::CtlClient, CtlError};

/// The directories and tracks whose path begins with `word`, one a line, in the directory that
/// it is in; at the top the speakers.
pub(super) fn complete(client: &mut CtlClient, word: &str) -> Result<String, CtlError> {
    let dir = word.rfind('/').map_or("", |at| &word[..at]);
    let entries = client.records(&["lsinfo", dir], &["directory", "file"])?;
    let paths = entries.iter().filter_map(|entry| {
        let directory = entry.get("directory").map(|path| format!("{path}/"));
        directory.or_else(|| entry.get("file").map(str::to_owned))
    });
    let fit = paths.filter(|path| path.starts_with(word));
    Ok(fit.take(MAX_PATHS).map(|path| path + "\n").collect())
}

/// More than anybody looks through.
const MAX_PATHS: usize = 1000;
