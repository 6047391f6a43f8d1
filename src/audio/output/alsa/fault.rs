//! What alsa-lib's errors mean for an open card, and for a person.

use alsa::Error;
use nix::libc;

/// What is to be done about an error of an open card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFault {
    /// It may have more another time; nothing is wrong.
    Again,
    /// Its buffer ran empty.
    Xrun,
    /// The machine slept.
    Suspended,
    /// It is not there any more.
    Gone,
    /// Whatever else; it may pass.
    Other,
}

/// What this error is.
pub fn fault(error: Error) -> CardFault {
    match number(error) {
        libc::EAGAIN | libc::EINTR => CardFault::Again,
        libc::EPIPE => CardFault::Xrun,
        libc::ESTRPIPE => CardFault::Suspended,
        libc::ENODEV | libc::ENOENT | ENOTSUPP => CardFault::Gone,
        _ => CardFault::Other,
    }
}

/// What the system said, and what can be done about it.
pub fn in_words(error: Error) -> String {
    match number(error) {
        libc::EBUSY | libc::EAGAIN => {
            "another program has it; `fuser -v /dev/snd/*` names it".into()
        }
        libc::ENODEV | libc::ENOENT | ENOTSUPP => "it is not there; is it plugged in?".into(),
        libc::EPERM | libc::EACCES => {
            "this user may not use it; `sudo usermod -aG audio` lets a user".into()
        }
        _ => error.to_string(),
    }
}

/// Some of the crate's functions have it negative.
fn number(error: Error) -> i32 {
    error.errno().abs()
}

/// The kernel's own, which libc does not know; a driver that is being removed says so.
const ENOTSUPP: i32 = 524;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_had_is_said_with_what_to_do() {
        for (number, words) in [
            (libc::EBUSY, "fuser"),
            (libc::ENODEV, "plugged in"),
            (libc::ENOENT, "plugged in"),
            (libc::EACCES, "usermod"),
            (-libc::EACCES, "usermod"),
            (libc::EIO, "snd_pcm_open"),
        ] {
            let said = in_words(Error::new("snd_pcm_open", number));
            assert!(said.contains(words), "{number}: {said}");
        }
    }

    #[test]
    fn what_passes_is_told_from_what_is_gone() {
        for (number, expected) in [
            (libc::EAGAIN, CardFault::Again),
            (libc::EPIPE, CardFault::Xrun),
            (-libc::EPIPE, CardFault::Xrun),
            (libc::ESTRPIPE, CardFault::Suspended),
            (libc::ENODEV, CardFault::Gone),
            (libc::EBADFD, CardFault::Other),
            (libc::EIO, CardFault::Other),
        ] {
            assert_eq!(
                fault(Error::new("snd_pcm_writei", number)),
                expected,
                "{number}"
            );
        }
    }
}
