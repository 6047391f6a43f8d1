//! The machine: what it is, its clock, its power, and how much it keeps of UDP.

use std::{
    fs, thread,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    cli::doctor::{
        aside,
        facts::{Buffers, Machine},
        parse::{has_aes, hex, number_behind, system, udp_counts},
    },
    swarm::endpoint::SOCKET_BUFFER,
};

pub fn machine() -> Machine {
    let memory = text("/proc/meminfo");
    let kib = |key: &str| number_behind(&memory, key).map(|kib| kib * 1024);
    Machine {
        model: model(),
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        system: system(&text("/etc/os-release")),
        architecture: std::env::consts::ARCH,
        cores: thread::available_parallelism().map_or(1, usize::from),
        aes: has_aes(&text("/proc/cpuinfo")),
        memory: kib("MemTotal:"),
        memory_available: kib("MemAvailable:"),
        clock: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        throttled: throttled(),
        buffers: buffers(),
    }
}

/// What the device tree says, or what a PC's firmware does.
fn model() -> Option<String> {
    let places = ["/proc/device-tree/model", "/sys/class/dmi/id/product_name"];
    let models = places.iter().map(|place| text(place));
    let models = models.map(|model| model.trim_matches(['\0', '\n', ' ']).to_owned());
    models.into_iter().find(|model| !model.is_empty())
}

fn throttled() -> Option<u32> {
    let firmware = text("/sys/devices/platform/soc/soc:firmware/get_throttled");
    if let Some(bits) = hex(&firmware) {
        return Some(bits);
    }
    let said = aside::said("vcgencmd", &["get_throttled"])?;
    hex(said.strip_prefix("throttled=")?)
}

fn buffers() -> Buffers {
    let counted = udp_counts(&text("/proc/net/snmp"));
    let (received, lost) = counted.unwrap_or_default();
    Buffers {
        most: text("/proc/sys/net/core/rmem_max").trim().parse().ok(),
        wanted: SOCKET_BUFFER as u64,
        received,
        lost,
    }
}

/// A file of the kernel's; empty where it is not.
fn text(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
