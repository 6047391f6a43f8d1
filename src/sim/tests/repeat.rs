//! One seed, one run: what makes all the other failures repeatable.

use std::process::Command;

use super::chaos::chaos;

/// Set for the process that only prints its fingerprint.
const CHILD: &str = "P2PMUSIC_SIM_CHILD";
const TEST: &str = "sim::tests::repeat::one_seed_gives_the_same_run_in_every_process";

#[test]
fn one_seed_gives_the_same_run_in_every_process() {
    if std::env::var_os(CHILD).is_some() {
        let world = chaos(7);
        println!(
            "\nfingerprint {} {}",
            world.log.lines().len(),
            world.log.fingerprint()
        );
        return;
    }
    let run = || {
        let me = std::env::current_exe().expect("a running test has a file");
        let mut child = Command::new(me);
        child.args([TEST, "--exact", "--nocapture"]).env(CHILD, "1");
        let output = child.output().expect("what runs can run twice");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("fingerprint "));
        line.unwrap_or_else(|| panic!("no fingerprint in {text:?}"))
            .to_owned()
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let lines = first
        .split(' ')
        .nth(1)
        .and_then(|lines| lines.parse::<u32>().ok());
    assert!(
        lines.is_some_and(|lines| lines > 500),
        "too quiet to prove anything: {first}"
    );
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(chaos(1).log.fingerprint(), chaos(2).log.fingerprint());
}
