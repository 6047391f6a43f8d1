//! The user that runs the doctor, and the user that the node runs as.

use std::{ffi::CString, fs, path::Path};

use nix::unistd::{getegid, geteuid, getgrouplist, gethostname, Gid, Group, Uid, User};

use crate::cli::doctor::{parse::ids, person::Person};

pub fn host_name() -> String {
    let host = gethostname().ok().and_then(|host| host.into_string().ok());
    host.unwrap_or_default()
}

/// The user that runs this program.
pub fn looker() -> Person {
    let mut looker = nameless();
    if let Ok(Some(user)) = User::from_uid(geteuid()) {
        looker.name = user.name;
    }
    looker.group = group_name(getegid());
    looker.gids = fs::read_to_string("/proc/self/status")
        .map(|status| ids(&status, "Groups:"))
        .unwrap_or_default();
    looker.gids.push(getegid().as_raw());
    looker
}

/// The same without asking for any name.
pub fn nameless() -> Person {
    Person {
        name: format!("the user with number {}", geteuid()),
        uid: Some(geteuid().as_raw()),
        gids: vec![getegid().as_raw()],
        group: String::new(),
    }
}

/// The user that the packaged service runs as, if the configuration is the service's and there is
/// a service.
pub fn of_service(is_its_config: bool) -> Option<Person> {
    let is_installed = UNITS.iter().any(|unit| Path::new(unit).exists());
    if !is_its_config || !is_installed {
        return None;
    }
    let audio = Group::from_name(GROUP).ok().flatten();
    let audio = audio.map(|group| group.gid.as_raw());
    let Some(user) = User::from_name(USER).ok().flatten() else {
        // One that systemd makes up at each start.
        return Some(Person {
            name: "the service's user".into(),
            uid: None,
            gids: audio.into_iter().collect(),
            group: GROUP.into(),
        });
    };
    let mut service = of(user);
    // The unit gives it this group, whatever users are in it.
    service.gids.extend(audio);
    Some(service)
}

/// A user by its number.
pub fn of_user(uid: u32) -> Option<Person> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(of)
}

fn of(user: User) -> Person {
    let name = CString::new(user.name.clone()).ok();
    let groups = name.and_then(|name| getgrouplist(&name, user.gid).ok());
    let groups = groups.unwrap_or_else(|| vec![user.gid]);
    Person {
        uid: Some(user.uid.as_raw()),
        gids: groups.into_iter().map(Gid::as_raw).collect(),
        group: group_name(user.gid),
        name: user.name,
    }
}

/// The user that a process runs as.
pub fn of_process(pid: i32) -> Option<Person> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // Real, effective, saved, and that of the file system.
    let uid = *ids(&status, "Uid:").get(1)?;
    let gid = *ids(&status, "Gid:").get(1)?;
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let mut gids = ids(&status, "Groups:");
    gids.push(gid);
    let name = user.map_or_else(|| format!("the user with number {uid}"), |user| user.name);
    // The service's own group comes second to the one that its socket is for.
    let own = Group::from_name(&name).ok().flatten();
    let own = own.filter(|own| gids.contains(&own.gid.as_raw()));
    Some(Person {
        name,
        uid: Some(uid),
        gids,
        group: own.map_or_else(|| group_name(Gid::from_raw(gid)), |own| own.name),
    })
}

fn group_name(gid: Gid) -> String {
    let group = Group::from_gid(gid).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

/// The service's user, where it has one of its own, and the group that it needs for
/// sound.
const USER: &str = "p2pmusic";
const GROUP: &str = "audio";
/// Where a package, or `make install`, puts the unit.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/p2pmusic.service",
    "/usr/lib/systemd/system/p2pmusic.service",
    "/lib/systemd/system/p2pmusic.service",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_whose_it_is() {
        let me = of_process(std::process::id() as i32).unwrap();
        let looker = looker();
        assert_eq!((me.uid, &me.name), (looker.uid, &looker.name));
    }
}
