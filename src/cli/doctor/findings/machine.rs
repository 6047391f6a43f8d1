//! Power, memory, clock.

use super::{size, Finding};
use crate::cli::doctor::facts::DoctorFacts;

/// What a Raspberry Pi's firmware says; others say nothing.
pub fn power(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "power";
    let Some(bits) = facts.machine.throttled else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let supply =
        "a stronger power supply, and a short thick cable; USB cards on a hub with its own";
    if bits & UNDERVOLTAGE != 0 {
        let seen = "the voltage is too low now: crackles, and damaged cards";
        findings.push(Finding::wrong(CHECK, seen).mended_by(supply));
    } else if bits & UNDERVOLTAGE << SINCE_START != 0 {
        let seen =
            "the voltage was too low at least once since the start: crackles, and damaged cards";
        findings.push(Finding::note(CHECK, seen).mended_by(supply));
    }
    if bits & THROTTLED != 0 || bits & TOO_HOT != 0 {
        findings.push(
            Finding::note(
                CHECK,
                "the CPU is slowed down since it is too hot, or has too little power",
            )
            .mended_by("more air; vcgencmd measure_temp"),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "the voltage was never too low"));
    }
    findings
}

pub fn memory(facts: &DoctorFacts) -> Option<Finding> {
    const CHECK: &str = "memory";
    let free = facts.machine.memory_available?;
    let seen = format!("{} available", size(free));
    Some(match free {
        0..TOO_LITTLE => {
            Finding::wrong(CHECK, seen).mended_by("free -m; ps --sort=-rss -eo rss,comm | head")
        }
        TOO_LITTLE..LITTLE => {
            Finding::note(CHECK, seen).mended_by("ps --sort=-rss -eo rss,comm | head")
        }
        _ => Finding::ok(CHECK, seen),
    })
}

/// Only where datagrams are lost for want of room is there anything to mend.
pub fn buffers(facts: &DoctorFacts) -> Option<Finding> {
    let buffers = facts.machine.buffers;
    let most = buffers.most?;
    let is_much = buffers.lost >= MANY_LOST && buffers.lost > buffers.received / A_THOUSANDTH;
    if most >= buffers.wanted || !is_much {
        return None;
    }
    let seen = format!(
        "{} datagrams were lost since they were not taken in time; \
         the kernel keeps {} of them at most",
        buffers.lost,
        size(most)
    );
    let line = format!("net.core.rmem_max={}", buffers.wanted);
    Some(Finding::note("buffers", seen).mended_by(format!(
        "echo {line} | sudo tee /etc/sysctl.d/60-p2pmusic.conf && sudo sysctl -w {line}"
    )))
}

/// Nothing in p2pmusic needs the time, but the log is easier to read with it.
pub fn clock(facts: &DoctorFacts) -> Option<Finding> {
    let is_unset = facts.machine.clock < YEAR_2024;
    is_unset.then(|| {
        Finding::note(
            "clock",
            "not set yet; p2pmusic does not need it, the times in the log do",
        )
        .mended_by("timedatectl    # says whether it is synchronised")
    })
}

/// Bits of `get_throttled`, in the firmware's documentation; the same since the start
/// are 16 higher.
const UNDERVOLTAGE: u32 = 1;
const THROTTLED: u32 = 1 << 2;
const TOO_HOT: u32 = 1 << 3;
const SINCE_START: u32 = 16;
/// A playing peer has 12 MB, and the kernel wants some for files.
const TOO_LITTLE: u64 = 24 << 20;
const LITTLE: u64 = 64 << 20;
/// Fewer are a busy moment.
const MANY_LOST: u64 = 100;
const A_THOUSANDTH: u64 = 1000;
/// 2024-01-01, which is before this program was: seconds since 1970.
const YEAR_2024: u64 = 1_704_067_200;
