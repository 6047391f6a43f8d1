//! What concerns this machine only: what is written down, the library, the store, and its clients.

use async_channel::Sender;
use smol::Task;

use super::{workbench::Workbench, Input};
use crate::{
    audio::{self, OutputSpec},
    command::view::{DeviceView, LeftOutView, LibraryView},
    control::server::ClientNotifier as ControlNotifier,
    core::LocalEffect,
    library::{Care, Library, LibraryEvent},
    node::{Archival, Bookmark, Event, MachineReport, Memory, ScanEvent},
    util::work,
};

/// Where it goes. None of them makes the peer wait.
pub struct Outlets {
    pub control: ControlNotifier,
    pub look_for_peers: Sender<bool>,
    pub memories: Sender<Memory>,
    pub bookmarks: Sender<Bookmark>,
    pub archive: Sender<Archival>,
    /// What the configuration says to play on.
    pub device: OutputSpec,
    /// Brings to the disk what was played.
    pub syncing: Option<Task<()>>,
}

impl Outlets {
    pub fn perform(&mut self, effect: LocalEffect, bench: &mut Workbench) {
        let (store, library) = (bench.store.clone(), bench.library.clone());
        match effect {
            LocalEffect::Queued(tracks) => store.set_queued(tracks),
            LocalEffect::Rest => self.syncing = Some(work::unblock(move || store.rest_idle())),
            LocalEffect::AnnounceHeld => {
                bench.spawn(work::unblock(move || library.set_held(&store.held())));
            }
            LocalEffect::CheckCache => {
                let to = bench.answer.clone();
                bench.spawn(async move {
                    let checked = work::unblock(move || store.check()).await;
                    let checked = checked.map_err(|e| e.to_string());
                    let _ = to.send(Input::CacheChecked(checked)).await;
                });
            }
            // Nobody takes it where mDNS is not wanted.
            LocalEffect::LookForPeers(look) => _ = self.look_for_peers.force_send(look),
            // The latest replaces one that is not written yet.
            LocalEffect::Remember(memory) => _ = self.memories.force_send(*memory),
            // It has room: one order comes after the other.
            LocalEffect::Archive(order) => _ = self.archive.try_send(order),
            LocalEffect::Rescan { path, anew } => {
                let care = if anew { Care::All } else { Care::Changes };
                library.request_look_at(&path, care);
            }
            LocalEffect::Outdo(head) => bench.spawn(work::unblock(move || library.outdo(&head))),
            LocalEffect::LookForDevices => bench.spawn_event(devices(self.device.clone())),
        }
    }

    pub fn keep(&self, bookmark: Bookmark) {
        let _ = self.bookmarks.force_send(bookmark);
    }

    /// The peer leaves: what is here of tracks is synced as far as that is done in time; what is
    /// not is looked at again when it is wanted.
    pub fn leave(&mut self, bench: &Workbench) {
        let store = bench.store.clone();
        self.syncing = Some(work::unblock(move || store.rest_all()));
        bench.library.end();
        // Nothing changes any more: what is remembered is written now.
        self.memories.close();
    }

    /// Ends when what was played is on the disk.
    pub fn into_synced(self) -> Option<Task<()>> {
        self.syncing
    }
}

/// Finds out what sound devices there are, which takes alsa-lib a while.
async fn devices(in_use: OutputSpec) -> Event {
    let devices = work::unblock(audio::devices).await;
    let view = |device: audio::DeviceInfo| DeviceView {
        in_use: match &in_use {
            OutputSpec::Auto => device.is_auto,
            OutputSpec::Device(name) => *name == device.name,
            OutputSpec::Null | OutputSpec::Wav(_) => false,
        },
        name: device.name,
        description: device.description,
    };
    let devices = devices.into_iter().map(view).collect();
    Event::Machine(MachineReport::Devices(devices))
}

/// What the core hears of the library.
pub fn library_event(event: LibraryEvent, library: &Library) -> Option<Event> {
    Some(match event {
        LibraryEvent::Catalogue(catalogue) => Event::Library(catalogue),
        LibraryEvent::ScanStarted { whole } => Event::Scan(ScanEvent::Started { whole }),
        LibraryEvent::Hashed { path, track, .. } => {
            log::debug!("{} is {track}", path.display());
            return None;
        }
        LibraryEvent::ScanDone => Event::Scan(ScanEvent::Done(left_out(library))),
        LibraryEvent::Problem { path, why } => {
            Event::Scan(ScanEvent::Problem(format!("{}: {why}", path.display())))
        }
    })
}

/// What the library does not show, for people.
fn left_out(library: &Library) -> LibraryView {
    let left_out = library.left_out();
    let files = left_out.iter().map(|(path, file)| LeftOutView {
        path,
        why: file.why.clone(),
        is_listed: file.is_listed,
    });
    LibraryView {
        left_out: left_out.missing(),
        files: files.collect(),
    }
}
