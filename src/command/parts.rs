//! The parts of the state, of which a client waits for some to change.

use crate::playback::transport::PlayerChange;

/// A part of the state that a client can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatePart {
    Database,
    Update,
    Queue,
    Player,
    Volume,
    Output,
    Options,
    Peers,
}

impl StatePart {
    pub const ALL: [Self; 8] = [
        Self::Database,
        Self::Update,
        Self::Queue,
        Self::Player,
        Self::Volume,
        Self::Output,
        Self::Options,
        Self::Peers,
    ];
}

/// A set of [`StatePart`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateParts(u8);

impl StateParts {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u8::MAX);

    pub const fn of(parts: &[StatePart]) -> Self {
        let mut set = Self::NONE;
        let mut n = 0;
        while n < parts.len() {
            set.0 |= 1 << parts[n] as u8;
            n += 1;
        }
        set
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, part: StatePart) -> bool {
        self.0 & 1 << part as u8 != 0
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = StatePart> {
        let all = StatePart::ALL.into_iter();
        all.filter(move |&part| self.contains(part))
    }
}

impl From<StatePart> for StateParts {
    fn from(part: StatePart) -> Self {
        Self(1 << part as u8)
    }
}

impl From<PlayerChange> for StateParts {
    fn from(change: PlayerChange) -> Self {
        match change {
            PlayerChange::Queue => StatePart::Queue,
            PlayerChange::Player => StatePart::Player,
            PlayerChange::Volume => StatePart::Volume,
            PlayerChange::Options => StatePart::Options,
        }
        .into()
    }
}
