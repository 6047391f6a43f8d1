//! The names that ALSA has for what can be put out to.

use std::collections::BTreeSet;

use alsa::{card, device_name::HintIter, Ctl, Direction};

use crate::audio::output::choice::{mark_auto, DeviceInfo};

/// All names, in ALSA's order: what its configuration hints at, then the hardware by numbers.
pub fn all() -> Vec<DeviceInfo> {
    // What was configured or plugged in since is to be found, too; what cannot be read is not.
    let _ = alsa::config::update();
    let mut known = BTreeSet::new();
    let mut devices: Vec<DeviceInfo> = hinted()
        .chain(numbered())
        .filter(|device| known.insert(device.name.clone()))
        .collect();
    mark_auto(&mut devices);
    devices
}

fn hinted() -> impl Iterator<Item = DeviceInfo> {
    let hints = HintIter::new_str(None, "pcm").into_iter().flatten();
    hints
        .filter(|hint| hint.direction != Some(Direction::Capture))
        .filter_map(|hint| Some(named(hint.name?, &hint.desc.unwrap_or_default())))
}

fn numbered() -> impl Iterator<Item = DeviceInfo> {
    let cards = card::Iter::new().filter_map(Result::ok);
    let opened = cards.filter_map(|card| {
        let ctl = Ctl::from_card(&card, true).ok()?;
        let name = ctl.card_info().ok()?.get_name().ok()?.to_owned();
        Some((card.get_index(), ctl, name))
    });
    opened.flat_map(|(index, ctl, card)| {
        let devices = alsa::ctl::DeviceIter::new(&ctl);
        let playing = devices.filter_map(|device| {
            let device = u32::try_from(device).ok()?;
            let info = ctl.pcm_info(device, 0, Direction::Playback).ok()?;
            Some((device, info.get_name().ok()?.to_owned()))
        });
        let named = playing.flat_map(|(device, name)| {
            [
                ("hw", "Direct hardware device without any conversions"),
                ("plughw", "Hardware device with all software conversions"),
            ]
            .map(|(kind, words)| {
                let id = format!("{kind}:CARD={index},DEV={device}");
                named(id, &format!("{card}, {name}\n{words}"))
            })
        });
        named.collect::<Vec<_>>()
    })
}

/// `lines` is what ALSA says of it.
fn named(name: String, lines: &str) -> DeviceInfo {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    DeviceInfo {
        name,
        description: lines.collect::<Vec<_>>().join(", "),
        is_auto: false,
    }
}
