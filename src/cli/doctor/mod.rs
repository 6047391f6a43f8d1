//! `p2pmusic doctor`: looks at all that goes wrong in homes, and says what to do.
//!
//! It is the first thing that a person with a problem is asked to run, and what it prints
//! goes into a public report. So it works with a broken configuration, without a network,
//! while the node runs and while it does not, for root and for others; it never shows a
//! key, a password, or the value of a setting that could not be read; and it ends within
//! some 10 s: every look runs aside (see [`aside`]), and one that does not come back is a
//! finding.
//!
//! It changes nothing. What it sends is what mDNS asks of a neighbourhood, a connection to
//! the tracker that is configured, and questions to the node at its own socket. A sound
//! card is opened for a moment, unless the node runs, which may need it.
//!
//! In three steps: [`look`] gathers facts and may wait, [`findings`] says what they mean,
//! [`render`] prints that. Only the first touches the machine.

mod acl;
mod aside;
mod facts;
mod findings;
mod look;
mod parse;
mod person;
mod render;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use self::findings::Level;
use super::args::DoctorArgs;

/// Looks, and prints what was found. Exit code 1 when something is wrong.
pub fn run(args: &DoctorArgs) -> ExitCode {
    let facts = look::look(&args.config);
    let findings = findings::examine(&facts);
    let text = match args.json {
        true => render::json(&facts, &findings),
        false => render::text(&facts, &findings),
    };
    let printed = io::stdout().lock().write_all(text.as_bytes());
    let is_well = findings.iter().all(|f| f.level != Level::Wrong);
    match printed {
        // `doctor | head` is no error.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain!("p2pmusic: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ if is_well => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
