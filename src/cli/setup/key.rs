//! The key of a swarm that begins here.

use std::{io, path::Path};

use super::SetupError;
use crate::{
    cli::join::place::NewKeyFile,
    identity::{self, read_keys, KeyFileError},
};

/// What became of a key file.
pub enum Made {
    New,
    /// It had a key already, by which others may be here.
    Kept,
}

/// Makes a key at `path` for the service to read, unless there is one.
///
/// # Errors
/// When what is there is no file of keys, or none can be made.
pub fn make(path: &Path) -> Result<Made, SetupError> {
    match read_keys(path) {
        Ok(_) => return Ok(Made::Kept),
        // One that a broken recipe has left behind.
        Err(KeyFileError::Empty { .. }) => {}
        Err(KeyFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let key = identity::new_key()?;
    let written = NewKeyFile::prepare(path).and_then(|file| file.write(&[key]));
    written.map_err(|source| SetupError::File {
        path: path.into(),
        source,
    })?;
    Ok(Made::New)
}
