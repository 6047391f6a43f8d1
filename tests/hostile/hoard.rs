//! Members whose catalogues are as large as they can make them.

use std::{
    io::{self, Read as _},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use quinn::Connection;
use smol::future::FutureExt as _;

use crate::{
    cgroup::Group,
    common::{audio::Music, left_out::or_left_out, usage::Sample, Node, Setup, PATIENCE},
    peer::{ask, dial, endpoint, udp_of},
    wire::{
        frame, hash, kind_of, number_in, page_of_a_megabyte, port_of, receive, register, send, Id,
        Member, PeerReply, PeerRequest, SignedHead, Tls, ToTracker, OPEN,
    },
};

/// What a speaker may have of a machine of 512 MB.
const MEMORY: u64 = 384 << 20;
/// What it may have more than before: an eighth of that, and what is on its way and being
/// taken apart.
const GROWN: u64 = (48 + 40) << 20;
/// Pages of a megabyte in a catalogue: less than one may have there, but four of them more
/// than all may.
const PAGES: usize = 20;

/// A catalogue that many show as theirs.
struct Hoard {
    pages: Vec<Vec<u8>>,
    list: Vec<Id>,
}

impl Hoard {
    fn new(pages: usize) -> Arc<Self> {
        let pages: Vec<Vec<u8>> = (0..pages).map(page_of_a_megabyte).collect();
        let list = pages.iter().map(|page| hash(page)).collect();
        Arc::new(Self { pages, list })
    }

    /// The `seq`th of it: the order of the pages is another each time.
    fn turned(&self, seq: usize) -> (Vec<Id>, usize) {
        let mut list = self.list.clone();
        let by = seq % list.len();
        list.rotate_left(by);
        (list, by)
    }

    fn head(&self, member: &Member, seq: u64) -> SignedHead {
        let entries = 256 * self.list.len() as u32;
        member.head(seq, entries, &self.turned(seq as usize).0)
    }

    fn page(&self, seq: u64, index: usize) -> &[u8] {
        let by = self.turned(seq as usize).1;
        &self.pages[(index + by) % self.pages.len()]
    }
}

/// Members that have one, until it is dropped.
struct Hoarders {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Bytes of pages that were asked of them.
    given: Arc<AtomicUsize>,
}

impl Drop for Hoarders {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| _ = thread.join());
    }
}

impl Hoarders {
    fn new() -> Self {
        Self {
            over: Arc::default(),
            threads: Vec::new(),
            given: Arc::default(),
        }
    }

    /// The `n`th member, registered with a tracker.
    fn register(&mut self, hoard: &Arc<Hoard>, n: u16, tracker: &Node) {
        let (hoard, over, at) = (hoard.clone(), self.over.clone(), tracker.tracker_address());
        let given = self.given.clone();
        let member = Member::new(&OPEN, n);
        // One after the other: an address may not shake hands with all at once.
        let mut tls = member.tracker(&at).unwrap();
        self.threads.push(thread::spawn(move || {
            let name = format!("hoarder-{n}");
            send(&mut tls, &register(name, port_of(&at))).unwrap();
            send(&mut tls, &ToTracker::Head(hoard.head(&member, 1))).unwrap();
            let mut renewed = Instant::now();
            while !over.load(Ordering::Relaxed) {
                if renewed.elapsed() > Duration::from_secs(3) {
                    renewed = Instant::now();
                    let _ = send(&mut tls, &ToTracker::Renew);
                }
                let body = match receive_within(&mut tls, Duration::from_secs(1)) {
                    Ok(Some(body)) => body,
                    Ok(None) => continue,
                    // The tracker has had enough of it.
                    Err(_) => return,
                };
                match kind_of(&body) {
                    Some(8) => {
                        let list = hoard.turned(1).0;
                        let _ = send(&mut tls, &ToTracker::List(list));
                    }
                    Some(9) => {
                        let index = number_in(&body);
                        let page = hoard.page(1, index as usize).to_vec();
                        given.fetch_add(page.len(), Ordering::Relaxed);
                        let _ = send(&mut tls, &ToTracker::Page(index, page));
                    }
                    _ => {}
                }
            }
            let _ = send(&mut tls, &ToTracker::Leave);
            let _ = receive(&mut tls);
        }));
    }

    /// The `n`th member, which introduces itself to `node`, again and again with a newer
    /// head where it `flaps`.
    fn greet(&mut self, hoard: &Arc<Hoard>, n: u16, node: &Node, flaps: bool) {
        let (hoard, over, at) = (hoard.clone(), self.over.clone(), udp_of(node));
        let given = self.given.clone();
        self.threads.push(thread::spawn(move || {
            let member = Member::new(&OPEN, n);
            let ending = async {
                while !over.load(Ordering::Relaxed) {
                    smol::Timer::after(Duration::from_millis(50)).await;
                }
            };
            let serving = async {
                let endpoint = endpoint([127, 0, 0, 1].into());
                let connection = dial(&endpoint, &member, at).await.expect("it is a member");
                let mut seq = 1;
                loop {
                    let name = format!("hoarder-{n}");
                    let head = hoard.head(&member, seq);
                    let hello = frame(&PeerRequest::Hello(name, Some(head), None));
                    if let Some((_, mut recv)) = ask(&connection, &hello).await {
                        let _ = recv.read_to_end(4096).await;
                    }
                    let serving = serve(&connection, &hoard, seq, &given);
                    let time = async { _ = smol::Timer::after(Duration::from_secs(2)).await };
                    serving.or(time).await;
                    seq += u64::from(flaps);
                }
            };
            smol::block_on(ending.or(serving));
        }));
    }
}

/// The body of the next frame, if one begins in time.
fn receive_within(tls: &mut Tls, time: Duration) -> io::Result<Option<Vec<u8>>> {
    tls.sock.set_read_timeout(Some(time))?;
    let mut first = [0];
    match tls.read_exact(&mut first) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        other => other?,
    }
    tls.sock.set_read_timeout(Some(PATIENCE))?;
    receive(&mut first.as_slice().chain(tls)).map(Some)
}

/// Answers what is asked for of the hoard's `seq`th state.
async fn serve(connection: &Connection, hoard: &Hoard, seq: u64, given: &AtomicUsize) {
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let request = recv.read_to_end(2000).await.unwrap_or_default();
        let body = request.get(4..).unwrap_or_default();
        let answer = match kind_of(body) {
            Some(3) => frame(&PeerReply::List(hoard.turned(seq as usize).0)),
            Some(4) => {
                let index = number_in(body);
                let page = hoard.page(seq, index as usize).to_vec();
                given.fetch_add(page.len(), Ordering::Relaxed);
                frame(&PeerReply::Page(page))
            }
            _ => Vec::new(),
        };
        let _ = send.write_all(&answer).await;
        let _ = send.finish();
    }
}

fn small(group: &Group, setup: Setup) -> Node {
    let words = ["env".to_owned(), RETURNED.to_owned()];
    let setup = Setup {
        prefix: [group.prefix().as_slice(), &words].concat(),
        ..setup
    };
    setup.start()
}

/// What the node frees of large blocks goes back to the system at once: what glibc keeps of
/// them otherwise differs from run to run, and is not what the node keeps.
const RETURNED: &str = "MALLOC_MMAP_THRESHOLD_=131072";

fn rss(node: &Node) -> u64 {
    Sample::of(node).rss << 10
}

/// Looks at what `node` takes for as long as `until` does not hold; gives the most.
fn most_until(node: &Node, what: &str, mut until: impl FnMut() -> bool) -> u64 {
    let deadline = Instant::now() + 4 * PATIENCE;
    let mut most = 0;
    while !until() {
        most = most.max(rss(node));
        assert!(Instant::now() < deadline, "no {what}; {}", node.log());
        thread::sleep(Duration::from_millis(20));
    }
    most.max(rss(node))
}

/// How many of them `status` names as left out.
fn hoarders_named(node: &Node) -> usize {
    let status = node.json(&["status"]);
    let problems = status["node"]["problem"].as_array().cloned();
    let problems = problems.unwrap_or_default();
    let words = problems.iter().filter_map(|problem| problem.as_str());
    words
        .filter(|words| words.starts_with("the tracks of hoarder-") && words.contains("MB"))
        .count()
}

fn songs(name: &str) -> Music {
    let music = Music::new();
    for n in 0..SONGS {
        music.wav(&format!("{name}-{n}.wav"), 8_000, 0.1);
    }
    music
}

/// They are gone, and so is what they took, up to `most`: the allocator keeps some of it
/// for later, but the greater part is the system's again.
fn assert_freed(node: &Node, before: u64, most: u64) {
    let half = before + (most - before) / 2;
    most_until(node, "memory back", || rss(node) <= half);
    println!("{} MiB after them", rss(node) >> 20);
}

#[test]
fn four_members_without_a_tracker_take_no_more_than_their_part() {
    let Some(group) = or_left_out(Group::try_new(MEMORY)) else {
        return;
    };
    let kitchen = small(
        &group,
        Setup {
            role: "peer",
            name: Some("kitchen"),
            ..Setup::default()
        },
    );
    let before = rss(&kitchen);
    let mut hoarders = Hoarders::new();
    let hoard = Hoard::new(PAGES);
    for n in 0..4 {
        hoarders.greet(&hoard, 700 + n, &kitchen, false);
    }
    let most = most_until(&kitchen, "word of them", || hoarders_named(&kitchen) > 0);
    println!("{} MiB before, {} at most", before >> 20, most >> 20);
    assert!(most <= before + GROWN, "{} MiB", most >> 20);
    drop(hoarders);
    assert_freed(&kitchen, before, most);
}

#[test]
fn a_member_whose_head_flaps_is_fetched_slowly() {
    let Some(group) = or_left_out(Group::try_new(MEMORY)) else {
        return;
    };
    let kitchen = small(
        &group,
        Setup {
            role: "peer",
            name: Some("kitchen"),
            ..Setup::default()
        },
    );
    let before = rss(&kitchen);
    let mut hoarders = Hoarders::new();
    let hoard = Hoard::new(PAGES);
    hoarders.greet(&hoard, 710, &kitchen, true);
    let begun = Instant::now();
    let most = most_until(&kitchen, "end", || begun.elapsed() > STORM);
    let given = hoarders.given.load(Ordering::Relaxed) >> 20;
    println!(
        "{given} MiB came in {} s, {} MiB at most",
        STORM.as_secs(),
        most >> 20
    );
    // What it may have at once, 64 KiB a second, and what was asked for when that ended.
    assert!((PAGES / 2..=24 + 2 + 8).contains(&given), "{given} MiB");
    assert!(most <= before + GROWN, "{} MiB", most >> 20);
}

#[test]
fn sixteen_identities_through_a_tracker_starve_nobody() {
    let Some((group, large)) = or_left_out(
        Group::try_new(MEMORY).and_then(|group| Ok((group, Group::try_new(OF_TRACKER)?))),
    ) else {
        return;
    };
    let (early, late) = (songs("early"), songs("late"));
    let tracker = small(&large, Setup::tracker());
    let cellar = Setup::peer("cellar", &tracker).music(early.path()).start();
    let kitchen = small(&group, Setup::peer("kitchen", &tracker));
    kitchen.wait_for_tracks("cellar", SONGS);
    let before = rss(&kitchen);
    let mut hoarders = Hoarders::new();
    let hoard = Hoard::new(PAGES / 3);
    for n in 0..IDENTITIES {
        hoarders.register(&hoard, 720 + n, &tracker);
    }
    let sees = |name: &str| {
        let peer = kitchen.peer(name);
        peer.is_some_and(|peer| peer["tracks"] == SONGS)
    };
    let mut most = most_until(&kitchen, "word of them", || {
        assert!(sees("cellar"), "{}", kitchen.log());
        hoarders_named(&kitchen) >= usize::from(IDENTITIES / 4)
    });
    let attic = Setup::peer("attic", &tracker).music(late.path()).start();
    most = most.max(most_until(&kitchen, "honest catalogue", || sees("attic")));
    assert!(sees("cellar"), "{}", kitchen.log());
    attic.wait_for_tracks("cellar", SONGS);
    let (came, killed) = (hoarders.given.load(Ordering::Relaxed), group.killed());
    println!(
        "{} MiB to the tracker, {} MiB before, {} at most, {killed:?} killed",
        came >> 20,
        before >> 20,
        most >> 20
    );
    assert!(most <= before + GROWN, "{} MiB", most >> 20);
    assert!(came as u64 > MEMORY / 8, "{came} bytes would fit");
    assert!(killed.is_none_or(|killed| killed == 0));
    drop(hoarders);
    kitchen.wait_for_peers(&["attic", "cellar", "kitchen"]);
    assert!(sees("cellar") && sees("attic"), "{}", kitchen.log());
    assert_freed(&kitchen, before, most);
    drop(cellar);
}

/// With a third of the pages each they have twice what one Pi takes, and the tracker takes
/// all of them.
const IDENTITIES: u16 = 16;
/// Of which an eighth is for catalogues.
const OF_TRACKER: u64 = 3 * MEMORY;
/// Of an honest owner.
const SONGS: u64 = 20;
/// Long enough for many heads.
const STORM: Duration = Duration::from_secs(24);
