//! A card on which writing takes long: under the node lies a library that waits before each
//! write to a file of one directory, for as many milliseconds as a file says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::common::Setup;

pub struct Brake {
    dir: tempfile::TempDir,
}

impl Brake {
    pub fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("brake.c");
        fs::write(&source, BRAKE).unwrap();
        // It links everything that Rust builds, too.
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&dir.path().join("libbrake.so"), &source])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let brake = Self { dir };
        brake.set(0);
        brake
    }

    /// Has `setup` write slowly to `slow`.
    pub fn under(&self, setup: Setup, slow: &Path) -> Setup {
        let env = [
            ("LD_PRELOAD", self.dir.path().join("libbrake.so")),
            ("SLOW_DIRECTORY", slow.canonicalize().unwrap()),
            ("SLOW_MILLISECONDS", self.file()),
        ];
        let env = env.map(|(name, path)| (name.into(), path.to_str().unwrap().into()));
        Setup {
            env: env.into(),
            ..setup
        }
    }

    /// From now on each write takes so long.
    pub fn set(&self, milliseconds: u32) {
        // Replaced whole: it may be read at any moment.
        let new = self.dir.path().join("new");
        fs::write(&new, milliseconds.to_string()).unwrap();
        fs::rename(&new, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("milliseconds")
    }
}

const BRAKE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static void wait_for(int fd) {
    const char *slow = getenv("SLOW_DIRECTORY"), *file = getenv("SLOW_MILLISECONDS");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path);
    if (!slow || !file || n < (ssize_t)strlen(slow) || strncmp(path, slow, strlen(slow)))
        return;
    FILE *from = fopen(file, "r");
    int milliseconds = 0;
    if (from && fscanf(from, "%d", &milliseconds) == 1)
        usleep(milliseconds * 1000);
    if (from)
        fclose(from);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t at) {
    wait_for(fd);
    return ((ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, bytes, n, at);
}

ssize_t write(int fd, const void *bytes, size_t n) {
    wait_for(fd);
    return ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(fd, bytes, n);
}
"#;
