//! What is heard, and where in it the listener is.

use std::time::Duration;

use crate::audio::events::PlayId;

/// The plays that are under way, as they lie in the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The last whose first frame was heard is what plays.
    pub marks: Vec<RingMark>,
    /// Where a play is to be that is not loaded yet.
    pub sought: Option<(PlayId, Duration)>,
}

/// Where a play lies in the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingMark {
    pub play: PlayId,
    /// The position of its first frame in the track.
    pub origin: Duration,
    /// The number of that frame and frames a second, once it is in the ring.
    pub placed: Option<(u64, u32)>,
}

impl RingMark {
    /// Where in the track the listener is, unless it has not come to it.
    fn position(&self, read: u64) -> Option<Duration> {
        let Some((first, rate)) = self.placed else {
            return Some(self.origin);
        };
        let frames = read.checked_sub(first)?;
        let nanos = u128::from(frames) * 1_000_000_000 / u128::from(rate);
        Some(self.origin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

impl Places {
    /// What is heard and where, when so many frames have left the ring, or where it will be.
    pub fn position(&self, read: u64) -> Option<(PlayId, Duration)> {
        if let Some(sought) = self.sought.filter(|(play, _)| self.can_be_sought(*play)) {
            return Some(sought);
        }
        let heard = self.marks.iter().enumerate().rev().find_map(|(i, mark)| {
            // A successor that is not placed has not been heard.
            if i > 0 && mark.placed.is_none() {
                return None;
            }
            Some((mark.play, mark.position(read)?))
        });
        heard.or_else(|| self.marks.first().map(|mark| (mark.play, mark.origin)))
    }

    /// Whether a place in `play` is shown: nothing else plays.
    pub fn can_be_sought(&self, play: PlayId) -> bool {
        self.marks.first().is_none_or(|mark| mark.play == play)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(play: u64, origin: u64, first: Option<u64>) -> RingMark {
        RingMark {
            play: PlayId(play),
            origin: Duration::from_secs(origin),
            placed: first.map(|first| (first, 1000)),
        }
    }

    #[test]
    fn what_is_heard_is_the_last_whose_first_frame_was() {
        let sought = Some((1, 90));
        let (one, both) = (&[(1, 5, Some(2000))][..], &[(1, 0, Some(0)), (2, 7, None)]);
        let placed = &[(1, 0, Some(0)), (2, 7, Some(3000))];
        type Row<'a> = (&'a [(u64, u64, Option<u64>)], Option<(u64, u64)>, u64);
        let rows: [(Row, Option<(u64, u64)>); 10] = [
            ((&[], None, 0), None),
            ((&[], sought, 0), Some((1, 90_000))),
            ((&[(1, 5, None)], None, 9000), Some((1, 5000))),
            ((one, None, 1999), Some((1, 5000))), // what was dropped before
            ((one, None, 2500), Some((1, 5500))),
            ((one, sought, 2500), Some((1, 90_000))),
            ((both, Some((2, 1)), 2500), Some((1, 2500))),
            ((placed, None, 2999), Some((1, 2999))),
            ((placed, None, 3000), Some((2, 7000))),
            ((both, None, 4000), Some((1, 4000))),
        ];
        for (n, ((marks, sought, read), expected)) in rows.into_iter().enumerate() {
            let marks = marks.iter().map(|&(play, at, first)| mark(play, at, first));
            let places = Places {
                marks: marks.collect(),
                sought: sought.map(|(play, at)| (PlayId(play), Duration::from_secs(at))),
            };
            let position = places.position(read);
            let position = position.map(|(play, at)| (play.0, at.as_millis() as u64));
            assert_eq!(position, expected, "row {n}");
        }
    }
}
