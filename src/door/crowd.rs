//! A crowd of simulated peers of one tracker, for `benches/tracker.rs`.
//!
//! Each has an identity, a source address, a TLS connection and a signed
//! catalogue of its own, and decides by the very [`TrackerLink`] that a node does; only
//! the contents of the pages are the same for all, since making a million
//! entries is not what is measured. All run in one thread.
//!
//! Most take everybody's head and fetch the pages that change afterwards. Some,
//! the *readers*, fetch every page of everybody, and check and drop it.

mod albums;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    rc::Rc,
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use futures_rustls::{client::TlsStream, TlsConnector};
use nix::{
    errno::Errno,
    sys::socket::{bind, connect, socket, AddressFamily, SockFlag, SockType, SockaddrIn},
};
use rustls::pki_types::ServerName;
use smol::{future::FutureExt as _, io::AsyncWriteExt as _, Async, LocalExecutor, Timer};

use crate::{
    catalog::{Catalogue, Entry, Hash, Page, SignedHead, Want},
    id::PeerId,
    identity::{Identity, SwarmKey, SERVER_NAME},
    protocol::{encode_frame, read_frame, FromTracker, MAX_TRACKER_FRAME},
    tracker::link::{Introduction, LinkAction, LinkCommand, TrackerEvent, TrackerLink},
    util::within::io_within,
};

/// What kind of a crowd it is.
#[derive(Clone, Copy, Debug)]
pub struct CrowdSetup {
    /// On the loopback.
    pub tracker: SocketAddrV4,
    pub peers: usize,
    /// In each one's catalogue.
    pub tracks: usize,
    /// How many of the peers fetch every page.
    pub readers: usize,
}

/// How far a crowd is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Peers that are registered now.
    pub registered: usize,
    /// Those that were told of everybody and of everybody's head since they
    /// last registered.
    pub informed: usize,
    /// Peers that have the page of the last [`Crowd::change`].
    pub changed: usize,
    /// Readers that have everybody's pages.
    pub read: usize,
    /// Bytes of pages that the readers have fetched.
    pub read_bytes: u64,
    /// Connections and attempts that came to an end.
    pub lost: usize,
    /// Refusals, wrong hashes, and other things that must not be.
    pub wrong: usize,
}

/// A running crowd; it ends with the process.
pub struct Crowd {
    tally: Arc<Counters>,
    changes: Sender<usize>,
}

#[derive(Default)]
struct Counters {
    registered: AtomicUsize,
    informed: AtomicUsize,
    changed: AtomicUsize,
    read: AtomicUsize,
    read_bytes: AtomicU64,
    lost: AtomicUsize,
    wrong: AtomicUsize,
}

impl Crowd {
    /// Makes the peers, which takes a while, and then lets them go at the
    /// tracker all at once. Returns at that moment.
    pub fn start(setup: CrowdSetup) -> Self {
        let tally = Arc::<Counters>::default();
        let (changes, changed) = async_channel::bounded(1);
        let (ready, is_ready) = async_channel::bounded(1);
        let counters = tally.clone();
        thread::spawn(move || {
            let peers = make(setup, &counters);
            let _ = ready.send_blocking(());
            let executor = Rc::new(LocalExecutor::new());
            for peer in &peers {
                executor.spawn(live(peer.clone())).detach();
            }
            smol::block_on(executor.run(conduct(&peers, &changed)));
        });
        let _ = is_ready.recv_blocking();
        Self { tally, changes }
    }

    pub fn tally(&self) -> Tally {
        let get = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Tally {
            registered: get(&self.tally.registered),
            informed: get(&self.tally.informed),
            changed: get(&self.tally.changed),
            read: get(&self.tally.read),
            read_bytes: self.tally.read_bytes.load(Ordering::Relaxed),
            lost: get(&self.tally.lost),
            wrong: get(&self.tally.wrong),
        }
    }

    /// The peer with this number publishes a new head with one changed page.
    pub fn change(&self, owner: usize) {
        self.tally.changed.store(0, Ordering::Relaxed);
        let _ = self.changes.send_blocking(owner);
    }
}

/// Passes the changes on to the peers.
async fn conduct(peers: &[Shared], changes: &Receiver<usize>) {
    while let Ok(owner) = changes.recv().await {
        if let Some(peer) = peers.get(owner) {
            peer.borrow_mut().publish_change();
        }
    }
}

type Shared = Rc<RefCell<Peer>>;

struct Peer {
    setup: CrowdSetup,
    number: usize,
    identity: Identity,
    link: TrackerLink,
    catalogue: Arc<Catalogue>,
    /// The peers that it knows, and the heads, since it last registered.
    seen: BTreeSet<PeerId>,
    heads: BTreeMap<PeerId, u64>,
    /// Heads whose catalogues a reader has still to fetch.
    unread: VecDeque<SignedHead>,
    fetching: BTreeMap<PeerId, Fetch>,
    /// What has been read whole: by owner, the sequence number.
    whole: BTreeMap<PeerId, u64>,
    is_registered: bool,
    is_informed: bool,
    out: Vec<u8>,
    is_told_to_end: bool,
    /// Wakes the writer.
    wake: (Sender<()>, Receiver<()>),
    tally: Arc<Counters>,
}

/// A catalogue on its way, page by page.
struct Fetch {
    head: SignedHead,
    list: Vec<Hash>,
    /// The pages still to come, the next one last.
    missing: Vec<u32>,
}

fn make(setup: CrowdSetup, tally: &Arc<Counters>) -> Vec<Shared> {
    let pages = albums::pages(setup.tracks);
    let peer = |number: usize| {
        let secret = *blake3::hash(&number.to_le_bytes()).as_bytes();
        let identity = Identity::from_secret(&secret, &[SwarmKey::OPEN]).expect("there is a key");
        let sign = |bytes: &[u8]| identity.sign(bytes);
        let catalogue = Catalogue::publish(identity.peer_id(), 1, 1, pages.clone(), sign);
        let introduction = Introduction {
            name: format!("peer-{number}"),
            name_chosen: true,
            known_as: None,
            port: 4670,
            bound: Some(Ipv4Addr::LOCALHOST.into()),
        };
        let now = Instant::now();
        let mut link = TrackerLink::new(introduction, number as u64, now);
        let catalogue = Arc::new(catalogue);
        link.handle_command(LinkCommand::Publish(catalogue.clone()), now);
        Rc::new(RefCell::new(Peer {
            setup,
            number,
            identity,
            link,
            catalogue,
            seen: BTreeSet::new(),
            heads: BTreeMap::new(),
            unread: VecDeque::new(),
            fetching: BTreeMap::new(),
            whole: BTreeMap::new(),
            is_registered: false,
            is_informed: false,
            out: Vec::new(),
            is_told_to_end: false,
            wake: async_channel::bounded(1),
            tally: tally.clone(),
        }))
    };
    (0..setup.peers).map(peer).collect()
}

/// A peer's whole life: rest, try, talk, and again.
async fn live(peer: Shared) {
    let to = vec![peer.borrow().setup.tracker.to_string()];
    let now = Instant::now();
    let trackers = LinkCommand::Trackers(to);
    peer.borrow_mut().link.handle_command(trackers, now);
    loop {
        let due = peer.borrow().link.poll_timeout();
        if let Some(due) = due {
            Timer::at(due).await;
        }
        peer.borrow_mut().link.handle_timeout(Instant::now());
        peer.borrow_mut().settle();
        let end = converse(&peer).await;
        let mut peer = peer.borrow_mut();
        let why = end.map_or_else(|e| e.to_string(), |()| "closed".into());
        peer.link.handle_closed(why, Instant::now());
        peer.settle();
        peer.handle_lost();
    }
}

/// One connection's whole life.
async fn converse(peer: &Shared) -> io::Result<()> {
    let stream = io_within(CONNECT_TIMEOUT, dial(peer)).await?;
    let (mut from, mut to) = smol::io::split(stream);
    {
        let mut peer = peer.borrow_mut();
        let at = IpAddr::from(*peer.setup.tracker.ip());
        peer.is_told_to_end = false;
        peer.link.handle_connected(at, Vec::new(), Instant::now());
        peer.settle();
    }
    let woken = peer.borrow().wake.1.clone();
    let read = async {
        loop {
            let message = read_frame(&mut from, MAX_TRACKER_FRAME).await;
            let message = message.map_err(io::Error::other)?;
            let mut peer = peer.borrow_mut();
            peer.link.handle_message(message, Instant::now());
            peer.settle();
        }
    };
    let write = async {
        loop {
            let out = std::mem::take(&mut peer.borrow_mut().out);
            if !out.is_empty() {
                to.write_all(&out).await?;
                to.flush().await?;
                continue;
            }
            if peer.borrow().is_told_to_end {
                return to.close().await;
            }
            let due = peer.borrow().link.poll_timeout();
            let late = async {
                match due {
                    Some(due) => _ = Timer::at(due).await,
                    None => std::future::pending().await,
                }
                let mut peer = peer.borrow_mut();
                peer.link.handle_timeout(Instant::now());
                peer.settle();
            };
            let told = async { _ = woken.recv().await };
            told.or(late).await;
        }
    };
    read.or(write).await
}

async fn dial(peer: &Shared) -> io::Result<TlsStream<Async<TcpStream>>> {
    let (connector, source, tracker) = {
        let peer = peer.borrow();
        let connector = TlsConnector::from(peer.identity.tls_client_config(None));
        (connector, address(peer.number), peer.setup.tracker)
    };
    let stream = connect_from(source, tracker).await?;
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    connector.connect(name, stream).await
}

/// Each has an address of its own, as machines do.
fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (number / 250) as u8, (number % 250 + 1) as u8)
}

async fn connect_from(source: Ipv4Addr, to: SocketAddrV4) -> io::Result<Async<TcpStream>> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    let source = SocketAddrV4::new(source, 0);
    bind(fd.as_raw_fd(), &SockaddrIn::from(source))?;
    match connect(fd.as_raw_fd(), &SockaddrIn::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(errno) => return Err(errno.into()),
    }
    let stream = Async::new(TcpStream::from(fd))?;
    stream.writable().await?;
    if let Some(error) = stream.get_ref().take_error()? {
        return Err(error);
    }
    stream.get_ref().set_nodelay(true)?;
    Ok(stream)
}

impl Peer {
    /// Does what the link wants.
    fn settle(&mut self) {
        while let Some(action) = self.link.poll() {
            match action {
                LinkAction::Connect { .. } => {}
                LinkAction::Send(message) => self.out.extend(encode_frame(&message)),
                LinkAction::Disconnect => self.is_told_to_end = true,
                LinkAction::Tell(event) => self.handle(event),
            }
        }
        if !self.out.is_empty() || self.is_told_to_end {
            // Full: it is being woken already.
            let _ = self.wake.0.try_send(());
        }
    }

    fn handle(&mut self, event: TrackerEvent) {
        match event {
            TrackerEvent::Registered { .. } => {
                self.is_registered = true;
                add(&self.tally.registered);
                self.seen.clear();
                self.heads.clear();
            }
            TrackerEvent::Refused(_) | TrackerEvent::AlreadyRegistered(_) => self.is_wrong(),
            TrackerEvent::Message(message) => self.handle_message(message),
            _ => {}
        }
        let others = self.setup.peers - 1;
        if !self.is_informed && self.seen.len() == others && self.heads.len() == others {
            self.is_informed = true;
            add(&self.tally.informed);
        }
    }

    fn handle_message(&mut self, message: FromTracker) {
        let me = self.identity.peer_id();
        match message {
            FromTracker::Peer(record) if record.peer != me => _ = self.seen.insert(record.peer),
            FromTracker::Gone { peer, .. } => _ = self.seen.remove(&peer),
            FromTracker::Head(head) if head.head.owner != me => {
                let owner = head.head.owner;
                self.heads.insert(owner, head.head.seq);
                if self.is_reader() || head.head.seq > 1 {
                    self.unread.push_back(head);
                    self.fetch_more();
                }
            }
            FromTracker::List { owner, list } => self.handle_list(owner, list),
            FromTracker::Page {
                owner,
                index,
                bytes,
            } => self.handle_page(owner, index, &bytes),
            FromTracker::NotHere { .. } => self.is_wrong(),
            _ => {}
        }
    }

    fn fetch_more(&mut self) {
        while self.fetching.len() < FETCHES {
            let Some(head) = self.unread.pop_front() else {
                return;
            };
            let owner = head.head.owner;
            if self.whole.get(&owner) == Some(&head.head.seq) {
                continue;
            }
            let fetch = Fetch {
                head,
                list: Vec::new(),
                missing: Vec::new(),
            };
            self.fetching.insert(owner, fetch);
            let what = Want::List;
            self.want(owner, what);
        }
    }

    fn handle_list(&mut self, owner: PeerId, list: Vec<Hash>) {
        let old: &[Hash] = if self.is_reader() && !self.whole.contains_key(&owner) {
            &[]
        } else {
            // All began with the same pages.
            self.catalogue.list()
        };
        let Some(fetch) = self.fetching.get_mut(&owner) else {
            return;
        };
        let is_new = |(n, hash): &(usize, &Hash)| old.get(*n) != Some(hash);
        let missing = list.iter().enumerate().filter(is_new);
        fetch.missing = missing.map(|(n, _)| n as u32).rev().collect();
        fetch.list = list;
        self.proceed(owner);
    }

    fn handle_page(&mut self, owner: PeerId, index: u32, bytes: &[u8]) {
        let Some(fetch) = self.fetching.get_mut(&owner) else {
            return;
        };
        let is_right = fetch.list.get(index as usize) == Some(blake3::hash(bytes).as_bytes());
        if !is_right || fetch.missing.pop() != Some(index) {
            return self.is_wrong();
        }
        if self.is_reader() {
            let len = bytes.len() as u64;
            self.tally.read_bytes.fetch_add(len, Ordering::Relaxed);
        }
        self.proceed(owner);
    }

    /// Asks for the next page, or goes on to the next catalogue.
    fn proceed(&mut self, owner: PeerId) {
        let Some(fetch) = self.fetching.get(&owner) else {
            return;
        };
        if let Some(&index) = fetch.missing.last() {
            return self.want(owner, Want::Page(index));
        }
        let seq = fetch.head.head.seq;
        self.fetching.remove(&owner);
        self.whole.insert(owner, seq);
        if seq > 1 {
            add(&self.tally.changed);
        }
        if seq == 1 && self.whole.len() == self.setup.peers - 1 {
            add(&self.tally.read);
        }
        self.fetch_more();
    }

    fn want(&mut self, owner: PeerId, what: Want) {
        let command = LinkCommand::Want { owner, what };
        self.link.handle_command(command, Instant::now());
    }

    fn publish_change(&mut self) {
        let mut pages = self.catalogue.pages().to_vec();
        let seq = self.catalogue.head().head.seq + 1;
        if let Some(page) = pages.last_mut() {
            let entries = page.entries().map(|entry| Some(entry?.to_owned()));
            let mut entries: Vec<_> = entries.collect();
            if let Some(Some(Entry::Listed(listed))) = entries.first_mut() {
                listed.modified += seq as i64;
            }
            *page = Arc::new(Page::new(&entries));
        }
        let sign = |bytes: &[u8]| self.identity.sign(bytes);
        self.catalogue = Arc::new(self.catalogue.succeed(1, seq, pages, sign));
        let publish = LinkCommand::Publish(self.catalogue.clone());
        self.link.handle_command(publish, Instant::now());
        self.settle();
    }

    fn handle_lost(&mut self) {
        add(&self.tally.lost);
        for (flag, counter) in [
            (&mut self.is_registered, &self.tally.registered),
            (&mut self.is_informed, &self.tally.informed),
        ] {
            if std::mem::take(flag) {
                counter.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.out.clear();
        self.unread.clear();
        self.fetching.clear();
    }

    fn is_reader(&self) -> bool {
        self.number < self.setup.readers
    }

    fn is_wrong(&self) {
        add(&self.tally.wrong);
    }
}

fn add(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Catalogues that are fetched at a time.
const FETCHES: usize = 8;
/// The dial and the handshake, as the real client's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(9);
