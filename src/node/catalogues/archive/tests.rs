use super::*;
use crate::catalog::samples::{song, SampleOwner as Signer};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const MET: Duration = Duration::from_secs(600);

/// An archive whose keeper does at once what it is told.
struct Room {
    archive: Archive,
    now: Instant,
    done: Vec<ArchiveTask>,
}

impl Room {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            archive: Archive::new(MET, now),
            now,
            done: Vec::new(),
        }
    }

    fn head(seed: u8, seq: u64) -> Head {
        Signer::new(seed)
            .publish(seq, vec![song("a", "b", Some(1))])
            .head()
            .head
    }

    fn meet(&mut self, seed: u8) {
        let head = Self::head(seed, 1);
        self.archive.handle_here(head.owner, None, self.now);
        self.archive.handle_catalogue(head.owner, head);
    }

    /// Time passes; gives what was ordered.
    fn wait(&mut self, time: Duration) -> Vec<ArchiveTask> {
        let end = self.now + time;
        loop {
            while let Some(task) = self.archive.next_task(self.now) {
                self.done.push(task);
                let done = match task {
                    ArchiveTask::Judge => Archived::Judged {
                        disowned: Vec::new(),
                    },
                    _ => Archived::Done {
                        evicted: Vec::new(),
                    },
                };
                self.archive.handle_archived(&done, self.now);
            }
            match self.archive.poll_timeout().filter(|due| *due <= end) {
                Some(due) => self.now = self.now.max(due),
                None => break,
            }
        }
        self.now = end;
        std::mem::take(&mut self.done)
    }
}

fn write(seed: u8, seq: u64) -> ArchiveTask {
    let head = Room::head(seed, seq);
    let owner = head.owner;
    ArchiveTask::Write { owner, head }
}

#[test]
fn an_owner_that_stayed_for_ten_minutes_is_written_down_and_others_leave_nothing() {
    let mut room = Room::new();
    let (known, fleeting) = (Room::head(1, 1).owner, Room::head(2, 1).owner);
    room.meet(1);
    assert_eq!(room.wait(5 * MINUTE), []);
    room.meet(2);
    assert_eq!(room.wait(6 * MINUTE), [write(1, 1)]);
    assert!(!room.archive.handle_gone(fleeting, room.now));
    assert!(room.archive.handle_gone(known, room.now));
    // The next time it is known from the beginning.
    room.meet(1);
    assert!(room.archive.handle_gone(known, room.now));
    assert_eq!(room.archive.away().count(), 1);
    assert_eq!(room.wait(29 * DAY), []);
    assert_eq!(room.wait(2 * DAY), [ArchiveTask::Remove(known)]);
    assert_eq!(room.archive.away().count(), 0);
}

#[test]
fn one_that_changes_all_the_time_is_written_seldom() {
    let mut room = Room::new();
    room.meet(1);
    room.wait(11 * MINUTE);
    let mut written = 0;
    let mut head = Room::head(1, 1);
    for _ in 0..3600 {
        head.seq += 1;
        room.archive.handle_catalogue(head.owner, head);
        written += room.wait(Duration::from_secs(1)).len();
    }
    assert!((5..=7).contains(&written), "{written} times an hour");
    room.wait(11 * MINUTE);
    assert_eq!(room.wait(DAY / 2), []);
}

#[test]
fn all_together_write_no_more_than_a_card_bears() {
    let mut room = Room::new();
    let mut heads: Vec<Head> = (1..=100).map(|seed| Room::head(seed, 1)).collect();
    for head in &heads {
        room.archive.handle_here(head.owner, None, room.now);
    }
    let mut bytes = 0;
    for _ in 0..86_400 / 60 {
        for head in &mut heads {
            head.seq += 1;
            room.archive.handle_catalogue(head.owner, *head);
        }
        let end = room.now + MINUTE;
        while let Some(ArchiveTask::Write { .. }) = room.archive.next_task(room.now) {
            bytes += 1 << 20;
            room.archive.handle_ordered(1 << 20, room.now);
            let done = Archived::Done {
                evicted: Vec::new(),
            };
            room.archive.handle_archived(&done, room.now);
        }
        room.now = end;
    }
    assert!(bytes > 100 << 20 && bytes < 200 << 20, "{bytes} a day");
}

#[test]
fn while_an_owner_is_here_the_disk_hears_it_daily_and_when_it_goes() {
    let mut room = Room::new();
    let owner = Room::head(1, 1).owner;
    room.meet(1);
    assert_eq!(room.wait(MINUTE * 11), [write(1, 1)]);
    assert_eq!(room.wait(3 * DAY), [ArchiveTask::Seen(owner); 3]);
    room.wait(DAY / 2);
    room.archive.handle_gone(owner, room.now);
    assert_eq!(room.wait(DAY), [ArchiveTask::Seen(owner)]);
}

#[test]
fn an_older_file_does_not_hide_what_is_newer_and_is_replaced() {
    let mut room = Room::new();
    let signer = Signer::new(1);
    let deposit = |seq| Deposit {
        name: "kitchen".into(),
        site: None,
        catalogue: Arc::new(signer.publish(seq, vec![song("a", "b", Some(1))])),
    };
    room.archive.handle_recalled(&deposit(1), 3 * DAY, room.now);
    let away: Vec<_> = room
        .archive
        .away()
        .map(|(_, name, _)| name.to_string())
        .collect();
    assert_eq!(away, ["kitchen"]);
    assert_eq!(room.wait(MINUTE), []);
    let head = Room::head(1, 2);
    room.archive.handle_here(head.owner, None, room.now);
    room.archive.handle_catalogue(head.owner, head);
    assert_eq!(room.wait(MINUTE), [write(1, 2)], "it is known");
    room.archive.handle_recalled(&deposit(1), 3 * DAY, room.now);
    assert_eq!(room.wait(MINUTE), []);
    // Of 30 days, 28 are over when it is read.
    let mut room = Room::new();
    room.archive
        .handle_recalled(&deposit(1), 28 * DAY, room.now);
    assert_eq!(room.wait(DAY), []);
    assert_eq!(room.wait(2 * DAY), [ArchiveTask::Remove(signer.id())]);
}

#[test]
fn with_other_keys_owners_are_met_anew_and_files_judged() {
    let mut room = Room::new();
    let owner = |seed| Room::head(seed, 1).owner;
    (1..=3).for_each(|seed| room.meet(seed));
    assert_eq!(room.wait(11 * MINUTE).len(), 3);
    room.archive.handle_gone(owner(1), room.now);
    room.archive.handle_gone(owner(2), room.now);
    room.archive.handle_keys(room.now);
    assert_eq!(room.archive.next_task(room.now), Some(ArchiveTask::Judge));
    let disowned = vec![owner(2), owner(3)];
    room.archive
        .handle_archived(&Archived::Judged { disowned }, room.now);
    let away: Vec<_> = room.archive.away().map(|(peer, ..)| peer).collect();
    assert_eq!(away, [owner(1)]);
    assert_eq!(room.wait(5 * MINUTE), []);
    // An owner that the other keys put out leaves nothing.
    assert!(!room.archive.handle_gone(owner(3), room.now));
    room.meet(3);
    assert_eq!(room.wait(11 * MINUTE), [write(3, 1)]);
}

#[test]
fn a_disk_that_fails_and_one_that_is_full_are_not_asked_again_at_once() {
    for (answer, rest) in [
        (Archived::Failed, TRY_AGAIN),
        (Archived::NoRoom, NO_ROOM_FOR),
    ] {
        let mut room = Room::new();
        room.meet(1);
        room.now += MET;
        assert_eq!(room.archive.next_task(room.now), Some(write(1, 1)));
        room.archive.handle_archived(&answer, room.now);
        assert_eq!(room.archive.next_task(room.now), None);
        assert_eq!(room.wait(rest - MINUTE), []);
        assert_eq!(room.wait(2 * MINUTE), [write(1, 1)]);
    }
}
