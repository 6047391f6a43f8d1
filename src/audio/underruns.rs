//! What the engine tells of underruns, of which it sees only every so often how many there
//! were and whether one lasts.

/// What has been told so far.
#[derive(Debug, Default)]
pub struct Underruns {
    lasts: bool,
    told: u32,
}

/// What is to be told now.
#[derive(Debug, PartialEq, Eq)]
pub struct UnderrunNews {
    /// Underruns that came and went.
    pub gaps: u32,
    /// Another one began, or the one that was told of is over.
    pub lasts: Option<bool>,
}

impl Underruns {
    /// The ring has had `count` underruns, and the last one `lasts`; `count` was read first, so
    /// that what begins between the two is not counted twice.
    pub fn handle_look(&mut self, count: u32, lasts: bool) -> UnderrunNews {
        let turned = (lasts != self.lasts).then_some(lasts);
        self.lasts = lasts;
        if turned == Some(true) {
            self.told += 1;
        }
        let gaps = count.saturating_sub(self.told);
        self.told += gaps;
        if !lasts {
            // The ring may be a new one, or have lasted on through an order.
            self.told = self.told.min(count);
        }
        UnderrunNews {
            gaps,
            lasts: turned,
        }
    }

    /// An order has ended what lasted.
    pub fn handle_silence(&mut self) {
        self.lasts = false;
    }

    /// All that there was has been heard; whether an underrun lasted until then.
    pub fn handle_end(&mut self) -> bool {
        std::mem::take(&mut self.lasts)
    }

    /// The ring has had `count` underruns, and what is to sound next has not begun: those are
    /// none of its.
    pub fn handle_late(&mut self, count: u32) {
        (self.lasts, self.told) = (false, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_underrun_is_told_once_however_short() {
        let (begins, ends) = (Some(true), Some(false));
        // What the ring says, and what is told of it.
        let looks = [
            ((0, false), (0, None)),
            ((1, false), (1, None)), // over before the look
            ((1, false), (0, None)),
            ((1, true), (0, begins)), // counted a moment later
            ((2, true), (0, None)),
            ((2, false), (0, ends)),
            ((3, true), (0, begins)),
            ((4, true), (1, None)), // over, and the next one has begun
            ((6, false), (2, ends)),
            ((0, false), (0, None)), // a new ring
            ((1, false), (1, None)),
        ];
        let mut underruns = Underruns::default();
        for (n, ((count, lasts), (gaps, turned))) in looks.into_iter().enumerate() {
            let told = underruns.handle_look(count, lasts);
            assert_eq!((told.gaps, told.lasts), (gaps, turned), "look {n}");
        }
    }

    #[test]
    fn what_is_late_has_not_run_dry() {
        let mut underruns = Underruns::default();
        underruns.handle_look(1, true);
        assert!(underruns.handle_end());
        assert!(!underruns.handle_end());
        underruns.handle_late(3);
        let none = UnderrunNews {
            gaps: 0,
            lasts: None,
        };
        assert_eq!(underruns.handle_look(3, false), none);
        assert_eq!(underruns.handle_look(4, false).gaps, 1);
    }

    #[test]
    fn one_that_lasts_on_through_an_order_hides_none() {
        let mut underruns = Underruns::default();
        underruns.handle_look(1, true);
        underruns.handle_silence();
        assert_eq!(underruns.handle_look(1, true).lasts, Some(true));
        assert_eq!(underruns.handle_look(1, false).lasts, Some(false));
        assert_eq!(underruns.handle_look(2, false).gaps, 1);
    }
}
