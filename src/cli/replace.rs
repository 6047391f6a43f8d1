//! Putting another text into a person's file.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{fchown, MetadataExt as _},
    path::Path,
};

/// Writes `text` to `path`, whose owner and mode stay. After a power cut at any moment there is
/// the old file or the new one.
///
/// # Errors
/// Those of the disk.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}
