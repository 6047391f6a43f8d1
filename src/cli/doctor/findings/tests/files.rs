use super::*;

fn key(facts: &mut DoctorFacts) -> &mut Key {
    facts.key.as_mut().unwrap().as_mut().unwrap()
}

fn disk(dir: &mut Option<Dir>) -> &mut FileSystem {
    dir.as_mut().unwrap().disk.as_mut().unwrap()
}

fn music(facts: &mut DoctorFacts) -> &mut Music {
    facts.music[0].1.as_mut().unwrap()
}

#[test]
fn faults_of_the_key() {
    are_found(&[
        (|f| f.key = Some(None), "key", Note, &["open", "keygen"]),
        (|f| f.key = None, "key", Wrong, &["in time"]),
        (
            |f| key(f).way = missing("/etc/p2pmusic.key"),
            "key",
            Wrong,
            &[
                "not there",
                "sudo p2pmusic join",
                "keygen | sudo install -m 640 -g p2pmusic",
            ],
        ),
        (
            |f| key(f).way = way("/etc/p2pmusic.key", false, 0o644),
            "key",
            Wrong,
            &["every user", "chmod o="],
        ),
        (
            |f| key(f).way = way("/etc/p2pmusic.key", false, 0o600),
            "key",
            Wrong,
            &[
                "p2pmusic cannot read",
                "sudo chgrp p2pmusic /etc/p2pmusic.key && sudo chmod 640",
            ],
        ),
        (
            |f| key(f).keys = Some(Err("line 2".into())),
            "key",
            Wrong,
            &["line 2", "sudo p2pmusic join"],
        ),
        (|f| key(f).keys = Some(Ok(2)), "key", Fine, &["2 keys"]),
        (|f| key(f).keys = None, "key", Note, &["may not read"]),
    ]);
}

#[test]
fn faults_of_the_state_directory() {
    are_found(&[
        (
            |f| disk(&mut f.state).is_read_only = true,
            "state",
            Wrong,
            &["read-only", "dmesg"],
        ),
        (|f| disk(&mut f.state).free = 0, "state", Wrong, &["full"]),
        (
            |f| disk(&mut f.state).has_inodes = false,
            "state",
            Wrong,
            &["no more files"],
        ),
        (
            |f| disk(&mut f.state).is_in_memory = true,
            "state",
            Note,
            &["identity"],
        ),
        (|f| f.state = None, "state", Wrong, &["in time"][..1]),
        (
            |f| f.state.as_mut().unwrap().way = way("/var/lib/p2pmusic", true, 0o755),
            "state",
            Wrong,
            &["p2pmusic cannot write", "sudo chown -R p2pmusic:"],
        ),
        (
            |f| f.state.as_mut().unwrap().way = missing("/var/lib/p2pmusic"),
            "state",
            Wrong,
            &["cannot make it"],
        ),
        (
            |f| f.unit.as_mut().unwrap().as_mut().unwrap().writes = Some(vec!["/srv".into()]),
            "state",
            Fine,
            &["/var/lib/p2pmusic"],
        ),
    ]);
}

#[test]
fn faults_of_the_cache() {
    are_found(&[
        (
            |f| disk(&mut f.cache).free = 1 << 30,
            "cache",
            Note,
            &["2.0 GiB", "1.0 GiB are free", "512 MiB"],
        ),
        (
            |f| disk(&mut f.cache).is_in_memory = true,
            "cache",
            Note,
            &["in memory", "112 MiB"],
        ),
        (
            |f| {
                f.unit.as_mut().unwrap().as_mut().unwrap().writes = Some(Vec::new());
                f.cache.as_mut().unwrap().path = "/srv/cache".into();
            },
            "cache",
            Wrong,
            &[
                "may not write",
                "systemctl edit",
                "ReadWritePaths=/srv/cache",
            ],
        ),
    ]);
}

#[test]
fn faults_of_the_music() {
    are_found(&[
        (|f| f.music.clear(), "music", Note, &["shares none"]),
        (
            |f| f.music[0].1 = None,
            "music",
            Wrong,
            &["/srv/music", "in time", "nfs"],
        ),
        (
            |f| music(f).way = missing("/srv/music"),
            "music",
            Wrong,
            &["not there", "mkdir"],
        ),
        (
            |f| music(f).way = way("/srv/music", true, 0o700),
            "music",
            Wrong,
            &["cannot read", "chmod -R o+rX /srv/music"],
        ),
        (
            |f| music(f).way.steps[0].mode = 0o700,
            "music",
            Wrong,
            &["cannot read", "chmod o+x /"],
        ),
        (
            |f| music(f).way = way("/srv/music", false, 0o644),
            "music",
            Wrong,
            &["not a directory"],
        ),
        (
            |f| music(f).content = DirectoryContent::Unplayable(0),
            "music",
            Wrong,
            &["empty"],
        ),
        (
            |f| music(f).content = DirectoryContent::Unplayable(7),
            "music",
            Wrong,
            &["7 files", "FLAC"],
        ),
        (
            |f| music(f).unmounted = Some("/srv".into()),
            "music",
            Wrong,
            &["fstab", "sudo mount /srv"],
        ),
        (
            |f| music(f).way.end = PathEnd::Broken("/srv".into(), "I/O error".into()),
            "music",
            Wrong,
            &["I/O error", "dmesg"],
        ),
    ]);
}
