use proptest::prelude::*;

use super::*;
use crate::command::{Playback, StatePart};

/// Runs the session until it wants more, each command succeeding except
/// `next`; gives what was written and why it ended.
fn run(session: &mut Session) -> (String, Option<SessionEnd>) {
    let (mut text, mut end) = (String::new(), None);
    while let Some(action) = session.poll() {
        assert_eq!(end, None, "nothing follows the end");
        match action {
            SessionAction::Write(more) => text.push_str(&more),
            SessionAction::Run(Command::Playback(Playback::Next), _) => {
                session.handle_done(Err(Ack::new(AckCode::System, "no")));
            }
            SessionAction::Run(..) => session.handle_done(Ok(())),
            SessionAction::Compare(given) => session.handle_guess(match &*given {
                "sesame" => Guess::Right,
                "hasty" => Guess::Unheard(7),
                _ => Guess::Wrong,
            }),
            SessionAction::Close(why) => end = Some(why),
        }
    }
    (text, end)
}

fn greeted(access: Access) -> Session {
    let mut session = Session::new(access, true);
    assert_eq!(run(&mut session), (GREETING.to_owned(), None));
    session
}

fn say(session: &mut Session, text: &str) -> (String, Option<SessionEnd>) {
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
    let mut session = greeted(Access::Local);
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
    let mut session = greeted(Access::Local);
    session.handle_changed(StatePart::Volume.into());
    assert_eq!(say(&mut session, "idle player\n").0, "");
    assert!(session.is_idle());
    session.handle_changed(StatePart::Player.into());
    assert_eq!(run(&mut session).0, "changed: player\nOK\n");
    assert_eq!(say(&mut session, "idle\n").0, "changed: mixer\nOK\n");
    assert_eq!(say(&mut session, "idle\nnoidle\n").0, "OK\n");
    assert_eq!(
        say(&mut session, "idle\nplay\n").1,
        Some(SessionEnd::NotIdle)
    );
}

#[test]
fn sessions_end_at_their_bounds() {
    let long = "x".repeat(MAX_LINE + 1);
    assert_eq!(
        say(&mut greeted(Access::Local), &long).1,
        Some(SessionEnd::LongLine)
    );
    for (access, length, ended) in [
        (Access::Remote, MAX_JSON, None),
        (Access::Remote, MAX_JSON + 1, Some(SessionEnd::LongLine)),
        (Access::Closed, MAX_LINE + 1, Some(SessionEnd::LongLine)),
    ] {
        let mut session = greeted(access);
        let line = format!("p2p {}", "x".repeat(length - 4));
        let pieces = line.as_bytes().chunks(4096).map(String::from_utf8_lossy);
        let found = pieces.map(|piece| say(&mut session, &piece).1);
        let found = found.fold(None, |found, ends| found.or(ends));
        assert_eq!(found, ended, "{access:?} {length}");
    }
    assert_eq!(
        say(&mut greeted(Access::Local), "GET / HTTP/1.1\r\n").1,
        Some(SessionEnd::Foreign)
    );
    assert_eq!(
        say(&mut greeted(Access::Local), "close\nplay\n"),
        (String::new(), Some(SessionEnd::Closed))
    );

    let mut session = greeted(Access::Local);
    session.handle_bytes(b"command_list_begin\n");
    let line = "x".repeat(MAX_LINE - 1) + "\n";
    let ended = (0..=MAX_LIST_BYTES / MAX_LINE).find_map(|_| say(&mut session, &line).1);
    assert_eq!(ended, Some(SessionEnd::LongList));
}

#[test]
fn a_list_of_short_lines_costs_no_more_memory_than_its_bound() {
    for (line, count) in [
        ("ping\n".to_owned(), MAX_LIST_LINES),
        ("x".repeat(60) + "\n", MAX_LIST_BYTES / 61),
    ] {
        let mut session = greeted(Access::Local);
        say(&mut session, "command_list_begin\n");
        for _ in 0..count {
            assert_eq!(say(&mut session, &line), (String::new(), None));
        }
        let Mode::Collecting(list) = &session.mode else {
            panic!("not a list");
        };
        assert_eq!(list.text.len(), count * line.len());
        assert!(list.text.capacity() <= MAX_LIST_BYTES);
        assert_eq!(say(&mut session, &line).1, Some(SessionEnd::LongList));
    }
}

#[test]
fn a_password_opens_what_is_closed() {
    let mut session = greeted(Access::Closed);
    let refused = "ACK [4@0] {play} you don't have permission for \"play\"\n";
    assert_eq!(say(&mut session, "play\n").0, refused);
    assert_eq!(say(&mut session, "ping\n").0, "OK\n");
    assert_eq!(
        say(&mut session, "password x\n").0,
        "ACK [3@0] {password} incorrect password\n"
    );
    assert_eq!(say(&mut session, "password sesame\nplay\n").0, "OK\nOK\n");

    let mut session = greeted(Access::Closed);
    let (text, end) = say(&mut session, "password a\npassword b\npassword c\nplay\n");
    assert_eq!(end, Some(SessionEnd::Password));
    assert_eq!(text.matches("incorrect").count(), 3, "{text}");
    let (text, end) = say(&mut greeted(Access::Closed), "password hasty\nplay\n");
    assert_eq!(end, Some(SessionEnd::Password));
    assert!(text.contains("again in 7 s"), "{text}");
}

#[test]
fn what_takes_the_node_away_is_for_its_own_machine() {
    for access in [Access::Closed, Access::Remote] {
        for command in ["p2p_leave", "p2p_join"] {
            let (text, _) = say(&mut greeted(access), &format!("{command}\n"));
            let refused = format!("ACK [4@0] {{{command}}} ");
            assert!(text.starts_with(&refused), "{access:?}: {text}");
        }
    }
    assert_eq!(say(&mut greeted(Access::Local), "p2p_leave\n").0, "OK\n");
}

#[test]
fn an_idle_client_holds_nothing() {
    let mut session = greeted(Access::Local);
    say(&mut session, &("status\n".repeat(2000) + "idle\n"));
    assert!(session.is_idle());
    assert_eq!(session.held(), 0);
}

#[test]
fn json_is_no_way_round_a_permission() {
    for (access, line, is_run) in [
        (Access::Local, r#"p2p {"node":"leave"}"#, true),
        (Access::Remote, r#"p2p {"node":"leave"}"#, false),
        (Access::Remote, r#"p2p {"node":"join"}"#, false),
        (Access::Remote, r#"p2p {"node":"state"}"#, true),
        (Access::Closed, r#"p2p {"node":"state"}"#, false),
        (Access::Closed, r#"p2p {"playback":"stop"}"#, false),
    ] {
        let (text, end) = say(&mut greeted(access), &format!("{line}\n"));
        assert_eq!(end, None);
        match is_run {
            true => assert_eq!(text, "OK\n", "{line}"),
            false => assert!(text.starts_with("ACK [4@0] {p2p} "), "{line}: {text}"),
        }
    }
}

#[test]
fn commands_are_those_that_the_node_and_the_client_can_use() {
    let tells = |access, has_player, line: &str| {
        let mut session = Session::new(access, has_player);
        run(&mut session);
        say(&mut session, line).0
    };
    let names = |text: &str, name| text.contains(&format!("command: {name}\n"));
    for (access, has_player, usable, unusable) in [
        (Access::Local, true, "p2p_leave", None),
        (Access::Remote, true, "play", Some("p2p_leave")),
        (Access::Closed, true, "password", Some("play")),
        (Access::Local, false, "status", Some("play")),
    ] {
        let (can, cannot) = (
            tells(access, has_player, "commands\n"),
            tells(access, has_player, "notcommands\n"),
        );
        assert!(names(&can, usable) && !names(&cannot, usable), "{usable}");
        if let Some(unusable) = unusable {
            assert!(
                names(&cannot, unusable) && !names(&can, unusable),
                "{unusable}"
            );
        }
        assert!(!names(&can, "kill") && !names(&cannot, "kill"));
    }
    let refused = tells(Access::Local, false, "crossfade 0\n");
    assert!(refused.contains("tracker only"), "{refused}");
    assert_eq!(tells(Access::Local, true, "crossfade 0\n"), "OK\n");
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
        let mut session = greeted(Access::Local);
        for piece in pieces {
            session.handle_bytes(&piece);
            if changed {
                session.handle_changed(StatePart::Player.into());
            }
            if run(&mut session).1.is_some() {
                break;
            }
        }
    }

    #[test]
    fn how_bytes_are_cut_makes_no_difference(cut in 0..40usize) {
        let text = "play\ncommand_list_begin\nplay\nnext\ncommand_list_end\nidle\nnoidle\nping\n";
        let whole = say(&mut greeted(Access::Local), text);
        let mut session = greeted(Access::Local);
        let (mut first, _) = say(&mut session, &text[..cut]);
        first += &say(&mut session, &text[cut..]).0;
        prop_assert_eq!(first, whole.0);
    }
}
