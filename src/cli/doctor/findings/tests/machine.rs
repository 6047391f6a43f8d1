use super::*;

#[test]
fn faults_of_the_machine() {
    are_found(&[
        (
            |f| f.machine.throttled = Some(0x5_0005),
            "power",
            Wrong,
            &["too low now", "power supply"],
        ),
        (
            |f| f.machine.throttled = Some(0x1_0000),
            "power",
            Note,
            &["at least once", "power supply"],
        ),
        (
            |f| f.machine.throttled = Some(0x8),
            "power",
            Note,
            &["too hot"],
        ),
        (
            |f| f.machine.memory_available = Some(10 << 20),
            "memory",
            Wrong,
            &["10 MiB", "free -m"],
        ),
        (
            |f| f.machine.memory_available = Some(40 << 20),
            "memory",
            Note,
            &["40 MiB"],
        ),
        (
            |f| f.machine.buffers.lost = 5_000,
            "buffers",
            Note,
            &["5000", "net.core.rmem_max=1048576"],
        ),
        (|f| f.machine.clock = 12, "clock", Note, &["timedatectl"]),
    ]);
    let mut facts = well();
    facts.machine.buffers.lost = 5_000;
    facts.machine.buffers.most = Some(4 << 20);
    assert!(
        examine(&facts).iter().all(|f| f.check != "buffers"),
        "there is nothing to mend"
    );
}
