//! What a user may read and write, by what the file system says.
//!
//! The doctor rarely runs as the service's user, so it cannot just try.

use std::path::PathBuf;

use super::acl::Acl;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// Unknown of a user that the service manager makes up at each start.
    pub uid: Option<u32>,
    pub gids: Vec<u32>,
    /// The group that a file is given to for this user to read it.
    pub group: String,
}

/// A directory or file on the way to another, or that itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStep {
    pub path: PathBuf,
    pub is_dir: bool,
    pub uid: u32,
    pub gid: u32,
    /// The permission bits.
    pub mode: u32,
    /// What counts in their place, if there is one.
    pub acl: Option<Acl>,
}

/// The way to a file or directory, from the root on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPath {
    /// As far as could be seen.
    pub steps: Vec<PathStep>,
    pub end: PathEnd,
}

/// How a way ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathEnd {
    /// The last step is what was looked for.
    There,
    /// This is not there.
    Missing(PathBuf),
    /// The user of the doctor may not look there.
    Hidden(PathBuf),
    /// This cannot be looked at, and why.
    Broken(PathBuf, String),
}

/// What somebody wants with the end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Read,
    /// To make and remove files in it.
    Write,
}

impl AccessPath {
    /// What was looked for, if it is there.
    pub fn target(&self) -> Option<&PathStep> {
        self.steps.last().filter(|_| self.end == PathEnd::There)
    }

    /// The first step that does not let `person` do what it wishes.
    pub fn obstacle(&self, person: &Person, wish: Wish) -> Option<&PathStep> {
        let target = self.target();
        self.steps.iter().find(|step| {
            let needed = match (target == Some(step), wish, step.is_dir) {
                (false, _, true) => PASS,
                // What is neither passed through nor the end is a link's other end.
                (false, _, false) => 0,
                (true, Wish::Read, true) => READ | PASS,
                (true, Wish::Read, false) => READ,
                (true, Wish::Write, true) => READ | WRITE | PASS,
                (true, Wish::Write, false) => READ | WRITE,
            };
            !person.may(step, needed)
        })
    }
}

impl Person {
    pub fn is_root(&self) -> bool {
        self.uid == Some(0)
    }

    /// Whether this user has these of the three bits.
    fn may(&self, step: &PathStep, needed: u32) -> bool {
        if self.is_root() || needed == 0 {
            return true;
        }
        if let Some(acl) = &step.acl {
            return acl.lets(self.uid, &self.gids, (step.uid, step.gid), needed);
        }
        let shift = match () {
            () if self.uid == Some(step.uid) => 6,
            () if self.gids.contains(&step.gid) => 3,
            () => 0,
        };
        step.mode >> shift & needed == needed
    }
}

const READ: u32 = 4;
const WRITE: u32 = 2;
/// To enter a directory.
const PASS: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn step(path: &str, uid: u32, gid: u32, mode: u32) -> PathStep {
        PathStep {
            path: path.into(),
            is_dir: !path.ends_with(".key"),
            uid,
            gid,
            mode,
            acl: None,
        }
    }

    fn person(uid: Option<u32>, gids: &[u32]) -> Person {
        Person {
            name: "p2pmusic".into(),
            uid,
            gids: gids.into(),
            group: "p2pmusic".into(),
        }
    }

    #[test]
    fn the_first_obstacle_on_the_way_is_named() {
        let home = |mode| AccessPath {
            steps: vec![
                step("/", 0, 0, 0o755),
                step("/home/pi", 1000, 1000, mode),
                step("/home/pi/music", 1000, 1000, 0o755),
            ],
            end: PathEnd::There,
        };
        let service = person(Some(990), &[29]);
        let at = |way: &AccessPath, wish| {
            let step = way.obstacle(&service, wish)?;
            Some(step.path.to_str()?.to_owned())
        };
        assert_eq!(at(&home(0o700), Wish::Read).as_deref(), Some("/home/pi"));
        assert_eq!(at(&home(0o711), Wish::Read), None);
        let write = at(&home(0o711), Wish::Write);
        assert_eq!(write.as_deref(), Some("/home/pi/music"));
        assert_eq!(
            home(0o700).obstacle(&person(Some(0), &[]), Wish::Write),
            None
        );
        assert_eq!(
            home(0o700).obstacle(&person(Some(1000), &[]), Wish::Write),
            None
        );
    }

    #[test]
    fn the_owner_then_the_group_then_the_others_count() {
        let key = |gid, mode| AccessPath {
            steps: vec![
                step("/", 0, 0, 0o755),
                step("/etc/swarm.key", 990, gid, mode),
            ],
            end: PathEnd::There,
        };
        for (who, gid, mode, may) in [
            (person(None, &[29]), 29, 0o640, true),
            (person(None, &[29]), 30, 0o640, false),
            (person(None, &[29]), 30, 0o644, true),
            // A group that may less than others may less.
            (person(None, &[29]), 29, 0o604, false),
            (person(Some(990), &[]), 0, 0o600, true),
            (person(Some(990), &[29]), 29, 0o040, false),
        ] {
            let obstacle = key(gid, mode).obstacle(&who, Wish::Read).is_some();
            assert_eq!(obstacle, !may, "{who:?} {gid} {mode:o}");
        }
    }
}
