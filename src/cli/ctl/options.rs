//! The options of the queue: how each is read, set and named.

use super::args::Switch;
use crate::{
    command::Playback,
    playback::queue::{Options, Single},
};

/// An option of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueOption {
    Random,
    Repeat,
    Single,
    Consume,
}

impl QueueOption {
    pub fn is_on(self, options: &Options) -> bool {
        match self {
            Self::Random => options.random,
            Self::Repeat => options.repeat,
            Self::Single => options.single != Single::Off,
            Self::Consume => options.consume,
        }
    }

    pub fn set(self, to: Switch) -> Playback {
        let is_on = to != Switch::Off;
        match self {
            Self::Random => Playback::Random(is_on),
            Self::Repeat => Playback::Repeat(is_on),
            Self::Consume => Playback::Consume(is_on),
            Self::Single => Playback::Single(match to {
                Switch::Off => Single::Off,
                Switch::On => Single::On,
                Switch::Oneshot => Single::OneShot,
            }),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Repeat => "repeat",
            Self::Single => "single",
            Self::Consume => "consume",
        }
    }

    /// What is said when it has become `to`.
    pub fn is_now(self, to: Switch) -> String {
        let word = match to {
            Switch::Off => "off",
            Switch::On => "on",
            Switch::Oneshot => "on for one track",
        };
        format!("{} is {word}\n", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_read_where_it_is_set_and_said_by_its_name() {
        let of = |option, single| Options {
            random: option == QueueOption::Random,
            repeat: option == QueueOption::Repeat,
            consume: option == QueueOption::Consume,
            single,
        };
        use QueueOption as Is;
        for (option, command, said) in [
            (Is::Random, Playback::Random(true), "random is on\n"),
            (Is::Repeat, Playback::Repeat(true), "repeat is on\n"),
            (Is::Consume, Playback::Consume(true), "consume is on\n"),
            (Is::Single, Playback::Single(Single::On), "single is on\n"),
        ] {
            let set = match option {
                Is::Single => of(option, Single::OneShot),
                _ => of(option, Single::Off),
            };
            assert!(option.is_on(&set), "{option:?}");
            assert!(!option.is_on(&Options::default()), "{option:?}");
            assert_eq!(option.set(Switch::On), command);
            assert_eq!(option.is_now(Switch::On), said);
        }
        assert_eq!(
            Is::Single.set(Switch::Oneshot),
            Playback::Single(Single::OneShot)
        );
        assert_eq!(
            Is::Single.is_now(Switch::Oneshot),
            "single is on for one track\n"
        );
        assert_eq!(Is::Random.set(Switch::Off), Playback::Random(false));
        assert_eq!(Is::Random.is_now(Switch::Off), "random is off\n");
    }
}
