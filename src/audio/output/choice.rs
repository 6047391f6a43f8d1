//! Which sound card and which of its rates are taken, whatever drives it.

use crate::audio::spec::{OutputError, SampleShape};

/// A name that `audio.device` can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The ALSA name.
    pub name: String,
    /// What ALSA says it is, on one line.
    pub description: String,
    /// Whether `auto` would take it.
    pub is_auto: bool,
}

/// Marks the device that `auto` takes.
pub fn mark_auto(devices: &mut [DeviceInfo]) {
    let is_hdmi = |d: &DeviceInfo| {
        let text = format!("{} {}", d.name, d.description).to_ascii_lowercase();
        text.contains("hdmi") || text.contains("displayport")
    };
    // HDMI hardware wants IEC 958 frames, which only its sysdefault makes.
    let at = |is_it: &dyn Fn(&DeviceInfo) -> bool| devices.iter().position(is_it);
    let auto = at(&|d| d.name.starts_with("hw:") && !is_hdmi(d))
        .or_else(|| at(&|d| d.name.starts_with("sysdefault:") && is_hdmi(d)))
        .or_else(|| at(&|d| d.name == "default"));
    if let Some(auto) = auto {
        devices[auto].is_auto = true;
    }
}

/// The device of that name among those that were `found`; without a name, the one of `auto`.
///
/// # Errors
/// [`OutputError::Unknown`] with the names that there are, or [`OutputError::NoCard`].
pub fn choose<D>(
    mut found: Vec<D>,
    info: fn(&D) -> &DeviceInfo,
    wanted: Option<&str>,
) -> Result<D, OutputError> {
    let at = found.iter().position(|device| match wanted {
        Some(name) => info(device).name == name,
        None => info(device).is_auto,
    });
    match (at, wanted) {
        (Some(at), _) => Ok(found.swap_remove(at)),
        (None, None) => Err(OutputError::NoCard),
        (None, Some(name)) => Err(OutputError::Unknown {
            name: name.to_owned(),
            known: found.iter().map(|d| info(d).name.clone()).collect(),
        }),
    }
}

/// Rates that a card takes with so many channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability {
    pub channels: u16,
    /// The lowest and the highest.
    pub rates: (u32, u32),
}

impl Ability {
    fn takes(self, rate: u32) -> bool {
        (self.rates.0..=self.rates.1).contains(&rate)
    }
}

/// The shape nearest to the wanted one.
pub fn nearest(abilities: &[Ability], wanted: SampleShape) -> Option<SampleShape> {
    let channels = abilities
        .iter()
        .map(|ability| ability.channels)
        .min_by_key(|&c| (c != wanted.channels, c != STEREO, c))?;
    let of_these = || abilities.iter().filter(|a| a.channels == channels);
    let rate = [wanted.rate]
        .into_iter()
        .chain(FALLBACK_RATES)
        .find(|&rate| of_these().any(|ability| ability.takes(rate)))
        .or_else(|| of_these().map(|ability| ability.rates.1).max())?;
    Some(SampleShape {
        rate,
        channels,
        bits: None,
    })
}

/// CD quality.
pub const CD: SampleShape = SampleShape {
    rate: 44_100,
    channels: STEREO,
    bits: Some(16),
};

const STEREO: u16 = 2;

/// What to resample to where a card lacks a track's rate: every card has one
/// of these.
const FALLBACK_RATES: [u32; 2] = [48_000, 44_100];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_preferred_to_hdmi_and_both_to_what_is_set_as_default() {
        let (card, hdmi) = ("hw:CARD=DAC,DEV=0", "hw:CARD=vc4hdmi,DEV=0");
        let plugged = "sysdefault:CARD=vc4hdmi";
        for (names, auto) in [
            (&["null", "default", plugged, hdmi, card][..], Some(card)),
            (&["null", "default", plugged, hdmi], Some(plugged)),
            (
                &["null", "default", "plughw:CARD=DAC,DEV=0"],
                Some("default"),
            ),
            (&["null", "pulse"], None),
        ] {
            let device = |name: &&str| DeviceInfo {
                name: (*name).to_owned(),
                description: String::new(),
                is_auto: false,
            };
            let mut devices: Vec<DeviceInfo> = names.iter().map(device).collect();
            mark_auto(&mut devices);
            let mut marked = devices.iter().filter(|d| d.is_auto);
            assert_eq!(marked.next().map(|d| d.name.as_str()), auto, "{names:?}");
            assert_eq!(marked.next(), None);
        }
    }

    #[test]
    fn a_card_gets_the_rate_and_channels_of_the_track_where_it_can() {
        let pi = [44_100, 48_000].map(|rate| (2, rate, rate));
        let plug = [1, 2, 3].map(|channels| (channels, 4000, 192_000));
        let (eight, mono) = ([(8, 96_000, 96_000)], [(1, 8000, 16_000)]);
        for (abilities, wanted, shape) in [
            (&pi[..], (44_100, 2), Some((44_100, 2))),
            (&pi, (48_000, 1), Some((48_000, 2))),
            (&pi, (96_000, 6), Some((48_000, 2))),
            (&pi[..1], (96_000, 2), Some((44_100, 2))),
            (&plug, (22_050, 1), Some((22_050, 1))),
            (&plug, (384_000, 6), Some((48_000, 2))),
            (&eight, (44_100, 2), Some((96_000, 8))),
            (&mono, (44_100, 2), Some((16_000, 1))),
            (&[], (44_100, 2), None),
        ] {
            let ability = |&(channels, least, most): &(u16, u32, u32)| Ability {
                channels,
                rates: (least, most),
            };
            let abilities: Vec<Ability> = abilities.iter().map(ability).collect();
            let (rate, channels) = wanted;
            let wanted = SampleShape {
                rate,
                channels,
                ..CD
            };
            let planned = nearest(&abilities, wanted).map(|shape| (shape.rate, shape.channels));
            assert_eq!(planned, shape, "{wanted:?} of {abilities:?}");
        }
    }

    #[test]
    fn a_name_is_taken_as_it_is_and_auto_as_it_is_marked() {
        let found = |auto: Option<&str>| {
            let info = |name: &str| DeviceInfo {
                name: name.into(),
                description: String::new(),
                is_auto: auto == Some(name),
            };
            vec![info("null"), info("hw:1,0")]
        };
        let chosen = |auto, wanted| choose(found(auto), |info| info, wanted).map(|info| info.name);
        assert_eq!(chosen(Some("hw:1,0"), None).unwrap(), "hw:1,0");
        assert_eq!(chosen(Some("hw:1,0"), Some("null")).unwrap(), "null");
        assert!(matches!(chosen(None, None), Err(OutputError::NoCard)));
        let Err(OutputError::Unknown { name, known }) = chosen(None, Some("hw:2,0")) else {
            panic!("there is none of that name");
        };
        assert_eq!((&*name, known.len()), ("hw:2,0", 2));
    }
}
