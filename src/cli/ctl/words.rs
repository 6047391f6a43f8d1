//! Places, volumes and switches, as people write them.

use std::{
    ops::{Range, RangeInclusive},
    str::FromStr,
    time::Duration,
};

use crate::playback::transport::SeekTo;

/// Where to seek to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SeekTarget {
    At(Duration),
    Forward(Duration),
    Back(Duration),
    /// From 0 to 1.
    Part(f64),
}

/// What to make of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VolumeTarget {
    To(u8),
    By(i8),
}

/// Places in the queue, as it is shown: from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Positions(pub RangeInclusive<u32>);

impl Positions {
    /// As the node counts them.
    pub fn to_range(&self) -> Range<usize> {
        *self.0.start() as usize - 1..*self.0.end() as usize
    }
}

impl SeekTarget {
    /// What the player is told of a track of `duration` that is at `elapsed`; nothing where that
    /// is behind its end. A track of an unknown length has none.
    pub fn within(&self, elapsed: Duration, duration: Duration) -> Option<SeekTo> {
        let (to, place) = match *self {
            Self::At(to) => (SeekTo::At(to), to),
            Self::Forward(by) => (SeekTo::Forward(by), elapsed.saturating_add(by)),
            Self::Back(by) => (SeekTo::Back(by), Duration::ZERO),
            Self::Part(part) => (SeekTo::At(duration.mul_f64(part)), Duration::ZERO),
        };
        (place <= duration || duration.is_zero()).then_some(to)
    }
}

impl FromStr for SeekTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a place: 1:23, +10, -10 or 50%");
        if let Some(part) = text.strip_suffix('%') {
            let part = part.parse::<f64>().map_err(|_| wrong())?;
            let in_track = (0.0..=100.0).contains(&part);
            return in_track
                .then_some(Self::Part(part / 100.0))
                .ok_or_else(|| format!("{text:?} is not in a track: 0% to 100%"));
        }
        let (sign, clock) = match text.split_at_checked(1) {
            Some(("+", by)) => (Some(true), by),
            Some(("-", by)) => (Some(false), by),
            _ => (None, text),
        };
        let time = parse_clock(clock).map_err(|what| what.unwrap_or_else(wrong))?;
        Ok(match sign {
            Some(true) => Self::Forward(time),
            Some(false) => Self::Back(time),
            None => Self::At(time),
        })
    }
}

impl FromStr for VolumeTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let relative = text.starts_with(['+', '-']);
        let number = text.strip_suffix('%').unwrap_or(text).parse::<i8>();
        match number {
            Ok(by @ -100..=100) if relative => Ok(Self::By(by)),
            Ok(to @ 0..=100) if !relative => Ok(Self::To(to.unsigned_abs())),
            _ => Err(format!("{text:?} is not a volume: 0 to 100, +5 or -5")),
        }
    }
}

impl FromStr for Positions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let place = |text: &str| text.parse::<u32>().ok().filter(|&place| place > 0);
        match (place(first), place(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(format!("{text:?} is no place in the queue: 3, or 3-5")),
        }
    }
}

/// Parses `[[h:]m:]s`; says what is wrong when it is nearly that.
fn parse_clock(text: &str) -> Result<Duration, Option<String>> {
    let parts: Vec<_> = text.split(':').collect();
    let mut seconds = 0.0;
    for (n, part) in parts.iter().enumerate() {
        let is_number = part.starts_with(|c: char| c.is_ascii_digit());
        let number = part.parse::<f64>().ok().filter(|_| is_number);
        let number = number.ok_or(None)?;
        if n > 0 && number >= 60.0 {
            let what = if n + 1 == parts.len() {
                "seconds"
            } else {
                "minutes"
            };
            return Err(Some(format!("{text:?} is not a time: {what} go up to 59")));
        }
        seconds = seconds * 60.0 + number;
    }
    match parts.len() {
        1..=3 => Duration::try_from_secs_f64(seconds).map_err(|_| None),
        _ => Err(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_volumes_are_read_as_people_write_them() {
        let seconds = Duration::from_secs;
        for (text, target) in [
            ("1:23", SeekTarget::At(seconds(83))),
            ("90", SeekTarget::At(seconds(90))),
            ("1:00:01", SeekTarget::At(seconds(3601))),
            ("+10", SeekTarget::Forward(seconds(10))),
            ("-1:00", SeekTarget::Back(seconds(60))),
            ("50%", SeekTarget::Part(0.5)),
        ] {
            assert_eq!(text.parse(), Ok(target), "{text}");
        }
        for bad in [
            "", "x", "1:", "+-3", "101%", "inf", "é", "1:2:3:4", "1:60:00",
        ] {
            assert!(bad.parse::<SeekTarget>().is_err(), "{bad}");
        }
        let why = "99:99".parse::<SeekTarget>().unwrap_err();
        assert!(why.contains("up to 59"), "{why}");
        assert_eq!("40".parse(), Ok(VolumeTarget::To(40)));
        assert_eq!("+5".parse(), Ok(VolumeTarget::By(5)));
        assert_eq!("-5".parse(), Ok(VolumeTarget::By(-5)));
        for bad in ["101", "-101", "loud", ""] {
            assert!(bad.parse::<VolumeTarget>().is_err(), "{bad}");
        }
    }

    #[test]
    fn places_in_the_queue_begin_with_one() {
        let range = |text: &str| text.parse::<Positions>().map(|places| places.to_range());
        assert_eq!(range("1"), Ok(0..1));
        assert_eq!(range("3-5"), Ok(2..5));
        for bad in ["0", "5-3", "-1", "x", "", "1-"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_behind_the_end_is_none() {
        let seconds = Duration::from_secs;
        for (target, duration, to) in [
            (
                SeekTarget::At(seconds(60)),
                60,
                Some(SeekTo::At(seconds(60))),
            ),
            (SeekTarget::At(seconds(61)), 60, None),
            (
                SeekTarget::At(seconds(61)),
                0,
                Some(SeekTo::At(seconds(61))),
            ),
            (
                SeekTarget::Forward(seconds(50)),
                60,
                Some(SeekTo::Forward(seconds(50))),
            ),
            (SeekTarget::Forward(seconds(51)), 60, None),
            (SeekTarget::Forward(Duration::MAX), 60, None),
            (
                SeekTarget::Back(seconds(99)),
                60,
                Some(SeekTo::Back(seconds(99))),
            ),
            (SeekTarget::Part(0.5), 60, Some(SeekTo::At(seconds(30)))),
        ] {
            assert_eq!(
                target.within(seconds(10), seconds(duration)),
                to,
                "{target:?}"
            );
        }
    }
}
