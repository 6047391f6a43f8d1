//! The music directories, and how what lies in them is called in the library.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::names;

/// One of the configured music directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub path: PathBuf,
    /// The directory in the library that its content is shown under; empty
    /// for a single root, whose content is at the top.
    pub shown: String,
}

/// Gives every music directory its place in the library: one alone is the
/// top, several are shown under their base names, `-2` and so on appended to
/// those that are taken.
pub fn name_roots(paths: &[PathBuf]) -> Vec<Root> {
    if let [path] = paths {
        let (path, shown) = (path.clone(), String::new());
        return vec![Root { path, shown }];
    }
    let mut taken = BTreeSet::new();
    let mut roots: Vec<Root> = Vec::new();
    for path in paths {
        if roots.iter().any(|root| root.path == *path) {
            continue;
        }
        let base = path.file_name().unwrap_or(OsStr::new("music"));
        let base = names::escape(base.as_bytes());
        let shown = std::iter::once(base.clone())
            .chain((2..).map(|n| format!("{base}-{n}")))
            .find(|name| taken.insert(name.clone()))
            .expect("one more number than there are roots is always free");
        roots.push(Root {
            path: path.clone(),
            shown,
        });
    }
    roots
}

/// Where what the library shows as `path` lies; `None` for the top of everything, and
/// for what is nowhere.
pub fn place_of(roots: &[Root], path: &str) -> Option<PathBuf> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return None;
    }
    let below = |root: &Root| {
        let rest = match root.shown.as_str() {
            "" => path,
            shown => path.strip_prefix(shown)?,
        };
        let is_whole = rest.is_empty() || root.shown.is_empty();
        let rest = if is_whole {
            rest
        } else {
            rest.strip_prefix('/')?
        };
        let bytes = names::unescape(rest)?;
        // No path of the library climbs.
        let climbs = bytes
            .split(|b| *b == b'/')
            .any(|part| matches!(part, b"" | b"." | b".."));
        (rest.is_empty() || !climbs).then(|| join(&root.path, &bytes))
    };
    roots.iter().find_map(below)
}

impl Root {
    /// The catalogue's directory and name for the file `relative` to this
    /// root.
    ///
    /// # Errors
    /// Says why the file cannot be listed.
    pub fn listed_as(&self, relative: &[u8]) -> Result<(String, String), String> {
        let path = names::escape(relative);
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let dir = match (self.shown.as_str(), dir) {
            (shown, "") => shown.to_owned(),
            ("", dir) => dir.to_owned(),
            (shown, dir) => format!("{shown}/{dir}"),
        };
        if dir.len() + 1 + name.len() > MAX_PATH_BYTES {
            return Err(format!("its path is longer than {MAX_PATH_BYTES} bytes"));
        }
        Ok((dir, name.to_owned()))
    }
}

/// What lies at `relative`, which is bytes, below `root`.
pub(super) fn join(root: &Path, relative: &[u8]) -> PathBuf {
    match relative {
        b"" => root.to_owned(),
        relative => root.join(OsStr::from_bytes(relative)),
    }
}

/// What a path may have, escaped, so that it and full tags always fit into an
/// entry's share of a page.
pub const MAX_PATH_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn roots() -> Vec<Root> {
        name_roots(&["/srv/a".into(), "/mnt/a".into(), "/srv/b".into()])
    }

    #[test]
    fn a_path_of_the_library_lies_in_the_root_that_it_is_shown_under() {
        for (path, place) in [
            ("a/x.flac", Some("/srv/a/x.flac")),
            ("a-2/x.flac", Some("/mnt/a/x.flac")),
            ("b/", Some("/srv/b")),
            ("a-2", Some("/mnt/a")),
            ("", None),
            ("/", None),
            ("c/x.flac", None),
            ("ab/x.flac", None),
            ("b/../a/x.flac", None),
            ("b/./x.flac", None),
            ("b//x.flac", None),
        ] {
            assert_eq!(place_of(&roots(), path), place.map(PathBuf::from), "{path}");
        }
        let single = name_roots(&["/srv/a".into()]);
        assert_eq!(place_of(&single, "x.flac"), Some("/srv/a/x.flac".into()));
        assert_eq!(place_of(&single, "../x.flac"), None);
    }

    proptest! {
        #[test]
        fn what_a_file_is_listed_as_leads_back_to_it(
            root in 0usize..3,
            parts in proptest::collection::vec("[^/\\x00]{1,12}", 1..5),
        ) {
            prop_assume!(parts.iter().all(|part| part != "." && part != ".."));
            let (roots, relative) = (roots(), parts.join("/"));
            let (dir, name) = roots[root].listed_as(relative.as_bytes()).unwrap();
            let file = join(&roots[root].path, relative.as_bytes());
            prop_assert_eq!(place_of(&roots, &format!("{dir}/{name}")), Some(file));
        }
    }
}
