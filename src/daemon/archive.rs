//! Where the catalogues of others lie while their owners are away: a file each, in a
//! directory below the state's.
//!
//! What is read at a start is not believed for lying here: it is checked as what comes from
//! others, and what does not hold is removed, with a line in the log. A file says which keys
//! of the swarm its owner was met under; it goes with the first of these.

mod filed;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use async_channel::Receiver;
use nix::{
    fcntl::OFlag,
    sys::{stat::futimens, time::TimeSpec},
};

use self::filed::{Filed, FiledCatalogues};
use super::{clock, dirs::make_again, machine, stamp::Clock};
use crate::{
    aside::{make_way, put_aside},
    catalog::{Deposit, DepositError, Label, MemoryQuota, KEPT_FOR, LABEL_BYTES},
    fence::open_regular,
    id::{KeyMark, PeerId},
    identity::Identity,
    node::{Archival, Archived, Event},
    peer::Handle,
    swarm::endpoint::Endpoint,
    util::work,
};

/// The files, and what is known of them.
pub struct Cabinet {
    state_dir: PathBuf,
    dir: PathBuf,
    identity: Identity,
    /// By which key a peer has connected, if it has.
    key_of: Box<dyn Fn(PeerId) -> Option<KeyMark> + Send>,
    files: FiledCatalogues,
    /// Whether what was written last was.
    works: bool,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum BadDeposit {
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    #[error("{0}")]
    Unsound(#[from] DepositError),
    #[error("it has {0} bytes, which is more than one may have")]
    Large(u64),
    #[error("its owner was met under a key that is not believed any more")]
    Disbelieved,
    #[error("its owner was away for 30 days")]
    Old,
    #[error("others have no room for it")]
    NoRoom,
}

/// Why nothing was written.
enum Unwritten {
    NoRoom,
    Failed(io::Error),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Tells `peer` what was kept, and then does what is ordered.
pub async fn keep(mut cabinet: Cabinet, orders: Receiver<Archival>, peer: Handle) {
    cabinet = work::unblock(move || {
        cabinet.look();
        cabinet
    })
    .await;
    let owners = cabinet.files.owners();
    for owner in owners {
        let (back, read) = work::unblock(move || {
            let read = cabinet.read(owner);
            (cabinet, read)
        })
        .await;
        cabinet = back;
        if let Some((deposit, away)) = read {
            peer.tell(Event::Recalled(Box::new(deposit), away)).await;
        }
    }
    while let Ok(order) = orders.recv().await {
        let (back, done) = work::unblock(move || {
            let done = cabinet.perform(order);
            (cabinet, done)
        })
        .await;
        cabinet = back;
        peer.tell(Event::Archived(done)).await;
    }
}

impl Cabinet {
    /// In `state_dir`, with as much room as this machine has for it.
    pub fn of(state_dir: &Path, identity: &Identity, endpoint: &Endpoint) -> Self {
        let quota = MemoryQuota::of(machine::memory()).on_disk(identity.is_open());
        let endpoint = endpoint.clone();
        let key_of = move |peer| endpoint.key_of(peer);
        Self::new(state_dir, identity.clone(), quota, key_of)
    }

    fn new(
        state_dir: &Path,
        identity: Identity,
        quota: MemoryQuota,
        key_of: impl Fn(PeerId) -> Option<KeyMark> + Send + 'static,
    ) -> Self {
        Self {
            state_dir: state_dir.into(),
            dir: state_dir.join("catalogues"),
            files: FiledCatalogues::new(identity.peer_id(), quota, identity.key_marks()),
            identity,
            key_of: Box::new(key_of),
            works: true,
        }
    }

    /// Finds what there is.
    fn look(&mut self) {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => return log::warn!("{}: cannot be read: {e}", self.dir.display()),
        };
        let clock = clock::look();
        for entry in entries.take(MAX_LISTED).flatten() {
            let path = entry.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let owner = name.and_then(|name| PeerId::from_hex(name).ok());
            let Some(owner) = owner else {
                // What was being written when the power went.
                if path.extension().is_some_and(|extension| extension == "new") {
                    let _ = fs::remove_file(&path);
                } else {
                    log::warn!("{}: left alone: it is no catalogue's name", path.display());
                }
                continue;
            };
            match self.look_at(&path, owner, &clock) {
                Ok(file) => self.files.insert(owner, file),
                Err(why) => self.discard(owner, &why),
            }
        }
        // Since it was written, a key may have gone, or memory.
        while let Some(owner) = self.files.who_yields(None) {
            self.discard(owner, &BadDeposit::NoRoom);
        }
    }

    fn look_at(&self, path: &Path, owner: PeerId, clock: &Clock) -> Result<Filed, BadDeposit> {
        let (file, length) = self.open(path)?;
        if age(&file, clock) > KEPT_FOR {
            return Err(BadDeposit::Old);
        }
        let mut bytes = Vec::new();
        file.take(LABEL_BYTES as u64).read_to_end(&mut bytes)?;
        let (label, _) = Label::read(&bytes, owner)?;
        if !self.files.believes(&label.keys) {
            return Err(BadDeposit::Disbelieved);
        }
        Ok(Filed {
            bytes: length,
            site: label.site,
            keys: label.keys,
        })
    }

    /// Opens a file of a size that may be.
    fn open(&self, path: &Path) -> Result<(File, usize), BadDeposit> {
        let file = open_regular(path)?;
        let bytes = file.metadata()?.len();
        match usize::try_from(bytes) {
            Ok(length) if length <= self.files.most_bytes() => Ok((file, length)),
            _ => Err(BadDeposit::Large(bytes)),
        }
    }

    /// Reads all of a file; also, how long its owner was away.
    fn read(&mut self, owner: PeerId) -> Option<(Deposit, Duration)> {
        let read = || -> Result<_, BadDeposit> {
            let (file, length) = self.open(&self.path(owner))?;
            let away = age(&file, &clock::look());
            let mut bytes = Vec::with_capacity(length);
            file.take(self.files.most_bytes() as u64)
                .read_to_end(&mut bytes)?;
            Ok((Deposit::read(&bytes, owner)?, away))
        };
        match read() {
            Ok(read) => Some(read),
            Err(why) => {
                self.discard(owner, &why);
                None
            }
        }
    }

    fn perform(&mut self, order: Archival) -> Archived {
        match order {
            Archival::Write(deposit) => match self.write(&deposit) {
                Ok(evicted) => {
                    self.say(None);
                    Archived::Done { evicted }
                }
                Err(Unwritten::NoRoom) => {
                    log::info!(
                        "the catalogue of {} is not kept for when it is away: others have no room",
                        deposit.name
                    );
                    Archived::NoRoom
                }
                Err(Unwritten::Failed(e)) => self.failed(e),
            },
            Archival::Seen(owner) => match self.touch(owner) {
                Ok(()) => Archived::Done {
                    evicted: Vec::new(),
                },
                Err(e) => self.failed(e),
            },
            Archival::Remove(owner) => {
                log::info!(
                    "the catalogue of {owner} is not kept any more: {}",
                    BadDeposit::Old
                );
                self.remove(owner);
                Archived::Done {
                    evicted: Vec::new(),
                }
            }
            Archival::Judge => self.judge(),
        }
    }

    /// Removes what was met under keys that are not believed any more.
    fn judge(&mut self) -> Archived {
        self.files.set_keys(self.identity.key_marks());
        let mut disowned = self.files.disowned();
        // It may be known better by now which of several it was.
        disowned.retain(|owner| (self.key_of)(*owner).is_none() || !self.relabel(*owner));
        for owner in &disowned {
            self.discard(*owner, &BadDeposit::Disbelieved);
        }
        Archived::Judged { disowned }
    }

    /// Writes a file again, under the key that its owner has connected by, as old as it is.
    fn relabel(&mut self, owner: PeerId) -> bool {
        let path = self.path(owner);
        let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let Some((deposit, _)) = self.read(owner) else {
            return false;
        };
        let is_written = self.write(&deposit).is_ok();
        let aged = OpenOptions::new().write(true).open(path);
        if let (Ok(file), Ok(modified)) = (aged, modified) {
            // Else its 30 days begin now.
            let _ = file.set_modified(modified);
        }
        is_written
    }

    /// Replaces what is kept of an owner's, whole or not at all. Says whose files made room.
    fn write(&mut self, deposit: &Deposit) -> Result<Vec<PeerId>, Unwritten> {
        make_again(&self.state_dir)?;
        if !self.dir.is_dir() {
            if self.dir.symlink_metadata().is_ok() {
                put_aside(&self.dir)?;
            }
            make_again(&self.dir)?;
        }
        let owner = deposit.catalogue.owner();
        // Where it is not connected, it may have any of them.
        let connected_by = (self.key_of)(owner);
        let keys = connected_by.map_or_else(|| self.files.keys(), |key| vec![key]);
        let temporary = self.path(owner).with_extension("new");
        let bytes = write_pieces(
            &temporary,
            deposit.pieces(keys.clone()),
            self.files.most_bytes(),
        );
        let site = deposit.site;
        let written = bytes.and_then(|bytes| self.put(owner, Filed { bytes, site, keys }));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Puts the file that is written in its place, if there is room.
    fn put(&mut self, owner: PeerId, file: Filed) -> Result<Vec<PeerId>, Unwritten> {
        let evicted = self.files.admit(owner, file).ok_or(Unwritten::NoRoom)?;
        for owner in &evicted {
            self.discard(*owner, &BadDeposit::NoRoom);
        }
        let path = self.path(owner);
        if path.is_dir() {
            put_aside(&path)?;
        }
        fs::rename(path.with_extension("new"), path)?;
        File::open(&self.dir)?.sync_all()?;
        Ok(evicted)
    }

    /// The owner was here until now: the file's own time says so.
    fn touch(&self, owner: PeerId) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(self.path(owner))?;
        Ok(futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)?)
    }

    fn discard(&mut self, owner: PeerId, why: &BadDeposit) {
        let path = self.path(owner);
        log::warn!("{}: removed: {why}", path.display());
        self.remove(owner);
    }

    fn remove(&mut self, owner: PeerId) {
        self.files.remove(owner);
        match fs::remove_file(self.path(owner)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                log::debug!("{}: stays: {e}", self.path(owner).display());
            }
            _ => {}
        }
    }

    fn failed(&mut self, error: io::Error) -> Archived {
        self.say(Some(error));
        Archived::Failed
    }

    /// Says whether it works, when that changes.
    fn say(&mut self, error: Option<io::Error>) {
        let works = error.is_none();
        if std::mem::replace(&mut self.works, works) == works {
            return;
        }
        let at = self.dir.display();
        match error {
            Some(e) => log::warn!(
                "{at}: catalogues are not kept for when their owners are away: {e}; it is \
                 tried again"
            ),
            None => log::info!("{at}: catalogues are kept again"),
        }
    }

    fn path(&self, owner: PeerId) -> PathBuf {
        self.dir.join(owner.to_hex())
    }
}

/// Writes a file of at most so many bytes, and says how many they were.
fn write_pieces(
    path: &Path,
    pieces: impl Iterator<Item = Vec<u8>>,
    most: usize,
) -> Result<usize, Unwritten> {
    make_way(path)?;
    let mut file = io::BufWriter::new(File::create_new(path)?);
    let mut bytes = 0;
    for piece in pieces {
        bytes += piece.len();
        if bytes > most {
            return Err(Unwritten::NoRoom);
        }
        file.write_all(&piece)?;
    }
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(bytes)
}

/// How long ago the owner of a file was here; not at all where no clock can tell.
fn age(file: &File, clock: &Clock) -> Duration {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let since = modified
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let age = since.and_then(|since| clock.since(since));
    age.unwrap_or_default()
}

/// More than there can be of that size.
const MAX_LISTED: usize = 4096;
