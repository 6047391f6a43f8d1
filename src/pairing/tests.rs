//! Members, newcomers and others on loopback.

mod hostile;

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Mutex,
    time::{Duration, Instant},
};

use smol::{Async, Task};

use super::{
    client::{dial, DialFailure, Granted},
    code::PairingCode,
    cpace::CpaceRun,
    exchange::{PairingError, PairingMessage},
    server::{serve, Closing, PairingEvent, PairingSetup},
    stream::PairingStream,
};
use crate::identity::{Identity, SwarmKey};

/// A member that shows a code.
struct Shown {
    at: SocketAddr,
    keys: Vec<SwarmKey>,
    events: std::sync::Arc<Mutex<Vec<u8>>>,
    serving: Task<Closing>,
}

fn identity(secret: u8) -> Identity {
    Identity::from_secret(&[secret; 32], &[SwarmKey::OPEN]).unwrap()
}

fn code(typed: &str) -> PairingCode {
    PairingCode::parse(typed).unwrap()
}

fn listen() -> Async<TcpListener> {
    Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap()
}

fn show(life: Duration) -> Shown {
    let listener = listen();
    let keys = vec![crate::identity::new_key().unwrap()];
    let setup = PairingSetup {
        code: code(CODE),
        keys: keys.clone(),
        name: "kitchen".into(),
        identity: identity(1),
        until: Instant::now() + life,
    };
    let events = std::sync::Arc::new(Mutex::new(Vec::new()));
    let told = events.clone();
    let at = listener.get_ref().local_addr().unwrap();
    let serving = smol::spawn(async move {
        let tell = |PairingEvent::Failed { left, .. }| told.lock().unwrap().push(left);
        serve(&listener, setup, tell).await
    });
    Shown {
        at,
        keys,
        events,
        serving,
    }
}

async fn try_code(at: SocketAddr, typed: &str) -> Result<Granted, DialFailure> {
    dial(&[at], &code(typed), "attic").await
}

fn refused(tried: Result<Granted, DialFailure>) -> u8 {
    match tried.map(|granted| granted.from) {
        Err(DialFailure::Exchange(PairingError::Refused(left))) => left,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newcomer_with_the_code_gets_the_keys_once() {
    smol::block_on(async {
        let shown = show(LIFE);
        assert_eq!(refused(try_code(shown.at, "1234-5679").await), 2);
        let granted = try_code(shown.at, CODE).await.unwrap();
        assert_eq!((&granted.keys, &*granted.from), (&shown.keys, "kitchen"));
        granted.confirm().await;
        assert_eq!(shown.serving.await, Closing::Joined("attic".into()));
        assert_eq!(*shown.events.lock().unwrap(), [2]);
    });
}

#[test]
fn the_third_failure_ends_the_code_and_both_are_told() {
    smol::block_on(async {
        let shown = show(LIFE);
        for left in [2, 1, 0] {
            assert_eq!(refused(try_code(shown.at, "1234-5679").await), left);
        }
        assert_eq!(shown.serving.await, Closing::Exhausted);
        assert_eq!(*shown.events.lock().unwrap(), [2, 1, 0]);
        assert!(matches!(
            try_code(shown.at, CODE).await,
            Err(DialFailure::Unreachable(_))
        ));
    });
}

/// Goes as far as the member's share, and drops the connection.
async fn abort_after_the_answer(at: SocketAddr) {
    let stream = Async::<TcpStream>::connect(at).await.unwrap();
    let mut stream = PairingStream::connect(stream, &identity(9)).await.unwrap();
    let share = *CpaceRun::begin(b"0", b"", [0; 32], &[8; 32]).share();
    let name = "attic".to_owned();
    let offer = PairingMessage::Offer { name, share };
    stream.write(&offer).await.unwrap();
    let answer = stream.read(LIFE).await.unwrap();
    assert!(matches!(answer, PairingMessage::Answer { .. }));
}

#[test]
fn a_guess_that_is_broken_off_counts() {
    smol::block_on(async {
        let shown = show(LIFE);
        for _ in 0..3 {
            abort_after_the_answer(shown.at).await;
        }
        assert_eq!(shown.serving.await, Closing::Exhausted);
        assert_eq!(*shown.events.lock().unwrap(), [2, 1, 0]);
    });
}

/// What comes before the member has said anything of the code is no guess.
#[test]
fn a_newcomer_that_only_knocks_costs_no_try() {
    smol::block_on(async {
        let shown = show(LIFE);
        for _ in 0..3 {
            drop(Async::<TcpStream>::connect(shown.at).await.unwrap());
            let stream = Async::<TcpStream>::connect(shown.at).await.unwrap();
            let mut stream = PairingStream::connect(stream, &identity(9)).await.unwrap();
            stream.write(&PairingMessage::Ready).await.unwrap();
            assert!(stream.read(LIFE).await.is_err());
        }
        try_code(shown.at, CODE).await.unwrap().confirm().await;
        assert_eq!(shown.serving.await, Closing::Joined("attic".into()));
        assert!(shown.events.lock().unwrap().is_empty());
    });
}

#[test]
fn a_code_runs_out() {
    smol::block_on(async {
        let shown = show(Duration::ZERO);
        assert_eq!(shown.serving.await, Closing::Expired);
    });
}

/// Takes what each side says and passes it on, over a connection of its own with each.
async fn stand_between(listener: Async<TcpListener>, member: SocketAddr) {
    let (near, _) = listener.accept().await.unwrap();
    let mut near = PairingStream::accept(near, &identity(7)).await.unwrap();
    let far = Async::<TcpStream>::connect(member).await.unwrap();
    let mut far = PairingStream::connect(far, &identity(8)).await.unwrap();
    loop {
        let Ok(said) = near.read(LIFE).await else {
            return;
        };
        if far.write(&said).await.is_err() {
            return;
        }
        let Ok(said) = far.read(LIFE).await else {
            return;
        };
        if near.write(&said).await.is_err() {
            return;
        }
    }
}

/// Though both know the same code: it is no proof between other ends.
#[test]
fn a_man_in_the_middle_fails_and_costs_a_try() {
    smol::block_on(async {
        let shown = show(LIFE);
        let middle = listen();
        let at = middle.get_ref().local_addr().unwrap();
        let between = smol::spawn(stand_between(middle, shown.at));
        assert_eq!(refused(try_code(at, CODE).await), 2);
        between.await;
        assert_eq!(*shown.events.lock().unwrap(), [2]);
        drop(shown.serving);
    });
}

/// One guess after the other, also when many knock at once.
#[test]
fn guesses_side_by_side_are_three_in_all() {
    smol::block_on(async {
        let shown = show(LIFE);
        let guesses: Vec<_> = (0..4)
            .map(|_| smol::spawn(try_code(shown.at, "1234-5679")))
            .collect();
        let mut left = Vec::new();
        for guess in guesses {
            if let Err(DialFailure::Exchange(PairingError::Refused(n))) = guess.await {
                left.push(n);
            }
        }
        assert_eq!(shown.serving.await, Closing::Exhausted);
        assert_eq!(*shown.events.lock().unwrap(), [2, 1, 0]);
        left.sort_unstable();
        left.dedup();
        assert_eq!(left, [0, 1, 2]);
    });
}

/// A stranger that shakes hands and says nothing keeps nobody out.
#[test]
fn silence_is_no_obstacle() {
    smol::block_on(async {
        let shown = show(LIFE);
        let stream = Async::<TcpStream>::connect(shown.at).await.unwrap();
        let silent = PairingStream::connect(stream, &identity(9)).await.unwrap();
        try_code(shown.at, CODE).await.unwrap().confirm().await;
        assert_eq!(shown.serving.await, Closing::Joined("attic".into()));
        drop(silent);
    });
}

const CODE: &str = "1234-5678";
/// Longer than any test.
const LIFE: Duration = Duration::from_secs(60);
