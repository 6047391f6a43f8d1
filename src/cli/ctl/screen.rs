//! What a terminal can show: how wide it is, how wide a text is on it, and colours.

use std::{
    ffi::OsStr,
    fmt::{Display, Write as _},
};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Where the answer is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Screen {
    /// Nothing is cut or folded for a file or another program.
    pub columns: Option<usize>,
    pub has_colours: bool,
}

/// What a text is, where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tint {
    Heading,
    Good,
    Waiting,
    Bad,
}

impl Screen {
    /// A terminal that is so wide, or does not say, with what the environment says of `TERM`
    /// and `NO_COLOR`.
    pub fn of_terminal(
        columns: Option<u16>,
        term: Option<&OsStr>,
        no_color: Option<&OsStr>,
    ) -> Self {
        let columns = match columns {
            Some(columns @ 1..) => columns.into(),
            // A serial line does not say.
            _ => USUAL_COLUMNS,
        };
        let is_dumb = term.is_none_or(|term| term == "dumb");
        // https://no-color.org: whatever it is, unless it is empty.
        let is_unwanted = no_color.is_some_and(|value| !value.is_empty());
        Self {
            columns: Some(columns),
            has_colours: !is_dumb && !is_unwanted,
        }
    }

    pub fn paint(&self, tint: Tint, text: &str) -> String {
        let code = match tint {
            _ if !self.has_colours || text.is_empty() => return text.to_owned(),
            Tint::Heading => "2",
            Tint::Good => "32",
            Tint::Waiting => "33",
            Tint::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Rows with their columns under each other and their names above, where there are names.
    /// Where they are too wide, the first columns are cut, but never the last one; where that
    /// is not enough, the last one comes below.
    pub fn table(&self, columns: &[Column], rows: &[Vec<String>]) -> String {
        let names: Vec<_> = columns
            .iter()
            .map(|column| column.name.to_owned())
            .collect();
        let has_names = names.iter().any(|name| !name.is_empty());
        let head = has_names.then_some(&names);
        let widths = natural_widths(head.into_iter().chain(rows), columns.len());
        let (widths, folds) = self.fitted(widths, columns);
        let mut text = String::new();
        if let Some(head) = head {
            let line = lay_out(head, columns, &widths, folds);
            for line in line.lines() {
                text.push_str(&self.paint(Tint::Heading, line));
                text.push('\n');
            }
        }
        for row in rows {
            text.push_str(&lay_out(row, columns, &widths, folds));
        }
        text
    }

    /// Widths at which all columns fit, and whether the last one has to come below.
    fn fitted(&self, mut widths: Vec<usize>, columns: &[Column]) -> (Vec<usize>, bool) {
        let total = |widths: &[usize]| {
            let shown = widths.iter().filter(|&&width| width > 0);
            shown.map(|width| width + GAP.len()).sum::<usize>()
        };
        let Some(room) = self.columns.map(|columns| columns + GAP.len()) else {
            return (widths, false);
        };
        let count = widths.len().saturating_sub(1);
        let (mut first, last) = (widths.clone(), widths.last().copied().unwrap_or(0));
        first.truncate(count);
        let shrink = |widths: &mut [usize], room: usize| {
            while total(widths) > room {
                let flexible = widths.iter_mut().zip(columns).filter(|(_, c)| c.shrinks);
                match flexible.map(|(width, _)| width).max() {
                    Some(width) if *width > LEAST => *width -= 1,
                    _ => return false,
                }
            }
            true
        };
        let folds = !shrink(&mut first, room.saturating_sub(last + GAP.len()));
        if folds {
            first.clone_from_slice(&widths[..count]);
            shrink(&mut first, room);
        }
        widths[..count].copy_from_slice(&first);
        (widths, folds)
    }

    /// Names with their texts, which go on under themselves where they are long.
    pub fn list(&self, rows: &[(&str, String)]) -> String {
        let names = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        let indent = names + GAP.len();
        let mut all = String::new();
        for (name, text) in rows {
            let room = self.columns.map(|columns| columns.saturating_sub(indent));
            let lines = match room {
                Some(room) if room >= LEAST => folded(text, room),
                _ => vec![text.clone()],
            };
            for (n, line) in lines.iter().enumerate() {
                let name = if n == 0 { name } else { "" };
                let line = match self.tint_of(name) {
                    Some(tint) if n == 0 && !name.is_empty() => {
                        format!(
                            "{}{}{line}",
                            self.paint(tint, name),
                            blanks(indent - width(name))
                        )
                    }
                    _ => format!("{name}{}{line}", blanks(indent - width(name))),
                };
                all.push_str(line.trim_end());
                all.push('\n');
            }
        }
        all
    }

    fn tint_of(&self, name: &str) -> Option<Tint> {
        Some(match name {
            "playing" => Tint::Good,
            "waiting" => Tint::Waiting,
            "problem" | "error" => Tint::Bad,
            _ => Tint::Heading,
        })
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Column {
    pub name: &'static str,
    /// Whether it is a number or a time.
    pub right: bool,
    /// Whether it may be cut.
    pub shrinks: bool,
}

impl Column {
    pub const fn text(name: &'static str) -> Self {
        Self {
            name,
            right: false,
            shrinks: true,
        }
    }

    pub const fn short(name: &'static str) -> Self {
        Self {
            name,
            right: false,
            shrinks: false,
        }
    }

    pub const fn number(name: &'static str) -> Self {
        Self {
            name,
            right: true,
            shrinks: false,
        }
    }
}

fn natural_widths<'a>(rows: impl Iterator<Item = &'a Vec<String>>, count: usize) -> Vec<usize> {
    let mut widths = vec![0; count];
    for row in rows {
        for (n, (widest, cell)) in widths.iter_mut().zip(row).enumerate() {
            let most = if n + 1 == count { usize::MAX } else { MAX_CELL };
            *widest = width(cell).min(most).max(*widest);
        }
    }
    widths
}

/// One row, on two lines where the last column comes below.
fn lay_out(row: &[String], columns: &[Column], widths: &[usize], folds: bool) -> String {
    let mut text = String::new();
    for (n, cell) in row.iter().enumerate() {
        let (wide, column) = (widths[n], columns[n]);
        if n + 1 == columns.len() {
            if folds {
                text.truncate(text.trim_end().len());
                text.push_str("\n    ");
            } else if column.right {
                text.push_str(&blanks(wide - width(cell).min(wide)));
            }
            text.push_str(cell);
        } else if wide > 0 {
            let cell = fit(cell, wide);
            let rest = blanks(wide - width(&cell));
            _ = match column.right {
                true => write!(text, "{rest}{cell}{GAP}"),
                false => write!(text, "{cell}{rest}{GAP}"),
            };
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Columns of a terminal that `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// `text`, cut with an ellipsis if it is wider than `room`.
pub(super) fn fit(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > room {
            break;
        }
        cut.push(c);
    }
    // What joins to the next character does not join to the ellipsis.
    cut.truncate(cut.trim_end_matches('\u{200d}').len());
    if room > 0 {
        cut.push('…');
    }
    cut
}

/// The lines of `text` that are at most `room` wide, broken at blanks where there are some.
fn folded(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let is_begun = !line.is_empty();
        if is_begun && width(&line) + 1 + width(word) <= room {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        if is_begun {
            lines.push(std::mem::take(&mut line));
        }
        let mut used = 0;
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > room {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            used += wide;
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

fn blanks(count: usize) -> String {
    " ".repeat(count)
}

/// `1 track`, `2 tracks`.
pub(super) fn count<N: Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    match number == N::from(1) {
        true => format!("1 {what}"),
        false => format!("{number} {what}s"),
    }
}

/// Between columns.
const GAP: &str = "  ";

/// Columns of a cell, where another follows: long titles do not push what
/// matters off the screen.
const MAX_CELL: usize = 60;

/// Columns that a cut cell keeps: enough to know a title by.
const LEAST: usize = 16;

/// Of a terminal that does not say.
const USUAL_COLUMNS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    const SONGS: [Column; 3] = [
        Column::text("title"),
        Column::number("time"),
        Column::short("file"),
    ];

    fn of(columns: usize) -> Screen {
        Screen {
            columns: Some(columns),
            has_colours: false,
        }
    }

    fn rows() -> Vec<Vec<String>> {
        let row =
            |title: &str, time: &str, file: &str| [title, time, file].map(str::to_owned).to_vec();
        vec![
            row(
                "久石譲 – となりのトトロ",
                "4:06",
                "kitchen/ghibli/01 となり.flac",
            ),
            row(
                "A plain title that is somewhat longer",
                "12:06",
                "kitchen/a.flac",
            ),
            row("🎵🎶 é", "0:01", "k/é.wav"),
        ]
    }

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let text = Screen::default().table(&SONGS, &rows());
        let places: Vec<_> = text
            .lines()
            .map(|line| width(&line[..line.rfind("  ").unwrap()]))
            .collect();
        assert!(places.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
        assert!(text.starts_with("title "), "{text}");
    }

    #[test]
    fn a_table_fits_or_folds_and_its_paths_are_whole() {
        for columns in [20, 40, 60, 80, 200] {
            let text = of(columns).table(&SONGS, &rows());
            for line in text
                .lines()
                .filter(|line| columns >= 40 || !line.starts_with(' '))
            {
                assert!(width(line) <= columns.max(LEAST + 7), "{columns}: {line:?}");
            }
            for path in ["kitchen/ghibli/01 となり.flac", "kitchen/a.flac"] {
                assert!(text.contains(path), "{columns}:\n{text}");
            }
            assert_eq!(
                text.lines().count(),
                if columns < 55 { 8 } else { 4 },
                "{text}"
            );
        }
    }

    #[test]
    fn texts_are_cut_and_folded_by_their_width() {
        assert_eq!(fit("となりのトトロ", 14), "となりのトトロ");
        assert_eq!(fit("となりのトトロ", 8), "となり…");
        assert_eq!(fit("👨\u{200d}👩\u{200d}👧 family", 5), "👨\u{200d}👩…");
        assert_eq!(fit("abc", 0), "");
        for room in 0..20 {
            assert!(width(&fit("aとbなりcのd👍トトロ", room)) <= room);
        }
        let text = "waits for となりのトトロ and averyveryverylongword";
        let lines = folded(text, 16);
        assert!(lines.iter().all(|line| width(line) <= 16), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        let listed = of(40).list(&[("waits for", text.to_owned()), ("problem", "no".into())]);
        assert!(listed.lines().all(|line| width(line) <= 40), "{listed}");
    }

    #[test]
    fn colours_are_only_where_they_are_wanted() {
        let mut screen = of(80);
        assert_eq!(screen.paint(Tint::Bad, "x"), "x");
        screen.has_colours = true;
        assert_eq!(screen.paint(Tint::Bad, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(count(1.0, "track") + &count(2.0, "peer"), "1 track2 peers");
    }

    #[test]
    fn a_terminal_is_taken_as_it_and_its_environment_say() {
        for (columns, term, no_color, expected, has_colours) in [
            (Some(120), Some("xterm"), None, 120, true),
            (Some(120), Some("xterm"), Some(""), 120, true),
            (Some(120), Some("xterm"), Some("0"), 120, false),
            (Some(120), Some("dumb"), None, 120, false),
            (Some(120), None, None, 120, false),
            (Some(0), Some("vt100"), None, USUAL_COLUMNS, true),
            (None, Some("vt100"), None, USUAL_COLUMNS, true),
        ] {
            let screen =
                Screen::of_terminal(columns, term.map(OsStr::new), no_color.map(OsStr::new));
            assert_eq!(screen.columns, Some(expected));
            assert_eq!(screen.has_colours, has_colours, "{term:?} {no_color:?}");
        }
    }
}
