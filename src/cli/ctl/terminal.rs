//! The terminal that standard output is, if it is one.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use terminal_size::{terminal_size_of, Width};

use super::screen::Screen;

/// What standard output is now: windows change their size.
pub(super) fn screen() -> Screen {
    let out = io::stdout();
    if !out.is_terminal() {
        return Screen::default();
    }
    let columns = terminal_size_of(&out).map(|(Width(columns), _)| columns);
    let (term, no_color) = (env::var_os("TERM"), env::var_os("NO_COLOR"));
    Screen::of_terminal(columns, term.as_deref(), no_color.as_deref())
}
