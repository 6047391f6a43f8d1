//! The key, the node's own directories, and the music.

use std::path::Path;

use super::{several, size, Finding, DISK};
use crate::{
    cli::doctor::{
        facts::{Dir, DirectoryContent, DoctorFacts, FileSystem, Key, Music},
        person::{AccessPath, PathEnd, PathStep, Person, Wish},
    },
    config,
};

pub fn key(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "key";
    let key = match &facts.key {
        None => return vec![Finding::hangs(CHECK, "the file of the swarm's key", DISK)],
        Some(None) => {
            return vec![
                Finding::note(CHECK, "none: the swarm is open to everybody near")
                    .mended_by("p2pmusic keygen    # and swarm.key_file, the same on every node"),
            ]
        }
        Some(Some(key)) => key,
    };
    let path = key.path.display();
    let group = &facts.runner.group;
    let install = format!("sudo install -m 640 -g {group} /dev/stdin {path}");
    match &key.way.end {
        PathEnd::Missing(_) => {
            return vec![Finding::wrong(CHECK, format!("{path} is not there"))
                .mended_by(JOIN)
                .mended_by(format!(
                    "p2pmusic keygen | {install}    # on the first node"
                ))]
        }
        PathEnd::Hidden(at) => return vec![hidden(CHECK, at)],
        PathEnd::Broken(at, why) => {
            return vec![Finding::wrong(CHECK, format!("{}: {why}", at.display()))]
        }
        PathEnd::There => {}
    }
    let mut findings = Vec::new();
    match &key.keys {
        Some(Err(why)) => findings.push(Finding::wrong(CHECK, why.clone()).mended_by(JOIN)),
        Some(Ok(1)) => findings.push(Finding::ok(CHECK, format!("{path}, good"))),
        Some(Ok(keys)) => findings.push(Finding::ok(CHECK, format!("{path}, {keys} keys"))),
        None => findings.push(Finding::note(
            CHECK,
            format!("you may not read {path}, which is well"),
        )),
    }
    findings.extend(access_to_key(key, &facts.runner));
    findings
}

/// What another key would not do.
const JOIN: &str = "sudo p2pmusic join    # with `sudo p2pmusic pair` on a node of the swarm";

fn access_to_key(key: &Key, runner: &Person) -> Vec<Finding> {
    const CHECK: &str = "key";
    let mut findings = Vec::new();
    let path = key.path.display();
    if let Some(step) = key.way.obstacle(runner, Wish::Read) {
        let at = step.path.display();
        let how = match step.is_dir {
            true => format!("sudo chmod o+x {at}"),
            false => format!("sudo chgrp {} {at} && sudo chmod 640 {at}", runner.group),
        };
        let seen = format!("{} cannot read {path}: {at} does not let it", runner.name);
        findings.push(Finding::wrong(CHECK, seen).mended_by(how));
    }
    let target = key.way.target();
    if target.is_some_and(|file| file.mode & OTHERS_READ != 0) {
        let seen = format!("every user of this machine can read {path}");
        findings.push(Finding::wrong(CHECK, seen).mended_by(format!("sudo chmod o= {path}")));
    }
    findings
}

pub fn state(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "state";
    let Some(dir) = &facts.state else {
        return vec![Finding::hangs(CHECK, "the state directory", DISK)];
    };
    let mut findings = own_dir(CHECK, dir, &facts.runner);
    findings.extend(closed_by_unit(CHECK, dir, facts));
    let disk = dir.disk.unwrap_or_default();
    if dir.disk.is_some() && disk.is_in_memory {
        let seen = format!(
            "{} is in memory: identity, queue and volume are gone at the next start of the machine",
            dir.path.display()
        );
        let how = "set state_dir to a place on a disk, if that is not meant";
        findings.push(Finding::note(CHECK, seen).mended_by(how));
    }
    findings
}

pub fn cache(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "cache";
    let Some(dir) = &facts.cache else {
        return vec![Finding::hangs(CHECK, "the cache's directory", DISK)];
    };
    let mut findings = own_dir(CHECK, dir, &facts.runner);
    findings.extend(closed_by_unit(CHECK, dir, facts));
    let most = facts.config.config.cache.max.0;
    let free = dir.disk.map_or(u64::MAX, |disk| disk.free);
    let can_have = free.saturating_add(dir.used);
    if (NEARLY_FULL..most).contains(&can_have) {
        let seen = format!(
            "it may take {}, and {} are free beside what it has",
            size(most),
            size(free)
        );
        let half = format!(
            "set cache.max = \"{} MiB\", or make room",
            (can_have >> 21).max(1)
        );
        findings.push(Finding::note(CHECK, seen).mended_by(half));
    }
    let memory = facts.machine.memory.unwrap_or(u64::MAX);
    if dir.disk.is_some_and(|disk| disk.is_in_memory) && most > memory / 4 {
        let seen = format!("it is in memory, and may take {} of it", size(most));
        let how = format!("set cache.max = \"{} MiB\"", (memory >> 23).max(1));
        findings.push(Finding::note(CHECK, seen).mended_by(how));
    }
    findings
}

/// What is said of any directory that the node writes.
fn own_dir(check: &'static str, dir: &Dir, runner: &Person) -> Vec<Finding> {
    let path = dir.path.display();
    let disk = dir.disk.unwrap_or(FileSystem {
        free: u64::MAX,
        has_inodes: true,
        ..FileSystem::default()
    });
    if disk.is_read_only {
        let seen = format!("{path} is on a disk that is mounted read-only, as a worn card is");
        return vec![Finding::wrong(check, seen)
            .mended_by(
                "dmesg | grep -iE 'mmc|ext4|I/O error'    # says why; then: another card, or",
            )
            .mended_by("sudo mount -o remount,rw /")];
    }
    if disk.free < FULL || !disk.has_inodes {
        let seen = match disk.has_inodes {
            true => format!("{path}: the disk is full, {} are free", size(disk.free)),
            false => format!("{path}: the disk takes no more files"),
        };
        return vec![Finding::wrong(check, seen)
            .mended_by("sudo apt clean; sudo journalctl --vacuum-size=50M    # or remove music")];
    }
    let own = |who: &str| format!("sudo chown -R {who}: {path}");
    let first = match &dir.way.end {
        PathEnd::Hidden(at) => hidden(check, at),
        PathEnd::Broken(at, why) => Finding::wrong(check, format!("{}: {why}", at.display())),
        // The service manager makes them.
        PathEnd::Missing(_) if runner.uid.is_none() => ok(check, &dir.path, &disk),
        PathEnd::Missing(_) => match parent_obstacle(&dir.way, runner) {
            Some(at) => {
                let seen = format!(
                    "{path} is not there, and {} cannot make it in {}",
                    runner.name,
                    at.path.display()
                );
                let make = format!("sudo mkdir -p {path} && {}", own(&runner.name));
                Finding::wrong(check, seen).mended_by(make)
            }
            None => Finding::ok(
                check,
                format!("{path} is not there yet; it is made at the start"),
            ),
        },
        PathEnd::There => {
            if dir.way.target().is_some_and(|target| !target.is_dir) {
                return vec![Finding::wrong(check, format!("{path} is not a directory"))
                    .mended_by(format!("sudo mv {path} {path}.aside"))];
            }
            match dir.way.obstacle(runner, Wish::Write) {
                Some(step) if runner.uid.is_some() => {
                    let at = step.path.display();
                    let seen = format!("{} cannot write {path}: {at} does not let it", runner.name);
                    Finding::wrong(check, seen).mended_by(own(&runner.name))
                }
                _ => ok(check, &dir.path, &disk),
            }
        }
    };
    vec![first]
}

fn ok(check: &'static str, path: &Path, disk: &FileSystem) -> Finding {
    Finding::ok(
        check,
        format!("{}, {} free", path.display(), size(disk.free)),
    )
}

/// The service manager lets the service write only where its unit says so.
fn closed_by_unit(check: &'static str, dir: &Dir, facts: &DoctorFacts) -> Option<Finding> {
    let unit = facts.unit.as_ref()?.as_ref()?;
    let more = unit.writes.as_ref()?;
    let own = [config::SERVICE_STATE, config::SERVICE_CACHE].map(Path::new);
    let mut open = own
        .into_iter()
        .chain(more.iter().map(|path| path.as_path()));
    if open.any(|open| dir.path.starts_with(open)) {
        return None;
    }
    let path = dir.path.display();
    Some(
        Finding::wrong(check, format!("{path}: the service may not write there"))
            .mended_by("sudo systemctl edit p2pmusic    # and write there, then restart it:")
            .mended_by(format!("[Service] and below it ReadWritePaths={path}")),
    )
}

/// Where the first directory would have to be made and cannot.
fn parent_obstacle<'a>(way: &'a AccessPath, runner: &Person) -> Option<&'a PathStep> {
    let parent = AccessPath {
        steps: way.steps.clone(),
        end: PathEnd::There,
    };
    let at = parent.obstacle(runner, Wish::Write)?.path.clone();
    way.steps.iter().find(|step| step.path == at)
}

pub fn music(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "music";
    if facts.music.is_empty() {
        return vec![
            Finding::note(CHECK, "this node shares none; it plays what others have")
                .mended_by("set music = [\"/srv/music\"] under [peer], if that is not meant"),
        ];
    }
    let dirs = facts.music.iter();
    dirs.map(|(path, seen)| match seen {
        None => Finding::hangs(
            CHECK,
            &path.display().to_string(),
            "is it on a server that is off? `mount | grep nfs`; soft mounts do not hang",
        ),
        Some(music) => music_dir(path, music, facts),
    })
    .collect()
}

fn music_dir(path: &Path, music: &Music, facts: &DoctorFacts) -> Finding {
    const CHECK: &str = "music";
    let (shown, runner) = (path.display(), &facts.runner);
    if let Some(point) = &music.unmounted {
        let seen = format!("{shown}: its disk is not mounted, though /etc/fstab names it");
        return Finding::wrong(CHECK, seen).mended_by(format!("sudo mount {}", point.display()));
    }
    match &music.way.end {
        PathEnd::Missing(at) => {
            let finding = Finding::wrong(
                CHECK,
                format!("{shown} is not there: {} is missing", at.display()),
            )
            .mended_by("mount its disk, or correct `music` under [peer]");
            // In somebody's home it would belong to root, and is rather another name.
            return match path.is_absolute() && !path.starts_with("/home") {
                true => finding.mended_by(format!("sudo mkdir -p {shown}")),
                false => finding,
            };
        }
        PathEnd::Hidden(at) if facts.looker == *runner => {
            return Finding::wrong(
                CHECK,
                format!("{shown}: {} cannot be entered", at.display()),
            )
            .mended_by(format!("sudo chmod o+x {}", at.display()))
        }
        PathEnd::Hidden(at) => return hidden(CHECK, at),
        PathEnd::Broken(at, why) => {
            return Finding::wrong(CHECK, format!("{}: {why}", at.display()))
                .mended_by("is its disk failing? `dmesg | tail` says so")
        }
        PathEnd::There => {}
    }
    if music.way.target().is_some_and(|target| !target.is_dir) {
        return Finding::wrong(CHECK, format!("{shown} is not a directory"))
            .mended_by("name the directory that the music is in, under [peer]");
    }
    if let Some(step) = music.way.obstacle(runner, Wish::Read) {
        let at = step.path.display();
        let seen = format!("{} cannot read {shown}: {at} does not let it", runner.name);
        let how = match music.way.target() == Some(step) {
            true => format!("sudo chmod -R o+rX {at}"),
            false => format!("sudo chmod o+x {at}"),
        };
        return Finding::wrong(CHECK, seen).mended_by(how);
    }
    match music.content {
        DirectoryContent::Playable => {
            Finding::ok(CHECK, format!("{shown} can be read, and has music"))
        }
        DirectoryContent::Much => Finding::note(
            CHECK,
            format!("{shown} is large, and its first 20,000 files are no music"),
        ),
        DirectoryContent::Unread => hidden(CHECK, path),
        DirectoryContent::Unplayable(0) => Finding::wrong(CHECK, format!("{shown} is empty"))
            .mended_by("copy music there, or mount its disk"),
        DirectoryContent::Unplayable(files) => {
            let seen = format!(
                "{shown} has {}, and none that can be played",
                several(files as u64, "file")
            );
            Finding::wrong(CHECK, seen)
                .mended_by("it plays WAV, FLAC, MP3, Ogg Vorbis and AAC (.m4a)")
        }
    }
}

fn hidden(check: &'static str, at: &Path) -> Finding {
    let seen = format!("you may not look into {}", at.display());
    Finding::note(check, seen).mended_by("sudo p2pmusic doctor")
}

const OTHERS_READ: u32 = 0o004;
/// Index and memory need a few MiB, each twice while it is replaced.
const FULL: u64 = 16 << 20;
/// Less than this is said to be full, not to be small.
const NEARLY_FULL: u64 = FULL;
