//! What can be turned down or switched off on the sound cards themselves, behind the
//! back of every player.

use alsa::{
    card,
    ctl::Ctl,
    mixer::{Mixer, Selem, SelemChannelId},
};

use super::alsa_silence::with_alsa_silenced;
use super::spec::MixerControl;

/// The controls of all cards; changes none. Cards whose mixer cannot be opened are left
/// out.
pub fn controls() -> Vec<MixerControl> {
    with_alsa_silenced(|| {
        let cards = card::Iter::new().filter_map(Result::ok);
        let named = cards.filter_map(|card| {
            let ctl = Ctl::from_card(&card, true).ok()?;
            let name = ctl.card_info().ok()?.get_id().ok()?.to_owned();
            Some((format!("hw:{}", card.get_index()), name))
        });
        named
            .flat_map(|(mixer, card)| of_mixer(&mixer, &card))
            .take(MAX_CONTROLS)
            .collect()
    })
}

fn of_mixer(mixer: &str, card: &str) -> Vec<MixerControl> {
    let Ok(mixer) = Mixer::new(mixer, true) else {
        return Vec::new();
    };
    let elements = mixer.iter().filter_map(Selem::new);
    let control = |element: Selem| {
        let has_volume = element.has_playback_volume();
        if !has_volume && !element.has_playback_switch() {
            return None;
        }
        let channel = SelemChannelId::mono();
        let is_on = !element.has_playback_switch() || element.get_playback_switch(channel) != Ok(0);
        let volume = element.get_playback_volume(channel).ok();
        let range = element.get_playback_volume_range();
        let decibel = element.get_playback_vol_db(channel).ok();
        Some(MixerControl {
            card: card.to_owned(),
            name: element.get_id().get_name().ok()?.to_owned(),
            is_on,
            percent: volume
                .filter(|_| has_volume)
                .and_then(|v| percent(v, range)),
            decibel: decibel.filter(|_| has_volume).map(|db| db.to_db()),
        })
    };
    elements.filter_map(control).collect()
}

fn percent(volume: i64, (least, most): (i64, i64)) -> Option<u8> {
    let range = most.checked_sub(least).filter(|range| *range > 0)?;
    let above = volume.checked_sub(least)?.clamp(0, range);
    u8::try_from(above.checked_mul(100)? / range).ok()
}

/// A card has dozens at most.
const MAX_CONTROLS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_control_stands_in_its_range() {
        for (volume, range, stands) in [
            (0, (0, 207), Some(0)),
            (207, (0, 207), Some(100)),
            (-10_239, (-10_239, 400), Some(0)),
            (-2_000, (-10_239, 400), Some(77)),
            (9, (0, 3), Some(100)),
            (0, (0, 0), None),
            (0, (i64::MIN, i64::MAX), None),
        ] {
            assert_eq!(percent(volume, range), stands, "{volume} of {range:?}");
        }
    }

    #[test]
    fn a_machine_without_cards_has_no_controls() {
        assert_eq!(with_alsa_silenced(|| of_mixer("hw:31", "none")), []);
    }
}
