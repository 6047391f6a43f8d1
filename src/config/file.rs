//! The configuration in its file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Config, Mistake, DEFAULT_PATH};

/// Reads the file at `path`; the default one may be missing, and is then
/// empty.
///
/// # Errors
/// Names the file, the line, the key and what is allowed there.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => Config::parse(&text).map_err(|mistake| ConfigError::Wrong {
            path: path.into(),
            mistake,
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) => {
            Ok(Config::default())
        }
        Err(source) => Err(ConfigError::Unreadable {
            path: path.into(),
            source,
        }),
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: {mistake}", path.display())]
    Wrong { path: PathBuf, mistake: Mistake },
}

impl ConfigError {
    /// What is wrong in one line, for where there is no room for more.
    pub fn in_a_line(&self) -> String {
        match self {
            Self::Unreadable { .. } => self.to_string(),
            Self::Wrong { path, mistake } => {
                let Mistake {
                    line, excerpt, why, ..
                } = mistake;
                format!("{}, line {line} (`{excerpt}`): {why}", path.display())
            }
        }
    }

    /// What is wrong without any of the values in the file: one line for a report that
    /// strangers read. Of a secret, or what stands where one belongs, not even what is
    /// wrong with it is said, since that may repeat it.
    pub fn in_public(&self) -> String {
        let Self::Wrong { path, mistake } = self else {
            return self.to_string();
        };
        let Mistake {
            line, excerpt, why, ..
        } = mistake;
        let said = format!("{excerpt} {why}").to_ascii_lowercase();
        let has_one_of = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let hidden = "it cannot be used, and is not shown here since it may be secret";
        if has_one_of(&["p2pm1", "p2pid1"]) {
            return format!("{}, line {line}: {hidden}", path.display());
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
        let end = excerpt.find(|c| !is_name(c)).unwrap_or(excerpt.len());
        let name = &excerpt[..end];
        let is_secret = has_one_of(&["pass", "key", "secret"]);
        let why = match is_secret && !why.starts_with("unknown field") {
            true => hidden,
            false => why,
        };
        format!("{}, line {line} (`{name}`): {why}", path.display())
    }
}
