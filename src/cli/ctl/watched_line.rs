//! A line that is drawn over: what is written for it to change, and to stay.

use super::{
    screen::{width, Screen},
    show::Scene,
};

/// What is shown now.
#[derive(Default)]
pub(super) struct WatchedLine {
    shown: String,
}

impl WatchedLine {
    /// What to write so that `scene` is shown instead.
    pub fn show(&mut self, scene: &Scene, mut screen: Screen) -> String {
        // The terminal shows a Ctrl-C as two characters, which are not to wrap.
        screen.columns = screen.columns.map(|columns| columns.saturating_sub(2));
        let line = scene.line(&screen);
        match screen.columns {
            None => line,
            Some(columns) => {
                let line = line.trim_end();
                let text = format!("{}{line}", self.erased(columns));
                self.shown = line.to_owned();
                text
            }
        }
    }

    /// What takes away the line that is shown, of which a window that has become narrower
    /// makes several.
    fn erased(&self, columns: usize) -> String {
        match width(&self.shown).saturating_sub(1) / columns.max(1) {
            0 => "\r\x1b[K".into(),
            above => format!("\x1b[{above}A\r\x1b[J"),
        }
    }

    /// What to write so that it stays: the terminal shows what was typed to end it.
    pub fn end(&self, screen: &Screen) -> String {
        match screen.columns {
            None => String::new(),
            Some(columns) => format!("{}{}\n", self.erased(columns), self.shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_erased_with_all_that_a_narrower_window_made_of_it() {
        let of = |shown: &str| WatchedLine {
            shown: shown.to_owned(),
        };
        for (shown, columns, erased) in [
            ("", 80, "\r\x1b[K"),
            ("playing", 7, "\r\x1b[K"),
            ("playing", 6, "\x1b[1A\r\x1b[J"),
            ("となり", 2, "\x1b[2A\r\x1b[J"),
            ("playing", 0, "\x1b[6A\r\x1b[J"),
        ] {
            let screen = Screen {
                columns: Some(columns),
                has_colours: false,
            };
            assert_eq!(of(shown).end(&screen), format!("{erased}{shown}\n"));
        }
        assert_eq!(of("playing").end(&Screen::default()), "");
    }
}
