//! What a row of the table of keys says, and what is made of the rows.

use super::{Config, Role};

/// A key of the configuration.
#[derive(Debug)]
pub struct ConfigKey {
    /// With its table, such as `audio.device`.
    pub name: &'static str,
    /// The nodes that it means something to.
    pub nodes: Concerned,
    /// When another value is gone by.
    pub effect: TakesEffect,
    /// Whether two configurations have different values.
    pub differs: fn(&Config, &Config) -> bool,
    /// Gives the first configuration the value of the second.
    pub take: fn(&mut Config, &Config),
}

/// The nodes that a key means something to.
#[derive(Clone, Copy, Debug)]
pub enum Concerned {
    All,
    Trackers,
    Peers,
}

/// When a running node goes by another value.
#[derive(Clone, Copy, Debug)]
pub enum TakesEffect {
    /// From its next start on.
    NextStart,
    /// As soon as the configuration is read again: this part of the node sees to it.
    AtOnce(LivePart),
    /// The same where this holds of the configuration that the node runs with and the one
    /// just read, else from its next start on.
    AtOnceIf(LivePart, fn(&Config, &Config) -> bool),
}

/// What goes by another value while the node runs, in the order in which that is done and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LivePart {
    Log,
    Library,
    Node,
    Store,
    Budget,
    TrackerLink,
    Exposition,
    Keys,
}

impl ConfigKey {
    /// The table that it stands in, `top` above all of them, and its name there.
    pub fn place(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("top", self.name))
    }
}

impl Concerned {
    pub fn are(self, role: Role) -> bool {
        match self {
            Self::All => true,
            Self::Trackers => role.is_tracker(),
            Self::Peers => role.is_peer(),
        }
    }
}

impl TakesEffect {
    /// What can see to it at once, if anything.
    pub fn part(self) -> Option<LivePart> {
        match self {
            Self::NextStart => None,
            Self::AtOnce(part) | Self::AtOnceIf(part, _) => Some(part),
        }
    }

    /// What does, for a node that runs with `running`.
    pub fn at_once(self, running: &Config, read: &Config) -> Option<LivePart> {
        self.part().filter(|_| match self {
            Self::AtOnceIf(_, holds) => holds(running, read),
            _ => true,
        })
    }
}

/// Makes of a table of keys the types that a file is read into, with what holds unless a key
/// is set, and [`KEYS`](super::KEYS). A row is
/// `key: Type = default => when another value takes effect;`, with the documentation and the
/// serde attributes of a field.
macro_rules! keys {
    (
        $(#[$top_about:meta])*
        struct $Top:ident for $top_nodes:ident {
            $($(#[$top_note:meta])* $top:ident: $TopType:ty = $top_default:expr => $top_effect:expr;)*
        }
        $(
            $(#[$about:meta])*
            $table:ident: struct $Table:ident for $nodes:ident {
                $($(#[$note:meta])* $key:ident: $Type:ty = $default:expr => $effect:expr;)*
            }
        )*
    ) => {
        $(#[$top_about])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $Top {
            $($(#[$top_note])* pub $top: $TopType,)*
            $(pub $table: $Table,)*
        }

        impl Default for $Top {
            fn default() -> Self {
                Self {
                    $($top: $top_default,)*
                    $($table: $Table::default(),)*
                }
            }
        }

        $(
            $(#[$about])*
            #[derive(Clone, Debug, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $Table {
                $($(#[$note])* pub $key: $Type,)*
            }

            impl Default for $Table {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        /// Every key, in the order of the sample.
        pub const KEYS: &[ConfigKey] = {
            use self::table::{Concerned::*, LivePart::*, TakesEffect::*};
            &[
                $(ConfigKey {
                    name: stringify!($top),
                    nodes: $top_nodes,
                    effect: $top_effect,
                    differs: |one, other| one.$top != other.$top,
                    take: |to, from| to.$top.clone_from(&from.$top),
                },)*
                $($(ConfigKey {
                    name: concat!(stringify!($table), ".", stringify!($key)),
                    nodes: $nodes,
                    effect: $effect,
                    differs: |one, other| one.$table.$key != other.$table.$key,
                    take: |to, from| to.$table.$key.clone_from(&from.$table.$key),
                },)*)*
            ]
        };
    };
}

pub(super) use keys;
