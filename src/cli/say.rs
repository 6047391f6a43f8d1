//! Remarks to the person at the terminal: one that cannot be written (`check | head -0`, a
//! terminal that is gone) ends nothing, where `println!` panics.

use std::{
    fmt::Arguments,
    io::{self, Write as _},
};

/// Writes a line to stdout.
macro_rules! say {
    () => { $crate::cli::say::out(format_args!("\n")) };
    ($($line:tt)*) => { $crate::cli::say::out(format_args!("{}\n", format_args!($($line)*))) };
}

/// Writes a line to stderr.
macro_rules! complain {
    ($($line:tt)*) => { $crate::cli::say::err(format_args!("{}\n", format_args!($($line)*))) };
}

pub fn out(text: Arguments<'_>) {
    let _ = io::stdout().lock().write_all(text.to_string().as_bytes());
}

pub fn err(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_all(text.to_string().as_bytes());
}
