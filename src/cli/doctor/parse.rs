//! What kernels, services and programs write of a machine, taken apart.

use std::path::{Path, PathBuf};

use super::facts::Unit;

/// What `iw dev … get power_save` prints.
pub fn power_save(said: &str) -> Option<bool> {
    match said.trim().strip_prefix("Power save: ")? {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// The level in dBm in `/proc/net/wireless`.
pub fn signal(table: &str, interface: &str) -> Option<i32> {
    let mut lines = table.lines().map(str::trim);
    let line = lines.find_map(|line| line.strip_prefix(interface)?.strip_prefix(':'))?;
    let level = line.split_ascii_whitespace().nth(2)?;
    level.trim_end_matches('.').parse().ok()
}

/// Whether `ufw.conf` says that ufw is on.
pub fn is_ufw_on(conf: &str) -> bool {
    let mut lines = conf.lines();
    lines.any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"))
}

/// Whether the rules of ufw have the ports of nodes and of mDNS.
pub fn ufw_lets_in(rules: &str) -> bool {
    rules.contains("4670") && rules.contains("5353")
}

/// The name in os-release(5).
pub fn system(release: &str) -> String {
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches('"').to_owned()
}

/// Whether encrypting is done by the CPU itself: a Pi up to 4 has no instructions for it.
pub fn has_aes(cpuinfo: &str) -> Option<bool> {
    let mut lines = cpuinfo.lines();
    let line = lines.find(|line| line.starts_with("Features") || line.starts_with("flags"))?;
    Some(line.split_ascii_whitespace().any(|word| word == "aes"))
}

/// A number of the firmware of a Pi.
pub fn hex(text: &str) -> Option<u32> {
    let text = text.trim();
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// Received, and lost because nobody had taken what came before.
pub fn udp_counts(snmp: &str) -> Option<(u64, u64)> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let names: Vec<&str> = lines.next()?.split(' ').collect();
    let values: Vec<&str> = lines.next()?.split(' ').collect();
    let value = |name: &str| {
        let at = names.iter().position(|n| *n == name)?;
        values.get(at)?.parse().ok()
    };
    Some((value("InDatagrams")?, value("RcvbufErrors")?))
}

/// The number behind `key` in proc_meminfo(5).
pub fn number_behind(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The numbers behind `key` in proc_pid_status(5).
pub fn ids(status: &str, key: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let words = line.unwrap_or_default().split_ascii_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

/// What `systemctl show` prints of the service.
pub fn unit(shown: &str) -> Unit {
    let paths = |text: &str| {
        // A dash before a path is for one that need not be there.
        let paths = text.split_ascii_whitespace();
        paths
            .map(|path| path.trim_start_matches(['-', '+']).into())
            .collect()
    };
    let value = |key: &str| {
        let mut pairs = shown.lines().filter_map(|line| line.split_once('='));
        pairs.find_map(|(name, value)| (name == key).then_some(value))
    };
    Unit {
        is_installed: value("LoadState") == Some("loaded"),
        is_enabled: value("UnitFileState").is_some_and(|state| state.starts_with("enabled")),
        active: value("ActiveState").unwrap_or_default().to_owned(),
        result: value("Result").unwrap_or_default().to_owned(),
        restarts: value("NRestarts").and_then(|n| n.parse().ok()).unwrap_or(0),
        writes: (value("ProtectSystem") == Some("strict"))
            .then(|| paths(value("ReadWritePaths").unwrap_or_default())),
        last_line: None,
    }
}

/// The second column of fstab(5), where a blank is written as `\040`.
pub fn mount_points(table: &str) -> Vec<PathBuf> {
    let lines = table
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let second = lines.filter_map(|line| line.split_ascii_whitespace().nth(1));
    second
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .collect()
}

/// The place on the way to `path` that is wanted as a mount, and is none.
pub fn unmounted(path: &Path, wanted: &[PathBuf], mounted: &[PathBuf]) -> Option<PathBuf> {
    let mut on_the_way = wanted
        .iter()
        .filter(|at| path.starts_with(at) && *at != Path::new("/"));
    on_the_way.find(|point| !mounted.contains(point)).cloned()
}

/// Whether the kernel's command line has the root be laid over, as raspi-config does.
pub fn is_overlaid(line: &str) -> bool {
    ["overlayroot=", "boot=overlay"]
        .iter()
        .any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_radio_is_understood() {
        assert_eq!(power_save("Power save: on\n"), Some(true));
        assert_eq!(power_save("Power save: off\n"), Some(false));
        assert_eq!(power_save("command failed: No such device (-19)\n"), None);
        let table = "Inter-| sta-|   Quality        |\n face | tus | link level noise |\n \
                     wlan0: 0000   58.  -52.  -256        0\n";
        assert_eq!(signal(table, "wlan0"), Some(-52));
        assert_eq!(signal(table, "wlan"), None);
    }

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

    #[test]
    fn numbers_of_a_process_are_found_by_their_key() {
        assert_eq!(ids("Uid:\t1\t2\t3\t4\nGroups:\t\n", "Uid:"), [1, 2, 3, 4]);
        assert_eq!(ids("Uid:\t1\t2\t3\t4\nGroups:\t\n", "Groups:"), [0; 0]);
    }

    #[test]
    fn what_systemd_shows_is_understood() {
        let shown = "Result=exit-code\nNRestarts=4\nLoadState=loaded\n\
                     ActiveState=activating\nUnitFileState=enabled\n\
                     ProtectSystem=strict\nReadWritePaths=-/srv/a /srv/b\n";
        let unit = Unit {
            is_installed: true,
            is_enabled: true,
            active: "activating".into(),
            result: "exit-code".into(),
            restarts: 4,
            writes: Some(vec!["/srv/a".into(), "/srv/b".into()]),
            last_line: None,
        };
        assert_eq!(super::unit(shown), unit);
        assert_eq!(super::unit("LoadState=not-found\n"), Unit::default());
    }

    #[test]
    fn a_disk_that_is_wanted_on_the_way_and_is_not_there_is_named() {
        let fstab = "# UUID=1 /old ext4\nUUID=2 / ext4 defaults\n\
                     UUID=3 /srv/my\\040disk vfat nofail\nUUID=4 /srv ext4\n";
        let wanted = mount_points(fstab);
        assert_eq!(wanted, ["/", "/srv/my disk", "/srv"].map(PathBuf::from));
        let mounted = ["/", "/srv"].map(PathBuf::from);
        for (path, missing) in [
            ("/srv/my disk/a", Some("/srv/my disk")),
            ("/srv/music", None),
            ("/home", None),
        ] {
            let found = unmounted(Path::new(path), &wanted, &mounted);
            assert_eq!(found, missing.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn firewalls_and_overlays_are_seen() {
        assert!(is_ufw_on("# ufw\nenabled=YES\n") && !is_ufw_on("ENABLED=no\n"));
        assert!(ufw_lets_in("--dport 4670\n--dport 5353\n") && !ufw_lets_in("--dport 4670\n"));
        assert!(is_overlaid("quiet boot=overlay") && !is_overlaid("quiet splash"));
    }
}
