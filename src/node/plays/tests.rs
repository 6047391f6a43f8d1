use super::*;
use crate::catalog::{
    samples::{song, SampleOwner},
    DatabaseMember, Entry,
};

fn member(owner: &SampleOwner, name: &str, entries: Vec<Option<Entry>>) -> DatabaseMember {
    DatabaseMember {
        peer: owner.id(),
        name: name.into(),
        catalogue: Arc::new(owner.publish(1, entries)),
        kept_until: None,
    }
}

/// What a play of the attic's song begins with, once its catalogue lists `is` there, and the cellar
/// lists `elsewhere`.
fn first_step(was: Option<u8>, is: Option<u8>, elsewhere: Option<u8>) -> Option<PlayStep> {
    let (attic, cellar) = (SampleOwner::new(1), SampleOwner::new(2));
    let queued = Database::new(vec![member(&attic, "attic", vec![song("", "a", was)])], 1);
    let item = QueueItem::from(queued.find("attic/a").unwrap());
    let now = Database::new(
        vec![
            member(&attic, "attic", vec![song("", "a", is)]),
            member(&cellar, "cellar", vec![song("", "b", elsewhere)]),
        ],
        2,
    );
    let start = Instant::now();
    let mut plays = Plays::new(SampleOwner::new(3).id(), 7);
    let request = PlayRequest {
        play: PlayId(1),
        item: Arc::new(item),
        from: Duration::ZERO,
        next: false,
        cause: Cause::Asked,
    };
    plays.handle_request(request, &now, start);
    plays.poll(start)
}

#[test]
fn a_play_is_of_what_lies_at_the_path_now() {
    let open = |n: u8| {
        PlayStep::Action(PlayAction::Open {
            track: TrackId([n; 32]),
            size: 5_000_000,
        })
    };
    let resolve = PlayStep::Action(PlayAction::Resolve {
        play: PlayId(1),
        peer: SampleOwner::new(1).id(),
        entry: EntryNo(0),
    });
    for (was, is, elsewhere, expected) in [
        (Some(1), Some(1), None, open(1)),
        (Some(1), Some(2), None, open(2)),
        (Some(1), Some(2), Some(1), open(2)),
        // The file has changed, and is not hashed yet.
        (Some(1), None, None, resolve),
        (Some(1), None, Some(1), open(1)),
    ] {
        let first = first_step(was, is, elsewhere);
        assert_eq!(first, Some(expected), "{was:?} {is:?} {elsewhere:?}");
    }
}
