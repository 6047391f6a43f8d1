//! Two machines on one cable: network namespaces joined by a veth pair.
//!
//! Each has, before the interface that leads to the other, one that leads
//! nowhere and on which it has more addresses than a peer announces, all in
//! the other's own network by the look of them. A node that dials in
//! the order in which addresses are found, or announces what it finds, never arrives.
//! Nothing leaves the namespaces: they have no route but the cable.
#![allow(dead_code)] // each test file uses a part of it

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use crate::common::{left_out::or_left_out, own_root::as_root};

/// Two namespaces, which are removed with it.
pub struct Network {
    names: [String; 2],
    /// What lies over `/etc/hosts` in each, once it is there.
    hosts: TempDir,
}

impl Network {
    /// Makes the namespaces; where that cannot be, says why.
    fn try_new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if Command::new("ip").arg("-V").output().is_err() {
            return Err("there is no `ip` (package iproute2)".into());
        }
        let unique = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        // Whatever fails from here on, the drop removes what there is.
        let network = Self {
            names: ["a", "b"].map(|end| format!("p2pmusic-{unique}{end}")),
            hosts: tempfile::tempdir().map_err(|e| e.to_string())?,
        };
        for name in &network.names {
            ip(&["netns", "add", name])?;
        }
        for end in 0..2 {
            network.lead_nowhere(end)?;
        }
        network.join()?;
        // Some containers let root make them, but run nothing in them.
        ip(&["netns", "exec", &network.names[1], "true"])?;
        Ok(network)
    }

    /// The namespaces; none where the test returns: done already by root of a user
    /// namespace, or left out.
    pub fn or_skip() -> Option<Self> {
        as_root().then(|| or_left_out(Self::try_new()))?
    }

    /// The words before a command that is to run in namespace 0 or 1.
    pub fn prefix(&self, end: usize) -> Vec<String> {
        // `ip netns exec` has made a mount namespace already.
        let hosts = self.hosts_file(end).display().to_string();
        let script =
            format!("test ! -e {hosts} || mount --bind {hosts} /etc/hosts; exec \"$0\" \"$@\"");
        ["ip", "netns", "exec", &self.names[end], "sh", "-c", &script]
            .map(str::to_owned)
            .into()
    }

    /// The address by which namespace 0 or 1 can be reached.
    pub fn address(&self, end: usize) -> &'static str {
        ["10.98.0.1", "10.98.0.2"][end]
    }

    /// What a thread enters namespace 0 or 1 by.
    pub fn file(&self, end: usize) -> PathBuf {
        Path::new("/run/netns").join(&self.names[end])
    }

    /// What the names in namespace 0 or 1 mean from now on, as in `/etc/hosts`.
    /// To be called before anything runs there.
    pub fn set_hosts(&self, end: usize, hosts: &str) {
        // The same file stays: it has been mounted.
        fs::write(self.hosts_file(end), hosts).unwrap();
    }

    fn hosts_file(&self, end: usize) -> PathBuf {
        self.hosts.path().join(end.to_string())
    }

    fn lead_nowhere(&self, end: usize) -> Result<(), String> {
        let name = &self.names[end];
        self.ip(end, &["link", "set", "lo", "up"])?;
        ip(&[
            "-n", name, "link", "add", "nowhere", "type", "veth", "peer", "name", "beyond",
        ])?;
        for host in 1..=DEAD_ADDRESSES {
            let address = format!("10.97.0.{}/24", host + 100 * end);
            self.ip(end, &["address", "add", &address, "dev", "nowhere"])?;
        }
        for interface in ["nowhere", "beyond"] {
            self.ip(end, &["link", "set", interface, "up"])?;
        }
        Ok(())
    }

    fn join(&self) -> Result<(), String> {
        let [a, b] = &self.names;
        ip(&[
            "link", "add", "cable", "netns", a, "type", "veth", "peer", "cable", "netns", b,
        ])?;
        for end in 0..2 {
            let address = format!("{}/24", self.address(end));
            self.ip(end, &["address", "add", &address, "dev", "cable"])?;
            self.ip(end, &["link", "set", "cable", "up"])?;
            // mDNS goes to the interfaces' multicast groups, and needs a way.
            self.ip(end, &["route", "add", "224.0.0.0/4", "dev", "cable"])?;
        }
        Ok(())
    }

    /// Runs `ip` in namespace 0 or 1: cuts a cable, gives another address.
    pub fn ip(&self, end: usize, words: &[&str]) -> Result<(), String> {
        ip(&[&["-n", &self.names[end]], words].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            // It may not have come to be.
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip")
        .args(words)
        .output()
        .map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "ip {words:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// As many as a peer announces, so that only what the tracker adds leads
/// anywhere.
const DEAD_ADDRESSES: usize = 8;
