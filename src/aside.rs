//! Putting damaged files aside: nothing is thrown away that a person might want
//! to look at, and nothing stands in the way of a new one.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// Renames what lies at `path`, be it a file or a directory, by adding
/// `.damaged`, and gives the new name. An older one of that name is replaced,
/// if the system lets it; else a number follows.
///
/// # Errors
/// Those of rename(2).
pub fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let named = |suffix: &str| {
        let mut name = path.file_name().unwrap_or(OsStr::new("it")).to_owned();
        name.push(suffix);
        path.with_file_name(name)
    };
    let others = (2..=MAX_ASIDE).map(|n| format!(".damaged-{n}"));
    let mut result = Err(io::ErrorKind::NotFound.into());
    for suffix in std::iter::once(".damaged".to_owned()).chain(others) {
        let aside = named(&suffix);
        result = fs::rename(path, &aside).map(|()| aside);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// What cannot be replaced is a directory with something in it, or a file where
/// a directory is to go; a program makes neither there, nor a person often.
const MAX_ASIDE: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_go_and_none_is_lost_for_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it");
        let names = [".damaged", ".damaged-2", ".damaged"];
        for (is_dir, name) in [false, true, false].into_iter().zip(names) {
            match is_dir {
                true => fs::create_dir(&path).unwrap(),
                false => fs::write(&path, "x").unwrap(),
            }
            let aside = put_aside(&path).unwrap();
            assert_eq!(aside, dir.path().join(format!("it{name}")));
            assert!(aside.exists() && !path.exists());
        }
        assert!(put_aside(&path).is_err());
    }
}
