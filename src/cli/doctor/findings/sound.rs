//! From the node to the ear.

use super::Finding;
use crate::{
    audio::{MixerControl, OutputSpec},
    cli::doctor::facts::{DoctorFacts, NodeAnswer, Tried},
};

pub fn device(facts: &DoctorFacts) -> Option<Finding> {
    const CHECK: &str = "device";
    let Some(sound) = &facts.sound else {
        return Some(Finding::hangs(
            CHECK,
            "the sound system (ALSA)",
            "fuser -v /dev/snd/*    # who has it; unplug a USB card and plug it in",
        ));
    };
    let may_differ = facts.looker != facts.runner && !facts.looker.is_root();
    let unusable = |why: &str| match may_differ {
        // What one user cannot use, another can.
        true => Finding::note(CHECK, format!("as you: {why}")).mended_by("sudo p2pmusic doctor"),
        false => Finding::wrong(CHECK, why),
    };
    Some(match (&sound.tried, &sound.wanted) {
        (_, spec @ (OutputSpec::Null | OutputSpec::Wav(_))) => {
            Finding::note(CHECK, format!("audio.device is {spec}: nothing is heard"))
                .mended_by("set device = \"auto\" under [audio], if that is not meant")
        }
        (Tried::Left, spec) => {
            let output = match &facts.node {
                Some(NodeAnswer::Runs(status)) if status.output.starts_with("lost") => {
                    // That, and why, says the node.
                    return None;
                }
                Some(NodeAnswer::Runs(status)) => format!("; {}", status.output),
                _ => String::new(),
            };
            Finding::ok(CHECK, format!("{spec}, left to the node{output}"))
        }
        (Tried::Missing(why), OutputSpec::Auto) => unusable(why)
            .mended_by(
                "aplay -l    # what Linux sees; a USB card: lsusb, another socket, more power",
            )
            .mended_by("a HAT: its dtoverlay= line in /boot/firmware/config.txt, then sudo reboot"),
        (Tried::Missing(why), _) => unusable(why)
            .mended_by("set device under [audio] to \"auto\", or to one of these names"),
        (Tried::Unusable(why), _) => unusable(why),
        (Tried::Opens { name, takes }, OutputSpec::Auto) if is_hdmi(name) => {
            let seen = format!(
                "{name} ({takes}), since there is no other: the sound comes from the television"
            );
            Finding::note(CHECK, seen)
                .mended_by("aplay -l    # a DAC that is missing here is not seen by Linux")
        }
        (Tried::Opens { name, takes }, _) => Finding::ok(CHECK, format!("{name} opens, {takes}")),
    })
}

/// The controls of the card that sounds, and of all where that is not known.
pub fn mixer(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "mixer";
    if matches!(
        facts.config.config.audio.device,
        OutputSpec::Null | OutputSpec::Wav(_)
    ) {
        return Vec::new();
    }
    let Some(controls) = &facts.knobs else {
        return vec![Finding::hangs(
            CHECK,
            "the sound cards' mixers",
            "unplug a USB card and plug it in; sudo reboot",
        )];
    };
    let card = card(facts);
    let of_card = controls
        .iter()
        .filter(|c| card.as_ref().is_none_or(|card| c.card == *card));
    let (main, ends): (Vec<_>, Vec<_>) = of_card
        .filter(|control| is_of(control, MAIN) || is_of(control, ENDS))
        .partition(|control| is_of(control, MAIN));
    let mut silent: Vec<&MixerControl> = main.into_iter().filter(|c| is_silent(c)).collect();
    // Headphones and a loudspeaker silence each other.
    if !ends.is_empty() && ends.iter().all(|c| is_silent(c)) {
        silent.extend(ends);
    }
    if silent.is_empty() {
        let seen = match controls.is_empty() {
            true => "no card here has one",
            false => "nothing is muted",
        };
        return vec![Finding::ok(CHECK, seen)];
    }
    let finding = |control: &MixerControl| {
        let MixerControl { card, name, .. } = control;
        let is = if control.is_on {
            "is at 0 %"
        } else {
            "is muted"
        };
        Finding::wrong(CHECK, format!("{name} of the card {card} {is}")).mended_by(format!(
            "amixer -c {card} sset '{name}' 80% unmute && sudo alsactl store"
        ))
    };
    silent.into_iter().map(finding).collect()
}

/// The short name of the card that the device is on.
fn card(facts: &DoctorFacts) -> Option<String> {
    let name = match (
        facts.sound.as_ref().map(|sound| &sound.tried),
        &facts.config.config.audio.device,
    ) {
        (Some(Tried::Opens { name, .. }), _) => name.clone(),
        (_, OutputSpec::Device(name)) => name.clone(),
        _ => match &facts.node {
            Some(NodeAnswer::Runs(status)) => status.output.clone(),
            _ => return None,
        },
    };
    let (_, card) = name.split_once("CARD=")?;
    let end = card.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    Some(card[..end.unwrap_or(card.len())].to_owned())
}

fn is_of(control: &MixerControl, names: &[&str]) -> bool {
    names.iter().any(|name| control.name.starts_with(name))
}

fn is_silent(control: &MixerControl) -> bool {
    // At the bottom of its range some are only a little quieter.
    let is_down = control.percent == Some(0) && control.decibel.is_none_or(|db| db < AUDIBLE);
    !control.is_on || is_down
}

pub fn volume(facts: &DoctorFacts) -> Option<Finding> {
    const CHECK: &str = "volume";
    let asked = match &facts.node {
        Some(NodeAnswer::Runs(status)) => status.volume,
        _ => None,
    };
    let volume = asked.or(facts.remembered_volume);
    if facts.config.config.audio.max_volume == 0 {
        return Some(
            Finding::wrong(CHECK, "audio.max_volume is 0: nothing is heard")
                .mended_by("set max_volume = 100 under [audio]"),
        );
    }
    Some(match volume? {
        0 => Finding::wrong(CHECK, "0 %: nothing is heard").mended_by("p2pmusic ctl volume 30"),
        volume => Finding::ok(CHECK, format!("{volume} %")),
    })
}

fn is_hdmi(name: &str) -> bool {
    name.to_ascii_lowercase().contains("hdmi")
}

/// What all sound of a card passes.
const MAIN: &[&str] = &["Master", "PCM", "Digital", "HDMI", "DAC"];
/// Ways out of a card, of which one is used.
const ENDS: &[&str] = &["Headphone", "Speaker", "Line Out", "Lineout", "Front"];
/// In dB; below this one hears a loud amplifier at night.
const AUDIBLE: f32 = -50.0;
