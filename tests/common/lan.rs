//! A home network: machines in network namespaces on one switch, and Avahi, which
//! most of them run.
//!
//! Nothing leaves the namespaces: the switch has no way out.
#![allow(dead_code)] // each test file uses a part of it

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc, Mutex,
    },
    thread,
    time::Instant,
};

use tempfile::TempDir;

use crate::common::{command, sysctl, PATIENCE};

/// Machines that each have `eth0` with 10.99.0.1 and so on, and link-local IPv6.
pub struct Lan {
    unique: String,
    hosts: usize,
}

impl Lan {
    /// Makes the namespaces; where that cannot be, says why.
    pub fn try_new(hosts: usize) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if Command::new("ip").arg("-V").output().is_err() {
            return Err("there is no `ip` (package iproute2)".into());
        }
        if !Path::new("/proc/net/if_inet6").exists() {
            return Err("the kernel has no IPv6".into());
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("p2plan-{}-{count}", std::process::id());
        // Whatever fails from here on, the drop removes what there is.
        let lan = Self { unique, hosts };
        run("ip", &["netns", "add", &lan.switch()])?;
        lan.add_switch("lan")?;
        for host in 0..hosts {
            run("ip", &["netns", "add", &lan.name(host)])?;
            lan.ip(host, &["link", "set", "lo", "up"])?;
            lan.plug_in(host, "eth0", "lan")?;
            lan.ip(host, &["address", "add", &cidr(host), "dev", "eth0"])?;
        }
        // Some containers let root make them, but run nothing in them.
        let runs = command(&lan.prefix(0), "true").status();
        match runs.is_ok_and(|status| status.success()) {
            true => Ok(lan),
            false => Err("nothing runs in a network namespace here".into()),
        }
    }

    /// The words before a command that is to run on a machine.
    pub fn prefix(&self, host: usize) -> Vec<String> {
        let name = self.name(host);
        ["ip", "netns", "exec", &name].map(str::to_owned).into()
    }

    /// The first address of a machine.
    pub fn address(&self, host: usize) -> String {
        format!("10.99.0.{}", host + 1)
    }

    /// What a thread enters a machine by.
    pub fn file(&self, host: usize) -> PathBuf {
        Path::new("/run/netns").join(self.name(host))
    }

    /// What a machine sends goes through a bucket as `tc-tbf` describes it.
    pub fn limit(&self, host: usize, bucket: &str) -> Result<(), String> {
        let words = ["qdisc", "add", "dev", "eth0", "root", "tbf"];
        let bucket: Vec<_> = bucket.split(' ').collect();
        run(
            "tc",
            &[&["-n", &self.name(host)], &words[..], &bucket].concat(),
        )
    }

    /// Another switch.
    pub fn add_switch(&self, switch: &str) -> Result<(), String> {
        let name = self.switch();
        // Without snooping a port either has all multicast or none.
        let bridge = ["type", "bridge", "mcast_snooping", "0"];
        let link = [&["-n", &name, "link", "add", switch], &bridge[..]].concat();
        run("ip", &link)?;
        run("ip", &["-n", &name, "link", "set", switch, "up"])
    }

    /// Leads from a machine to a switch by a new interface, without an IPv4 address.
    pub fn plug_in(&self, host: usize, interface: &str, switch: &str) -> Result<(), String> {
        let (name, switches) = (self.name(host), self.switch());
        let port = port(host, interface);
        run(
            "ip",
            &[
                "link", "add", interface, "netns", &name, "type", "veth", "peer", &port, "netns",
                &switches,
            ],
        )?;
        run(
            "ip",
            &[
                "-n", &switches, "link", "set", &port, "master", switch, "up",
            ],
        )?;
        self.ip(host, &["link", "set", interface, "up"])
    }

    /// Puts the cable of `eth0` into another switch, which the machine does not see.
    pub fn move_cable(&self, host: usize, switch: &str) {
        let port = port(host, "eth0");
        let words = ["link", "set", &port, "master", switch];
        run("ip", &[&["-n", &self.switch()], &words[..]].concat()).unwrap();
    }

    /// Runs `ip` on a machine.
    pub fn ip(&self, host: usize, words: &[&str]) -> Result<(), String> {
        run("ip", &[&["-n", &self.name(host)], words].concat())
    }

    /// The first address of `eth0` is `to` from now on, without a moment for both.
    pub fn move_to(&self, host: usize, from: &str, to: &str) {
        for (verb, address) in [("del", from), ("add", to)] {
            let address = format!("{address}/24");
            let words = ["address", verb, &address, "dev", "eth0"];
            self.ip(host, &words).unwrap();
        }
    }

    /// Pulls the cable of `eth0` out of the switch, or puts it back.
    pub fn set_carrier(&self, host: usize, is_on: bool) {
        let port = port(host, "eth0");
        let state = if is_on { "up" } else { "down" };
        run("ip", &["-n", &self.switch(), "link", "set", &port, state]).unwrap();
    }

    /// Has a machine without IPv6; where that cannot be, says why.
    pub fn without_ipv6(&self, host: usize) -> Result<(), String> {
        let setting = "net/ipv6/conf/all/disable_ipv6";
        sysctl::set(&self.prefix(host), setting, "1")
    }

    /// Takes the IPv6 addresses of a machine, which could have others.
    pub fn without_ipv6_addresses(&self, host: usize) {
        self.ip(host, &["-6", "address", "flush", "dev", "eth0"])
            .unwrap();
    }

    /// Has a machine without IPv4.
    pub fn without_ipv4(&self, host: usize) {
        self.ip(host, &["-4", "address", "flush", "dev", "eth0"])
            .unwrap();
    }

    /// The switch lets no multicast through to anybody, as many an access point.
    /// (IPv6, whose neighbours are found by multicast, goes with it.)
    pub fn block_multicast(&self) {
        for host in 0..self.hosts {
            let port = port(host, "eth0");
            let words = ["link", "set", "dev", &port, "mcast_flood", "off"];
            run("bridge", &[&["-n", &self.switch()], &words[..]].concat()).unwrap();
        }
    }

    fn name(&self, host: usize) -> String {
        format!("{}-{host}", self.unique)
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.unique)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let hosts = (0..self.hosts).map(|host| self.name(host));
        for name in hosts.chain([self.switch()]) {
            // It may not have come to be.
            let _ = run("ip", &["netns", "delete", &name]);
        }
    }
}

/// Avahi on a machine, with a D-Bus of its own. Ends with it.
pub struct Avahi {
    dir: TempDir,
    prefix: Vec<String>,
    /// Daemons, and what is published: the bus last.
    children: Vec<Child>,
    log: Arc<Mutex<Vec<String>>>,
}

/// A service as `avahi-browse` shows it on one interface by one protocol.
#[derive(Clone, Debug)]
pub struct Seen {
    pub interface: String,
    pub protocol: String,
    pub name: String,
    pub address: String,
    pub port: u16,
    pub text: String,
}

impl Avahi {
    /// Starts it and waits until it is ready; where that cannot be, says why.
    pub fn try_start(lan: &Lan, host: usize) -> Result<Self, String> {
        for (program, package) in [
            ("dbus-daemon", "dbus"),
            ("avahi-daemon", "avahi-daemon"),
            ("avahi-browse", "avahi-utils"),
        ] {
            if Command::new(program).arg("--version").output().is_err() {
                return Err(format!("there is no `{program}` (package {package})"));
            }
        }
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut avahi = Self {
            dir,
            prefix: lan.prefix(host),
            children: Vec::new(),
            log: Arc::default(),
        };
        let bus = avahi.dir.path().join("bus");
        let (bus_file, avahi_file) = (
            avahi.dir.path().join("bus.conf"),
            avahi.dir.path().join("avahi.conf"),
        );
        let config = BUS.replace("BUS", &bus.display().to_string());
        fs::write(&bus_file, config).map_err(|e| e.to_string())?;
        let config = format!("[server]\nhost-name=machine-{host}\n{AVAHI}");
        fs::write(&avahi_file, config).map_err(|e| e.to_string())?;
        let mut daemon = Command::new("dbus-daemon");
        daemon.arg(format!("--config-file={}", bus_file.display()));
        avahi.spawn(daemon.args(["--nofork", "--nopidfile"]))?;
        avahi.wait("its D-Bus", |_| bus.exists());
        // It has one fixed place for its process number, and every command of
        // `ip netns exec` mounts of its own.
        let mut daemon = avahi.command("sh");
        daemon.arg("-c").arg(IN_ITS_OWN_RUN).arg(&avahi_file);
        avahi.spawn(&mut daemon)?;
        avahi.wait("its start", |log| {
            let tells = |line: &String| IN_THE_END.iter().any(|words| line.contains(words));
            log.iter().any(tells)
        });
        let log = avahi.log();
        match log.contains("mount: ") {
            true => Err(format!("nothing can be mounted here: {log}")),
            false => Ok(avahi),
        }
    }

    /// What it knows of the services of this type.
    pub fn browse(&self, service: &str) -> Vec<Seen> {
        let mut browse = self.command("timeout");
        browse.args(["10", "avahi-browse", "-rpt", service]);
        let output = browse.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter_map(Seen::parse).collect()
    }

    /// Browses again and again until `done` is content.
    pub fn wait_for(&self, service: &str, what: &str, done: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let begun = Instant::now();
        loop {
            let seen = self.browse(service);
            if done(&seen) {
                eprintln!("Avahi sees {what} after {:.1?}", begun.elapsed());
                return seen;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "Avahi does not see {what}, but {seen:#?}\n{}",
                self.log()
            );
        }
    }

    /// Publishes a service until this is dropped.
    pub fn publish(&mut self, name: &str, service: &str, port: u16) {
        let mut publish = self.command("avahi-publish");
        let port = port.to_string();
        self.spawn(publish.args(["-s", name, service, &port]))
            .unwrap();
        let established = format!("Established under name '{name}'");
        let has_it = |log: &[String]| log.iter().any(|line| line.contains(&established));
        self.wait("the service", has_it);
    }

    /// What its programs have said.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = command(&self.prefix, program);
        let bus = format!("unix:path={}", self.dir.path().join("bus").display());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
        command
    }

    fn spawn(&mut self, command: &mut Command) -> Result<(), String> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| e.to_string())?;
        let stderr = BufReader::new(child.stderr.take().unwrap());
        self.children.insert(0, child);
        let log = self.log.clone();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                log.lock().unwrap().push(line);
            }
        });
        Ok(())
    }

    fn wait(&self, what: &str, done: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.log.lock().unwrap()) {
            let is_late = Instant::now() > deadline;
            assert!(!is_late, "Avahi shows no sign of {what}: {}", self.log());
            thread::sleep(PATIENCE / 600);
        }
    }
}

impl Drop for Avahi {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Seen {
    /// A line as `=;eth0;IPv4;name;type;domain;host;address;port;text`.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.strip_prefix("=;")?.splitn(9, ';').collect();
        let [interface, protocol, name, _, _, _, address, port, text] = fields[..] else {
            return None;
        };
        Some(Self {
            interface: interface.into(),
            protocol: protocol.into(),
            name: name.into(),
            address: address.into(),
            port: port.parse().ok()?,
            text: text.into(),
        })
    }
}

/// The other end of an interface, at its switch.
fn port(host: usize, interface: &str) -> String {
    let mut port = format!("{host}-{interface}");
    // IFNAMSIZ
    port.truncate(15);
    port
}

fn cidr(host: usize) -> String {
    format!("10.99.0.{}/24", host + 1)
}

fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program} {words:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=BUS</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;
/// As Debian ships it, but for what asks the world.
const AVAHI: &str = "use-ipv4=yes\nuse-ipv6=yes\n[wide-area]\nenable-wide-area=no\n\
     [publish]\npublish-hinfo=no\npublish-workstation=no\n";
const IN_ITS_OWN_RUN: &str = "mount -t tmpfs tmpfs /run && mkdir /run/avahi-daemon && \
     exec avahi-daemon -f \"$0\" --no-drop-root --no-chroot --no-rlimits --no-proc-title";
const IN_THE_END: &[&str] = &["startup complete", "mount: "];
