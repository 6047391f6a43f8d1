//! What is here of one owner's catalogue, and on its way.

use std::time::{Duration, Instant};

use super::{KeptCatalogue, Pull};
use crate::{
    catalog::{Excess, Holding, OwnerSite, TooMuch, Weight},
    id::PeerId,
};

#[derive(Debug)]
pub struct PulledOwner<C: KeptCatalogue, V> {
    pub whole: Option<WholeCatalogue<C, V>>,
    pub under_way: Option<UnderWay<C, V>>,
    pub left_out: Option<Excess<V>>,
}

/// A whole catalogue.
#[derive(Debug)]
pub struct WholeCatalogue<C, V> {
    pub catalogue: C,
    /// What it takes in memory.
    pub bytes: usize,
    /// By which way it came.
    pub via: V,
}

/// A catalogue on its way here.
#[derive(Debug)]
pub struct UnderWay<C: KeptCatalogue, V> {
    pub pull: Pull<C>,
    pub via: V,
    /// Since when an answer has been waited for; without, it waits for its turn.
    pub asked: Option<Instant>,
    /// The lowest has waited for longest.
    pub turn: u64,
    /// Until when nothing more of it may be asked for.
    pub not_before: Option<Instant>,
}

impl<C: KeptCatalogue, V: Copy> PulledOwner<C, V> {
    pub const NOTHING: Self = Self {
        whole: None,
        under_way: None,
        left_out: None,
    };

    pub fn is_nothing(&self) -> bool {
        self.whole.is_none() && self.under_way.is_none() && self.left_out.is_none()
    }

    /// What it takes.
    pub fn bytes(&self) -> usize {
        let under_way = self.under_way.as_ref();
        let fresh = under_way.map_or(0, |it| it.pull.fresh_bytes());
        self.whole.as_ref().map_or(0, |it| it.bytes) + fresh
    }

    /// The same in detail, of `owner`, which is here at some site, or not.
    pub fn holding(&self, owner: PeerId, here: Option<Option<OwnerSite>>) -> Holding {
        let counted = self.bytes();
        let newest = self.under_way.as_ref().map(|it| it.pull.weight());
        Holding {
            owner,
            site: here.flatten(),
            is_here: here.is_some(),
            takes: Weight {
                counted,
                likely: newest.map_or(counted, |newest| newest.likely.max(counted)),
            },
            without_older: newest.filter(|_| self.whole.is_some()),
        }
    }

    /// Drops what is on its way, or else what is here. It is tried again as long as its owner
    /// `is_here`. Says whether what is here had to go.
    pub fn leave_out(&mut self, why: TooMuch, is_here: bool, now: Instant) -> bool {
        let under_way = self.under_way.take();
        let is_partial = under_way
            .as_ref()
            .is_some_and(|it| it.pull.fresh_bytes() > 0);
        let whole = self.whole.take_if(|_| !is_partial);
        let is_dropped = whole.is_some();
        let known = under_way.map(|it| (*it.pull.head(), it.via, it.pull.weight()));
        let whole = whole.map(|it| (*it.catalogue.head(), it.via, Weight::of(it.bytes)));
        if let Some((head, via, takes)) = known.or(whole).filter(|_| is_here) {
            match &mut self.left_out {
                Some(before) => before.handle_again(&head, why, takes),
                None => self.left_out = Some(Excess::new(head, via, why, takes, now)),
            }
        }
        is_dropped
    }

    /// When something is due, where answers come within that time.
    pub fn due(&self, within: Duration) -> Option<Instant> {
        let under_way = self.under_way.as_ref();
        let under_way = under_way.and_then(|it| match it.not_before {
            Some(then) => Some(then),
            None => it.asked.map(|at| at + within),
        });
        let left_out = self.left_out.as_ref().map(Excess::until);
        under_way.into_iter().chain(left_out).min()
    }
}

impl<C: KeptCatalogue, V> WholeCatalogue<C, V> {
    pub fn new(catalogue: C, via: V) -> Self {
        Self {
            bytes: catalogue.footprint(),
            catalogue,
            via,
        }
    }
}

impl<C: KeptCatalogue, V> UnderWay<C, V> {
    /// What was asked for does not come: it is asked for again.
    pub fn ask_again(&mut self) {
        self.pull.ask_again();
        self.asked = None;
    }
}
