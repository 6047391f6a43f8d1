//! Which process has a port that this node wanted.
//!
//! Linux says which socket has a port, and whose it is, in `/proc/self/net` (a
//! sandbox may leave only processes in `/proc`), and which process has a socket in `/proc/<pid>/fd`. The latter is open only to
//! the same user and to root; of others the user's name has to do.

use std::{fs, path::Path};

use nix::unistd::{Uid, User};

/// A transport, as `/proc/self/net` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortProtocol {
    Tcp,
    Udp,
}

/// What is bound to `port`: the name and number of a process, such as
/// `mpd (pid 512)`, or where that cannot be seen its user, such as `a process
/// of the user mpd`.
pub fn port_owner(transport: PortProtocol, port: u16) -> Option<String> {
    let tables = match transport {
        PortProtocol::Tcp => ["/proc/self/net/tcp", "/proc/self/net/tcp6"],
        PortProtocol::Udp => ["/proc/self/net/udp", "/proc/self/net/udp6"],
    };
    let (uid, inode) = tables.iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| bound_socket(line, port))
    })?;
    let socket = format!("socket:[{inode}]");
    let mut processes = fs::read_dir("/proc").ok()?.flatten();
    let process = processes.find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        has_open(&process.path().join("fd"), &socket).then_some(())?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (pid {pid})", name.trim()))
    });
    process.or_else(|| Some(format!("a process of the user {}", user(uid))))
}

fn user(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("with number {uid}"), |user| user.name)
}

fn has_open(fds: &Path, socket: &str) -> bool {
    let Ok(fds) = fs::read_dir(fds) else {
        return false;
    };
    fds.flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .any(|target| target.as_os_str() == socket)
}

/// The user and the inode of the socket in a line of the table
/// (proc_pid_net(5)), if it is bound to `port` and connected to nobody.
fn bound_socket(line: &str, port: u16) -> Option<(u32, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (_, local) = fields.nth(1)?.split_once(':')?;
    let (_, remote) = fields.next()?.split_once(':')?;
    let matches = u16::from_str_radix(local, 16) == Ok(port) && remote == "0000";
    let uid = fields.nth(4)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    matches.then_some((uid, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_as_the_owner_of_its_ports() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("[::]:0").unwrap();
        let me = format!("(pid {})", std::process::id());
        let owners = [
            port_owner(PortProtocol::Tcp, tcp.local_addr().unwrap().port()),
            port_owner(PortProtocol::Udp, udp.local_addr().unwrap().port()),
        ];
        for owner in owners {
            assert!(
                owner.as_ref().is_some_and(|o| o.ends_with(&me)),
                "{owner:?}"
            );
        }
    }
}
