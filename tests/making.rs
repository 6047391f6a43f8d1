//! What `make` asks for before it does anything to a person's machine.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

/// What `make deps` says with a compiler that prints `version`, of packages that nobody has.
fn make_deps(version: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let tool = dir.path().join("tool");
    fs::write(&tool, format!("#!/bin/sh\n{version}\n")).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("make")
        .args(["--no-print-directory", "deps", "SUDO=echo would be asked:"])
        .args(["BUILD_PACKAGES=no-such-package", "APT_INSTALL=false"])
        .args(["CARGO", "RUSTC"].map(|name| format!("{name}={}", tool.display())))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("MFLAGS")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

#[test]
fn an_old_compiler_is_refused_before_anything_is_installed() {
    // As Debian 12 has it, and none at all.
    for version in ["echo tool 1.63.0", "exit 127"] {
        let said = make_deps(version);
        assert!(said.contains("Rust 1.90 or newer is needed"), "{said}");
        assert!(said.contains("https://rustup.rs"), "{said}");
        assert!(!said.contains("Installing"), "{said}");
    }
    assert!(make_deps("echo tool 1.63.0").contains("1.63.0 is here"));
}

#[test]
fn what_is_new_enough_goes_on() {
    for version in ["1.90.0", "1.95.0 (f2d3ce0bd 2026-03-21)", "2.0.0-nightly"] {
        let said = make_deps(&format!("echo 'tool {version}'"));
        assert!(
            said.contains("Installing from Debian: no-such-package"),
            "{said}"
        );
        // What the system's own tools say is not kept from a person who waits for them.
        assert!(said.contains("would be asked: "), "{said}");
    }
}
