//! Who has the port that cannot be had.

use std::{fs, io, net::SocketAddr};

/// What kind of port it is.
#[derive(Clone, Copy)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// `error` in words; for a port that is taken, with the process that has it as
/// far as the system lets this one see it.
pub fn describe(error: &io::Error, at: SocketAddr, protocol: Protocol) -> String {
    if error.kind() != io::ErrorKind::AddrInUse {
        return error.to_string();
    }
    match owner(at.port(), protocol) {
        Some(owner) => format!("the port is taken by {owner}; stop it, or choose another port"),
        None => "the port is taken by another process; stop it, or choose another port".into(),
    }
}

/// The name and number of the process that is bound to `port`, from proc(5).
fn owner(port: u16, protocol: Protocol) -> Option<String> {
    let tables = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let inodes: Vec<String> = tables.iter().flat_map(|table| inodes_in(table, port, protocol)).collect();
    let is_socket = |target: &str| {
        inodes.iter().any(|inode| target == format!("socket:[{inode}]"))
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().into_string().ok()?;
        pid.parse::<u32>().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| {
            fs::read_link(file.path()).is_ok_and(|t| t.to_str().is_some_and(is_socket))
        })?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim()))
    })
}

/// The inodes of the sockets that listen on, or are bound to, `port`.
fn inodes_in(table: &str, port: u16, protocol: Protocol) -> Vec<String> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let wanted_state = match protocol {
        Protocol::Tcp => TCP_LISTEN,
        Protocol::Udp => UDP_BOUND,
    };
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let fits = u16::from_str_radix(local_port, 16) == Ok(port) && *fields.get(3)? == wanted_state;
        fits.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    };
    text.lines().skip(1).filter_map(inode).collect()
}

/// The kernel's numbers for a socket's state.
const TCP_LISTEN: &str = "0A";
const UDP_BOUND: &str = "07";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_owner() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = holder.local_addr().unwrap();
        let error = std::net::TcpListener::bind(at).unwrap_err();
        let text = describe(&error, at, Protocol::Tcp);
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    }
}
