//! Ports, interfaces, radios, trackers and firewalls.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    path::Path,
    time::Duration,
};

use crate::{
    cli::doctor::{
        aside,
        facts::{Firewall, Interface, LocalInterfaces, Port, PortState, TrackerReach, Wifi},
        parse,
    },
    config::{Config, HostPort},
    interfaces,
    port_owner::{port_owner, PortProtocol},
    sockets::{bind_udp, listen_tcp},
};

/// Every port of the node; tries to have those that it does not have already.
pub fn ports(config: &Config, node_runs: bool) -> Vec<Port> {
    let role = config.role;
    let tracker = role.is_tracker().then_some(config.tracker.listen);
    let peer = role.is_peer().then_some(config.peer.listen);
    let wanted = [
        ("tracker.listen", PortProtocol::Tcp, tracker),
        ("peer.listen", PortProtocol::Udp, peer),
        ("control.mpd", PortProtocol::Tcp, config.control.mpd),
    ];
    let wanted = wanted.into_iter();
    wanted
        .filter_map(|(key, transport, at)| {
            let at = at?;
            Some(Port {
                key,
                transport: match transport {
                    PortProtocol::Tcp => "TCP",
                    PortProtocol::Udp => "UDP",
                },
                at,
                state: match node_runs {
                    // It is not ready before it has all its ports.
                    true => PortState::Own,
                    false => try_port(transport, at),
                },
            })
        })
        .collect()
}

fn try_port(transport: PortProtocol, at: SocketAddr) -> PortState {
    let bound = match transport {
        PortProtocol::Tcp => listen_tcp(at).map(drop),
        PortProtocol::Udp => bind_udp(at).map(drop),
    };
    match bound {
        Ok(()) => PortState::Free,
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            let owner = port_owner(transport, at.port());
            match &owner {
                Some(owner) if OWN.iter().any(|own| owner.starts_with(own)) => PortState::Own,
                _ => PortState::Taken(owner),
            }
        }
        Err(e) => PortState::Failed(e.to_string()),
    }
}

/// How [`port_owner`] names a node that does not answer at the socket that was asked.
const OWN: [&str; 2] = ["p2pmusic (pid ", "a process of the user p2pmusic"];

pub fn network() -> LocalInterfaces {
    let narrow = interfaces::narrow();
    let interfaces = interfaces::outer().into_iter();
    LocalInterfaces {
        interfaces: interfaces
            .map(|(name, addresses, has_multicast)| Interface {
                wifi: is_radio(&name).then(|| wifi(&name)),
                is_virtual: interfaces::is_virtual(&name),
                narrow: narrow
                    .iter()
                    .find(|(of, _)| *of == name)
                    .map(|(_, mtu)| *mtu),
                name,
                addresses,
                has_multicast,
            })
            .collect(),
        is_radio_off: is_radio_off(),
    }
}

fn is_radio(interface: &str) -> bool {
    let of = Path::new("/sys/class/net").join(interface);
    of.join("wireless").exists() || of.join("phy80211").exists()
}

fn wifi(interface: &str) -> Wifi {
    let said = aside::said("iw", &["dev", interface, "get", "power_save"]);
    let table = fs::read_to_string("/proc/net/wireless").unwrap_or_default();
    Wifi {
        power_save: said.as_deref().and_then(parse::power_save),
        signal: parse::signal(&table, interface),
    }
}

/// Whether a Wi-Fi is switched off, as one is on a Pi whose country was not set.
fn is_radio_off() -> bool {
    let Ok(switches) = fs::read_dir("/sys/class/rfkill") else {
        return false;
    };
    let mut switches = switches.flatten();
    switches.any(|switch| {
        let is = |file: &str, what: &str| {
            let text = fs::read_to_string(switch.path().join(file));
            text.is_ok_and(|text| text.trim() == what)
        };
        is("type", "wlan") && (is("soft", "1") || is("hard", "1"))
    })
}

/// Knocks at a tracker, and hangs up.
pub fn knock(at: &HostPort) -> TrackerReach {
    let addresses = match (at.host.as_str(), at.port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => return TrackerReach::Nameless(error.to_string()),
    };
    let mut failed = "it has no address".to_owned();
    for address in addresses.take(MAX_ADDRESSES) {
        match TcpStream::connect_timeout(&address, KNOCK) {
            Ok(_) => return TrackerReach::Answers(address),
            Err(error) => failed = format!("{address}: {error}"),
        }
    }
    TrackerReach::Silent(failed)
}

pub fn firewall() -> Firewall {
    let conf = fs::read_to_string("/etc/ufw/ufw.conf").unwrap_or_default();
    let rules = ["/etc/ufw/user.rules", "/etc/ufw/user6.rules"].map(fs::read_to_string);
    let readable = rules.iter().any(Result::is_ok);
    let rules: String = rules.into_iter().flatten().collect();
    Firewall {
        ufw: parse::is_ufw_on(&conf),
        ufw_has_port: readable.then(|| parse::ufw_lets_in(&rules)),
        firewalld: Path::new("/run/firewalld.pid").exists(),
    }
}

/// Of one name; two of them silent are as much as there is time for.
const MAX_ADDRESSES: usize = 2;
/// A tracker in the house answers in milliseconds.
const KNOCK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_port_is_tried_as_the_node_would() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let PortState::Taken(Some(owner)) = try_port(PortProtocol::Udp, at) else {
            panic!("it is taken");
        };
        assert!(owner.contains(&std::process::id().to_string()), "{owner}");
        drop(taken);
        assert_eq!(try_port(PortProtocol::Udp, at), PortState::Free);
        let elsewhere = "192.0.2.1:0".parse().unwrap();
        assert!(matches!(
            try_port(PortProtocol::Tcp, elsewhere),
            PortState::Failed(_)
        ));
    }

    #[test]
    fn a_tracker_answers_or_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let tracker = |port| HostPort {
            host: "127.0.0.1".into(),
            port,
        };
        assert_eq!(knock(&tracker(at.port())), TrackerReach::Answers(at));
        drop(listener);
        assert!(matches!(
            knock(&tracker(at.port())),
            TrackerReach::Silent(_)
        ));
    }
}
