use proptest::prelude::*;

use super::*;

fn id(n: u32) -> PeerId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&n.to_be_bytes());
    PeerId(id)
}

fn ip(n: u8) -> IpAddr {
    [192, 168, 0, n].into()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn numbered_names_fit_and_are_recognised() {
    assert_eq!(numbered("kitchen", 1), "kitchen");
    assert_eq!(numbered("kitchen", 12), "kitchen-12");
    let long = "ü".repeat(31);
    let name = numbered(&long, 100);
    assert!(
        name.len() <= MAX_NAME_BYTES && name.ends_with("ü-100"),
        "{name}"
    );
    for (name, base, is) in [
        ("kitchen", "kitchen", true),
        ("kitchen-2", "kitchen", true),
        (&name, &long, true),
        ("kitchen-02", "kitchen", false),
        ("kitchen-x", "kitchen", false),
        ("bath-2", "kitchen", false),
    ] {
        assert_eq!(is_numbered(name, base), is, "{name} of {base}");
    }
}

/// The rule: what a node is called that wants the name of another.
#[test]
fn the_node_that_had_a_name_keeps_it() {
    const A: u32 = 7;
    // Also the lower id has to wait.
    for newcomer in [1, 9] {
        for (away, is_chosen, called) in [
            (None, true, Err(ip(7))),
            (None, false, Ok("kitchen-2")),
            (Some(HOUR * 24), true, Err(ip(7))),
            (Some(HOUR * 24), false, Ok("kitchen-2")),
            (Some(KEPT - HOUR), true, Err(ip(7))),
            (Some(KEPT), true, Ok("kitchen")),
            (Some(KEPT), false, Ok("kitchen")),
        ] {
            let begin = Instant::now();
            for is_restarted in [false, true] {
                let mut tenures = Tenures::new(MAX_AWAY);
                tenures.handle_here(id(A), "kitchen", ip(7), begin);
                if away.is_some() {
                    tenures.handle_gone(id(A), begin);
                }
                if is_restarted {
                    tenures.recall(&tenures.records(begin), begin);
                }
                let now = begin + away.unwrap_or_default();
                assert_eq!(
                    tenures.ask(id(A), "kitchen", true, now),
                    Ok("kitchen".into())
                );
                let asked = tenures.ask(id(newcomer), "kitchen", is_chosen, now);
                let called = called.map(str::to_owned);
                assert_eq!(asked, called, "{away:?}, restarted: {is_restarted}");
            }
        }
    }
}

#[test]
fn a_node_that_takes_another_name_frees_the_first_and_keeps_its_number() {
    let now = Instant::now();
    let mut tenures = Tenures::new(MAX_AWAY);
    tenures.handle_here(id(1), "kitchen", ip(1), now);
    tenures.handle_here(id(2), "kitchen-2", ip(2), now);
    assert_eq!(
        tenures.ask(id(2), "kitchen", false, now).unwrap(),
        "kitchen-2"
    );
    tenures.handle_here(id(1), "bath", ip(1), now);
    assert_eq!(tenures.ask(id(3), "kitchen", true, now).unwrap(), "kitchen");
    assert_eq!(
        tenures.ask(id(2), "kitchen", false, now).unwrap(),
        "kitchen-2"
    );
    assert_eq!(tenures.keeper("bath"), Some(id(1)));
}

/// A member makes itself identities, for days: names of others stay.
#[test]
fn a_flood_of_identities_crowds_out_its_own() {
    let begin = Instant::now();
    let mut tenures = Tenures::new(MAX_AWAY);
    tenures.handle_here(id(0), "here", ip(9), begin);
    for n in 1..=5 {
        tenures.handle_here(id(n), &format!("honest {n}"), ip(n as u8), begin);
        tenures.handle_gone(id(n), begin + SETTLED);
    }
    let mut now = begin + HOUR * 24;
    for n in 100..100 + 4 * MAX_AWAY as u32 {
        now += Duration::from_secs(1);
        // From one address for long, or from many for a moment.
        let (address, stays) = match n % 2 {
            0 => (ip(66), SETTLED),
            _ => (
                IpAddr::from([10, 1, (n >> 8) as u8, n as u8]),
                Duration::ZERO,
            ),
        };
        tenures.handle_here(
            id(n),
            &"x".repeat(20).replace('x', &n.to_string()),
            address,
            now,
        );
        tenures.handle_gone(id(n), now + stays);
    }
    assert_eq!(tenures.records(now).len(), MAX_AWAY + 1);
    let written = tenures.records(now);
    let mut again = Tenures::new(MAX_AWAY);
    again.recall(&written, now);
    for tenures in [tenures, again] {
        for n in 1..=5 {
            assert_eq!(tenures.keeper(&format!("honest {n}")), Some(id(n)));
        }
        assert_eq!(tenures.keeper("here"), Some(id(0)));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask { peer: u32, chose: bool },
    Gone { peer: u32 },
    Restart,
    Wait { hours: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u32, any::<bool>()).prop_map(|(peer, chose)| Step::Ask { peer, chose }),
        2 => (0..4u32).prop_map(|peer| Step::Gone { peer }),
        1 => Just(Step::Restart),
        2 => (1..400u32).prop_map(|hours| Step::Wait { hours }),
    ]
}

proptest! {
    /// Whatever happens, restarts too: a name goes to another only when the node that had it
    /// was away for 30 days, or has taken another.
    #[test]
    fn a_name_is_kept_for_one_node(steps in prop::collection::vec(step(), 1..60)) {
        let mut now = Instant::now();
        let mut tenures = Tenures::new(MAX_AWAY);
        // Name to node and when it was seen last, if it is away.
        let mut model: BTreeMap<String, (u32, Option<Instant>)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Ask { peer, chose } => {
                    let asked = tenures.ask(id(peer), "pi", chose, now);
                    let kept = model.get("pi").filter(|(other, seen)| {
                        *other != peer && seen.is_none_or(|seen| now < seen + KEPT)
                    });
                    prop_assert_eq!(asked.is_err(), chose && kept.is_some());
                    if let Ok(name) = asked {
                        if let Some((other, seen)) = model.get(&name) {
                            let is_over = seen.is_some_and(|seen| now >= seen + KEPT);
                            prop_assert!(*other == peer || is_over, "{} of {}", name, other);
                        }
                        tenures.handle_here(id(peer), &name, ip(1), now);
                        model.retain(|_, (other, _)| *other != peer);
                        model.insert(name, (peer, None));
                    }
                }
                Step::Gone { peer } => {
                    tenures.handle_gone(id(peer), now);
                    for (other, seen) in model.values_mut() {
                        if *other == peer {
                            seen.get_or_insert(now);
                        }
                    }
                }
                Step::Restart => {
                    let text = serde_json::to_string(&tenures.records(now)).unwrap();
                    let records: Vec<TenureRecord> = serde_json::from_str(&text).unwrap();
                    tenures.recall(&records, now);
                    for (_, seen) in model.values_mut() {
                        seen.get_or_insert(now);
                    }
                }
                Step::Wait { hours } => now += HOUR * hours,
            }
        }
    }
}
