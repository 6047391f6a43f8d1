//! Small files that a node keeps of itself, and what is in their way: nothing is thrown away
//! that a person might want to look at, and nothing hinders a new one.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::fence::open_regular;

/// Renames what lies at `path`, be it a file or a directory, by adding
/// `.damaged`, and gives the new name. An older one of that name is replaced,
/// if the system lets it; else a number follows.
///
/// # Errors
/// Those of rename(2).
pub fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let others = (2..=MAX_ASIDE).map(|n| format!(".damaged-{n}"));
    let mut result = Err(io::ErrorKind::NotFound.into());
    for suffix in std::iter::once(".damaged".to_owned()).chain(others) {
        let aside = named(path, &suffix);
        result = fs::rename(path, &aside).map(|()| aside);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Reads the file at `path`, if it is one and has at most `most` bytes.
///
/// # Errors
/// Those of open(2) and read(2); `InvalidData` for a longer one.
pub fn read_whole(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = open_regular(path)?.take(most + 1);
    file.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let text = format!("it has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}

/// Has the file at `path` contain `bytes`: after a power cut it is the new one, or is as it
/// was. What is in the way, and is no file, is put aside.
///
/// # Errors
/// What the disk says.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = named(path, ".new");
    make_way(&temporary)?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        put_aside(path)?;
    }
    fs::rename(&temporary, path)?;
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Removes what an earlier life left of a temporary file, or puts aside what is none.
///
/// # Errors
/// Those of rename(2).
pub fn make_way(temporary: &Path) -> io::Result<()> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => put_aside(temporary).map(drop),
        _ => Ok(()),
    }
}

fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or(OsStr::new("it")).to_owned();
    name.push(suffix);
    path.with_file_name(name)
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

    #[test]
    fn nothing_hinders_a_new_file() {
        let make: [fn(&Path); 4] = [
            |path| fs::write(path, "x").unwrap(),
            |path| fs::create_dir(path).unwrap(),
            |path| fs::create_dir_all(path.join("inside")).unwrap(),
            |path| std::os::unix::fs::symlink(path, path).unwrap(),
        ];
        for (n, make) in make.iter().enumerate() {
            for name in ["it", "it.new"] {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("it");
                make(&dir.path().join(name));
                for text in ["1", "2"] {
                    replace(&path, text.as_bytes()).unwrap();
                    assert_eq!(
                        read_whole(&path, 1).unwrap(),
                        text.as_bytes(),
                        "{n}, {name}"
                    );
                }
                assert!(!dir.path().join("it.new").exists());
            }
        }
    }

    #[test]
    fn what_is_no_small_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it");
        fs::write(&path, "12").unwrap();
        assert_eq!(read_whole(&path, 2).unwrap(), b"12");
        let kind = |most| read_whole(&path, most).unwrap_err().kind();
        assert_eq!(kind(1), io::ErrorKind::InvalidData);
        fs::remove_file(&path).unwrap();
        assert_eq!(kind(1), io::ErrorKind::NotFound);
        // Nobody writes to it.
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(kind(1), io::ErrorKind::InvalidInput);
    }
}
