//! Links the binary so that the loader's list of addresses is packed, where the machine's C
//! library can unpack it: 7 KB instead of 0.24 MB. And, where the linker can do that, so that
//! functions that are the same, byte by byte, are there once, which is 0.1 MB, and that what is
//! marked as cold lies apart, so that a node does not have it in memory: 0.3 MB.

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let is_native = env::var("HOST").ok() == env::var("TARGET").ok();
    if is_release && is_native && libc_version().is_some_and(|version| version >= FIRST) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    for argument in [FOLDED, COLD_APART] {
        if !is_release || !links_with(argument).unwrap_or(false) {
            continue;
        }
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

/// Whether the linker takes `argument`: a program of nothing is linked with it. That of rustc for
/// this kind of machine takes what GNU's refuses.
fn links_with(argument: &str) -> Option<bool> {
    let mut rustc = Command::new(env::var_os("RUSTC")?);
    rustc.args(["-", "--crate-name", "probe", "--target"]);
    rustc.arg(env::var_os("TARGET")?);
    rustc.args(["-C", &format!("link-arg={argument}"), "--out-dir"]);
    rustc.arg(env::var_os("OUT_DIR")?);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    let mut child = rustc
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(b"fn main() {}").ok()?;
    Some(child.wait().ok()?.success())
}

/// That of glibc, if the machine has it.
fn libc_version() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let said = String::from_utf8(said.ok()?.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// No two functions of ours are told apart by their addresses.
const FOLDED: &str = "-Wl,--icf=all";
const COLD_APART: &str = "-Wl,-z,keep-text-section-prefix";
/// The first glibc that knows such lists; Debian 12 has it, Ubuntu 22.04 does not.
const FIRST: (u32, u32) = (2, 36);
