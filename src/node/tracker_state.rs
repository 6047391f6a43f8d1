//! How the node stands with its tracker.

use std::net::IpAddr;

use crate::{command::view::TrackerStanding, protocol::Refusal, tracker::link::TrackerEvent};

/// See the module's description.
#[derive(Debug, Default)]
pub enum TrackerState {
    #[default]
    Looking,
    Connecting(String),
    Lost {
        to: String,
        why: String,
    },
    Registered {
        /// Where those that have taken it are.
        at: Vec<IpAddr>,
        /// What is wrong with the others.
        troubles: Vec<String>,
    },
    Unwanted,
    Refused(Refusal),
    /// A person had it leave.
    Left {
        confirmed: bool,
        /// Whether a person wants no tracker at all.
        is_unwanted: bool,
    },
}

impl TrackerState {
    pub fn handle(&mut self, event: &TrackerEvent) {
        *self = match event {
            // Connecting anew does not hide why the connection before was lost.
            TrackerEvent::Connecting { to } if self.is_about_to_connect() => {
                Self::Connecting(to.clone())
            }
            TrackerEvent::Lost { to, why } => Self::Lost {
                to: to.clone(),
                why: why.clone(),
            },
            TrackerEvent::Unwanted => Self::Unwanted,
            // Of several trackers the first is told before the others.
            TrackerEvent::Registered { reached_at, .. } => Self::Registered {
                at: vec![*reached_at],
                troubles: Vec::new(),
            },
            TrackerEvent::Several { at, troubles, .. } => Self::Registered {
                at: at.clone(),
                troubles: troubles.clone(),
            },
            TrackerEvent::Refused(refusal) => Self::Refused(refusal.clone()),
            TrackerEvent::Left { confirmed } => Self::Left {
                confirmed: *confirmed,
                is_unwanted: self.is_unwanted(),
            },
            TrackerEvent::Connecting { .. }
            | TrackerEvent::AlreadyRegistered(_)
            | TrackerEvent::Message(_)
            | TrackerEvent::Unvouched(_) => return,
        };
    }

    fn is_about_to_connect(&self) -> bool {
        matches!(self, Self::Looking | Self::Connecting(_) | Self::Unwanted)
    }

    fn is_unwanted(&self) -> bool {
        match self {
            Self::Unwanted => true,
            Self::Left { is_unwanted, .. } => *is_unwanted,
            _ => false,
        }
    }

    pub fn is_registered(&self) -> bool {
        matches!(self, Self::Registered { .. })
    }

    /// The node comes back. Says whether it had left.
    pub fn handle_join(&mut self) -> bool {
        let Self::Left { is_unwanted, .. } = self else {
            return false;
        };
        *self = match is_unwanted {
            true => Self::Unwanted,
            false => Self::Looking,
        };
        true
    }

    pub fn standing(&self) -> TrackerStanding {
        match self {
            Self::Looking | Self::Connecting(_) => TrackerStanding::Looking,
            Self::Lost { .. } => TrackerStanding::Lost,
            Self::Registered { .. } => TrackerStanding::Registered,
            Self::Unwanted => TrackerStanding::Unwanted,
            Self::Refused(_) => TrackerStanding::Refused,
            Self::Left { .. } => TrackerStanding::Left,
        }
    }

    pub fn in_words(&self) -> String {
        match self {
            Self::Looking => "looking for one".into(),
            Self::Connecting(to) => format!("connecting to {to}"),
            Self::Lost { to, why } => format!("lost {to}: {why}; trying again"),
            Self::Registered { at, .. } => format!("registered with {}", listed(at)),
            Self::Unwanted => "none, as configured".into(),
            Self::Refused(refusal) => format!("refused: {refusal}"),
            Self::Left { confirmed, .. } => {
                let knows = match confirmed {
                    true => ", and the tracker knows",
                    false => "; the tracker did not answer",
                };
                format!("left{knows}; `p2pmusic ctl join` brings it back")
            }
        }
    }

    /// What a person must know of it.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => Some(refusal.to_string()),
            Self::Lost { to, why } => Some(format!("no tracker: {to}: {why}")),
            _ => None,
        }
    }

    /// What is wrong with the trackers beside the one in use.
    pub fn troubles(&self) -> &[String] {
        match self {
            Self::Registered { troubles, .. } => troubles,
            _ => &[],
        }
    }
}

/// Addresses as a sentence has them.
pub fn listed<T: ToString>(at: &[T]) -> String {
    let at: Vec<String> = at.iter().map(ToString::to_string).collect();
    match at.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "none".into(),
    }
}
