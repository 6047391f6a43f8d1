//! The machine: what it is, its clock, its power, and how much it keeps of UDP.

use std::{
    fs, thread,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    cli::doctor::{
        aside,
        facts::{Buffers, Machine},
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

fn system(release: &str) -> String {
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches('"').to_owned()
}

/// Whether encrypting is done by the CPU itself: a Pi up to 4 has no instructions for it.
fn has_aes(cpuinfo: &str) -> Option<bool> {
    let mut lines = cpuinfo.lines();
    let line = lines.find(|line| line.starts_with("Features") || line.starts_with("flags"))?;
    Some(line.split_ascii_whitespace().any(|word| word == "aes"))
}

fn throttled() -> Option<u32> {
    let firmware = text("/sys/devices/platform/soc/soc:firmware/get_throttled");
    if let Some(bits) = hex(&firmware) {
        return Some(bits);
    }
    let said = aside::said("vcgencmd", &["get_throttled"])?;
    hex(said.strip_prefix("throttled=")?)
}

fn hex(text: &str) -> Option<u32> {
    let text = text.trim();
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
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

/// Received, and lost because nobody had taken what came before.
fn udp_counts(snmp: &str) -> Option<(u64, u64)> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let names: Vec<&str> = lines.next()?.split(' ').collect();
    let values: Vec<&str> = lines.next()?.split(' ').collect();
    let value = |name: &str| {
        let at = names.iter().position(|n| *n == name)?;
        values.get(at)?.parse().ok()
    };
    Some((value("InDatagrams")?, value("RcvbufErrors")?))
}

fn number_behind(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// A file of the kernel's; empty where it is not.
fn text(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(system(release), "Debian GNU/Linux 12 (bookworm)");
        let pi4 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n";
        let pi5 = "Features\t: fp asimd evtstrm aes pmull\n";
        assert_eq!(has_aes(pi4), Some(false));
        assert_eq!(has_aes(pi5), Some(true));
        assert_eq!(has_aes("processor : 0\n"), None);
        let snmp = "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\n\
                    Udp: 1000 1 5 900 4\nUdpLite: InDatagrams\n";
        assert_eq!(udp_counts(snmp), Some((1000, 4)));
        assert_eq!(udp_counts("Tcp: 1\n"), None);
        assert_eq!(hex("50005\n"), Some(0x50005));
        assert_eq!(hex("0x0\n"), Some(0));
        assert_eq!(
            number_behind("MemTotal:  948280 kB\n", "MemTotal:"),
            Some(948_280)
        );
    }
}
