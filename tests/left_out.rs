//! What a test cannot do counts as left out: in the closing lines of `make test`, and in
//! what CI makes of them.

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use common::left_out;

/// A `cargo test` of two binaries: the first leaves out as a whole and in part.
const CARGO: &str = r#"#!/bin/sh
printf 'mdns\tavahi\tthere is no avahi\nmdns\tpart\tin part: no nft\n' >> "$P2PMUSIC_LEFT_OUT"
cat <<'END'
     Running tests/mdns.rs (/a b/target/debug/deps/mdns-0123abcd)
test avahi ... ok
test heard ... ok
test part ... ok
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
     Running tests/soak.rs (/a b/target/debug/deps/soak-4567abcd)
test avahi ... ok
test week ... ignored, takes an hour
test wrong ... STATE
test result: STATE. 1 passed; FAILURES failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
END
exit CODE
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What `tests/report` makes of a `cargo test` that prints [`CARGO`].
fn report(state: &str, failures: u32, code: u32) -> (Output, String) {
    let dir = tempfile::tempdir().unwrap();
    let cargo = dir.path().join("cargo");
    let text = CARGO
        .replace("STATE", state)
        .replace("CODE", &code.to_string());
    let text = text.replace("FAILURES", &failures.to_string());
    fs::write(&cargo, text).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(root().join("tests/report"))
        .arg(&cargo)
        .env("CARGO_TARGET_DIR", dir.path())
        .output()
        .unwrap();
    let left_out = fs::read_to_string(dir.path().join("left-out")).unwrap();
    (output, left_out)
}

#[test]
fn what_is_left_out_is_named_with_its_reason_and_is_not_passed() {
    let (output, list) = report("ok", 0, 0);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let end = "Left out, and therefore not passed:\n  \
               mdns: avahi: there is no avahi\n  \
               mdns: part: in part: no nft\n  \
               soak: week: takes an hour\n\
               2 passed, 0 failed, 3 skipped\n";
    assert!(said.ends_with(end), "{said}");
    // A reader of cargo's own lines gets the same.
    for line in [
        "test avahi ... ignored, there is no avahi\n",
        "test heard ... ok\n",
        "test result: ok. 1 passed; 0 failed; 2 ignored; ",
        "test result: ok. 1 passed; 0 failed; 1 ignored; ",
    ] {
        assert!(said.contains(line), "no {line} in {said}");
    }
    assert_eq!(list.lines().count(), 3, "{list}");
}

#[test]
fn a_failure_is_passed_on() {
    let (output, _) = report("FAILED", 1, 101);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(101), "{said}");
    assert!(
        said.ends_with("\n2 passed, 1 failed, 3 skipped\n"),
        "{said}"
    );
    // One that ends before its sums were said.
    let (output, _) = report("ok", 0, 101);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("have not run to their end (status 101"),
        "{said}"
    );
    assert!(said.contains(" 1 failed, "), "{said}");
}

/// CI fails for what it could run: all reasons but those that are listed.
#[test]
fn ci_accepts_only_what_its_list_allows() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("left-out");
    let judge = |lines: &str| {
        fs::write(&list, lines).unwrap();
        let check = root().join(".ci/check-left-out");
        Command::new(check).arg(&list).output().unwrap()
    };
    assert!(judge("").status.success());
    let allowed = "doctor\thangs\tin part: a file system that hangs needs /dev/fuse\n\
                   soak\tweek\ttakes as long as it is told: `make soak MINUTES=30`\n";
    assert!(judge(allowed).status.success());
    let output = judge(&format!(
        "{allowed}mdns\tavahi\tthere is no `avahi-daemon`\n"
    ));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("mdns: avahi: there is no `avahi-daemon`"),
        "{said}"
    );
    assert!(!said.contains("soak"), "{said}");
}

/// By hand it is said on the terminal, although the test passes for libtest.
#[test]
fn what_is_left_out_is_said_by_hand_too() {
    const AGAIN: &str = "P2PMUSIC_TEST_OF_LEFT_OUT";
    if std::env::var_os(AGAIN).is_some() {
        return left_out::left_out("for\n  show");
    }
    let name = left_out::test_name();
    let again = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &name]).env(AGAIN, "1");
        command
    };
    let output = again().env_remove("P2PMUSIC_LEFT_OUT").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("LEFT OUT {name}: for show\n"));
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("left-out");
    let output = again().env("P2PMUSIC_LEFT_OUT", &list).output().unwrap();
    assert!(output.stderr.is_empty());
    let written = fs::read_to_string(list).unwrap();
    assert_eq!(written, format!("left_out\t{name}\tfor show\n"));
}

/// No test has a way of its own to do nothing.
#[test]
fn every_test_that_does_nothing_says_so_in_one_place() {
    let mut files = vec![root().join("tests")];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        read += 1;
        let text = fs::read_to_string(&path).unwrap();
        for words in [
            concat!("eprintln!(\"", "skip"),
            concat!("return ", "eprintln!"),
        ] {
            assert!(!text.contains(words), "{words} in {}", path.display());
        }
    }
    assert!(read > 20, "{read} files");
}
