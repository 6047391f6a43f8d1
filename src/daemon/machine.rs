//! How much memory this machine has for us: all of it, or what a control group allows.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::unistd::{sysconf, SysconfVar};

/// In bytes.
pub fn memory() -> u64 {
    let ask = |what| sysconf(what).ok().flatten().unwrap_or(0);
    let pages = ask(SysconfVar::_PHYS_PAGES);
    let bytes = pages.saturating_mul(ask(SysconfVar::PAGE_SIZE));
    let all = u64::try_from(bytes).unwrap_or(0);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = limit(&groups, Path::new("/sys/fs/cgroup"));
    limit.map_or(all, |limit| limit.min(all))
}

/// The smallest limit on the control groups that `groups` (/proc/self/cgroup) names, and
/// on those that they are in.
fn limit(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let is_v1 = controllers.split(',').any(|name| name == "memory");
        let (dir, file) = match (is_v1, controllers) {
            (true, _) => (root.join("memory"), "memory.limit_in_bytes"),
            (false, "") => (root.to_owned(), "memory.max"),
            _ => return None,
        };
        smallest(&dir, group, file)
    });
    limits.min()
}

/// The smallest limit on the way to `group`. In a container only the end of that way may
/// be seen.
fn smallest(root: &Path, group: &str, file: &str) -> Option<u64> {
    let parts: Vec<&str> = group.split('/').filter(|part| !part.is_empty()).collect();
    let ways = (0..=parts.len()).flat_map(|first| {
        let seen = &parts[first..];
        (0..=seen.len()).map(|count| root.join(seen[..count].iter().collect::<PathBuf>()))
    });
    let dirs: Vec<PathBuf> = ways.take(MAX_DIRS).collect();
    let limit = |dir: &PathBuf| fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok();
    // Where there is none it says "max", or a number that is larger than any memory.
    dirs.iter().filter_map(limit).min()
}

/// Of control groups that are looked at: a dozen in one another, and their ends.
const MAX_DIRS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_of_either_kind_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |file: &str, text: &str| {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory.max", "max\n");
        write("house/memory.max", "500\n");
        write("house/speaker/memory.max", "max\n");
        write("memory/house/memory.limit_in_bytes", "300\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        for (groups, expected) in [
            ("0::/\n", None),
            ("0::/house/speaker\n", Some(500)),
            ("0::/nowhere\n", None),
            ("4:cpu,cpuacct:/house\n3:memory:/house\n0::/\n", Some(300)),
            ("3:memory:/docker/abc/house\n", Some(300)),
            ("3:memory:/\n", Some(9_223_372_036_854_771_712)),
            ("3:pids:/house\n", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(limit(groups, root), expected, "{groups:?}");
        }
    }

    #[test]
    fn a_machine_has_some() {
        assert!(memory() > 1 << 20);
    }
}
