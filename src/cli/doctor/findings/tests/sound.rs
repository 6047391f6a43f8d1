use super::*;

fn tried(facts: &mut DoctorFacts, tried: Tried) {
    facts.sound.as_mut().unwrap().tried = tried;
}

fn auto(facts: &mut DoctorFacts) {
    facts.sound.as_mut().unwrap().wanted = OutputSpec::Auto;
}

fn knobs(facts: &mut DoctorFacts, knobs: &[MixerControl]) {
    facts.knobs = Some(knobs.to_vec());
}

#[test]
fn faults_of_the_sound_device() {
    are_found(&[
        (|f| f.sound = None, "device", Wrong, &["in time", "fuser"]),
        (
            |f| tried(f, Tried::Missing("no DAC; one of: X".into())),
            "device",
            Wrong,
            &["one of: X", "[audio]"],
        ),
        (
            |f| {
                auto(f);
                tried(f, Tried::Missing("no card".into()))
            },
            "device",
            Wrong,
            &["aplay -l", "dtoverlay"],
        ),
        (
            |f| f.sound.as_mut().unwrap().wanted = OutputSpec::Null,
            "device",
            Note,
            &["nothing is heard"],
        ),
        (
            |f| {
                auto(f);
                f.config.config.audio.device = OutputSpec::Auto;
                tried(
                    f,
                    Tried::Opens {
                        name: "sysdefault:CARD=vc4hdmi0".into(),
                        takes: "48000 Hz".into(),
                    },
                );
            },
            "device",
            Note,
            &["television"],
        ),
    ]);
}

#[test]
fn faults_of_the_mixer() {
    are_found(&[
        (
            |f| knobs(f, &[control("DAC", "Digital", false, 80)]),
            "mixer",
            Wrong,
            &["Digital", "muted", "amixer -c DAC"],
        ),
        (
            |f| knobs(f, &[control("DAC", "PCM", true, 0)]),
            "mixer",
            Wrong,
            &["0 %"],
        ),
        // At the bottom, and still loud.
        (
            |f| {
                knobs(
                    f,
                    &[MixerControl {
                        decibel: Some(-6.0),
                        ..control("DAC", "PCM", true, 0)
                    }],
                )
            },
            "mixer",
            Fine,
            &[],
        ),
        (
            |f| knobs(f, &[control("HDMI", "PCM", false, 0)]),
            "mixer",
            Fine,
            &[],
        ),
        (
            |f| knobs(f, &[control("DAC", "Mic", false, 0)]),
            "mixer",
            Fine,
            &[],
        ),
        (
            |f| {
                knobs(
                    f,
                    &[
                        control("DAC", "Headphone", false, 0),
                        control("DAC", "Speaker", true, 90),
                    ],
                )
            },
            "mixer",
            Fine,
            &[],
        ),
    ]);
}

#[test]
fn more_faults_of_the_mixer() {
    are_found(&[
        (
            |f| {
                knobs(
                    f,
                    &[
                        control("DAC", "Headphone", false, 0),
                        control("DAC", "Speaker", true, 0),
                    ],
                )
            },
            "mixer",
            Wrong,
            &["Speaker"],
        ),
        (|f| f.knobs = None, "mixer", Wrong, &["in time"][..1]),
    ]);
}

#[test]
fn faults_of_the_volume() {
    are_found(&[
        (
            |f| status(f).volume = Some(0),
            "volume",
            Wrong,
            &["ctl volume 30"],
        ),
        (
            |f| f.config.config.audio.max_volume = 0,
            "volume",
            Wrong,
            &["max_volume"],
        ),
    ]);
}

#[test]
fn what_another_user_may_is_not_known() {
    let mut facts = well();
    guest(&mut facts);
    tried(&mut facts, Tried::Unusable("not in the group audio".into()));
    let found = examine(&facts);
    let device = found.iter().find(|f| f.check == "device").unwrap();
    assert_eq!(
        device.level, Note,
        "what another user may is not known: {device:?}"
    );
}
