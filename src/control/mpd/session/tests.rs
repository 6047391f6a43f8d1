use proptest::prelude::*;

use super::*;
use crate::control::{mpd::command::Playback, view::Subsystem};

/// Runs the session until it wants more, each command succeeding except
/// `next`; gives what was written and why it ended.
fn run(session: &mut Session) -> (String, Option<End>) {
    let (mut text, mut end) = (String::new(), None);
    while let Some(action) = session.poll() {
        assert_eq!(end, None, "nothing follows the end");
        match action {
            SessionAction::Write(more) => text.push_str(&more),
            SessionAction::Run(Command::Playback(Playback::Next)) => {
                session.handle_done(Err(Ack::new(AckCode::System, "no")));
            }
            SessionAction::Run(_) => session.handle_done(Ok(())),
            SessionAction::Close(why) => end = Some(why),
        }
    }
    (text, end)
}

fn greeted(password: Option<&str>) -> Session {
    let mut session = Session::new(password.map(Into::into));
    assert_eq!(run(&mut session), (GREETING.to_owned(), None));
    session
}

fn say(session: &mut Session, text: &str) -> (String, Option<End>) {
    session.handle_bytes(text.as_bytes());
    run(session)
}

#[test]
fn lines_are_answered_in_turn() {
    let cases = [
        ("ping\n", "OK\n"),
        ("pl", ""),
        ("ay\r\nstop\n", "OK\nOK\n"),
        ("next\n", "ACK [52@0] {next} no\n"),
        ("nonsense\n", "ACK [5@0] {} unknown command \"nonsense\"\n"),
        ("\n", "ACK [5@0] {} No command given\n"),
        (
            "kill\n",
            "ACK [4@0] {kill} this is not for a remote control\n",
        ),
        ("noidle\nping\n", "OK\n"),
        ("command_list_begin\nplay\nstop\ncommand_list_end\n", "OK\n"),
        (
            "command_list_ok_begin\nplay\nnext\nplay\ncommand_list_end\n",
            "list_OK\nACK [52@1] {next} no\n",
        ),
        (
            "command_list_begin\nidle\ncommand_list_end\n",
            "ACK [1@0] {idle} not possible in a command list\n",
        ),
        (
            "command_list_end\n",
            "ACK [1@0] {command_list_end} not in command list mode\n",
        ),
    ];
    let mut session = greeted(None);
    for (said, answer) in cases {
        assert_eq!(
            say(&mut session, said),
            (answer.to_owned(), None),
            "{said:?}"
        );
    }
}

#[test]
fn idle_waits_for_what_it_asked_about_and_misses_nothing() {
    let mut session = greeted(None);
    session.handle_changed(Subsystem::Mixer.into());
    assert_eq!(say(&mut session, "idle player\n").0, "");
    assert!(session.is_idle());
    session.handle_changed(Subsystem::Player.into());
    assert_eq!(run(&mut session).0, "changed: player\nOK\n");
    assert_eq!(say(&mut session, "idle\n").0, "changed: mixer\nOK\n");
    assert_eq!(say(&mut session, "idle\nnoidle\n").0, "OK\n");
    assert_eq!(say(&mut session, "idle\nplay\n").1, Some(End::NotIdle));
}

#[test]
fn sessions_end_at_their_bounds() {
    let long = "x".repeat(MAX_LINE + 1);
    assert_eq!(say(&mut greeted(None), &long).1, Some(End::LongLine));
    assert_eq!(
        say(&mut greeted(None), "GET / HTTP/1.1\r\n").1,
        Some(End::Foreign)
    );
    assert_eq!(
        say(&mut greeted(None), "close\nplay\n"),
        (String::new(), Some(End::Closed))
    );

    let mut session = greeted(None);
    session.handle_bytes(b"command_list_begin\n");
    let line = "x".repeat(MAX_LINE - 1) + "\n";
    let ended = (0..=MAX_LIST_BYTES / MAX_LINE).find_map(|_| say(&mut session, &line).1);
    assert_eq!(ended, Some(End::LongList));
}

#[test]
fn a_list_of_short_lines_costs_no_more_memory_than_its_bound() {
    for (line, count) in [
        ("ping\n".to_owned(), MAX_LIST_LINES),
        ("x".repeat(60) + "\n", MAX_LIST_BYTES / 61),
    ] {
        let mut session = greeted(None);
        say(&mut session, "command_list_begin\n");
        for _ in 0..count {
            assert_eq!(say(&mut session, &line), (String::new(), None));
        }
        let Mode::Collecting(list) = &session.mode else {
            panic!("not a list");
        };
        assert_eq!(list.text.len(), count * line.len());
        assert!(list.text.capacity() <= MAX_LIST_BYTES);
        assert_eq!(say(&mut session, &line).1, Some(End::LongList));
    }
}

#[test]
fn a_password_opens_what_is_closed() {
    let mut session = greeted(Some("sesame"));
    let refused = "ACK [4@0] {play} you don't have permission for \"play\"\n";
    assert_eq!(say(&mut session, "play\n").0, refused);
    assert_eq!(say(&mut session, "ping\n").0, "OK\n");
    assert_eq!(
        say(&mut session, "password x\n").0,
        "ACK [3@0] {password} incorrect password\n"
    );
    assert_eq!(say(&mut session, "password sesame\nplay\n").0, "OK\nOK\n");

    let mut session = greeted(Some("sesame"));
    assert_eq!(
        say(&mut session, "password a\npassword b\npassword c\n").1,
        Some(End::Password)
    );
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_survived(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..50),
                "(idle|noidle|ping|next|play|command_list_begin|command_list_end)?\n"
                    .prop_map(String::into_bytes),
            ],
            0..40,
        ),
        changed: bool,
    ) {
        let mut session = greeted(None);
        for piece in pieces {
            session.handle_bytes(&piece);
            if changed {
                session.handle_changed(Subsystem::Player.into());
            }
            if run(&mut session).1.is_some() {
                break;
            }
        }
    }

    #[test]
    fn how_bytes_are_cut_makes_no_difference(cut in 0..40usize) {
        let text = "play\ncommand_list_begin\nplay\nnext\ncommand_list_end\nidle\nnoidle\nping\n";
        let whole = say(&mut greeted(None), text);
        let mut session = greeted(None);
        let (mut first, _) = say(&mut session, &text[..cut]);
        first += &say(&mut session, &text[cut..]).0;
        prop_assert_eq!(first, whole.0);
    }
}
