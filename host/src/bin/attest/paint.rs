//! Colour and tables for people. Plain text if colour is off: nothing is
//! said by colour alone.

use crate::args::Color;
pub use attest::protocol::quantity::{duration, grouped};

use attest::protocol::quantity::about;
use attest::protocol::work::Unit;
use std::fmt::Write as _;

/// Whether to colour what goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// With ANSI escapes.
    Colored,
    /// Without colour.
    Plain,
}

impl Paint {
    /// Follows `--color`, NO_COLOR and whether `stream` is a terminal.
    pub fn of(choice: Color, stream: &impl std::io::IsTerminal) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match choice {
            Color::Always => Self::Colored,
            Color::Auto if stream.is_terminal() && !no_color => Self::Colored,
            Color::Auto | Color::Never => Self::Plain,
        }
    }

    /// Good news.
    pub fn good(self, text: &str) -> String {
        self.escape("1;32", text)
    }
    /// Bad news.
    pub fn bad(self, text: &str) -> String {
        self.escape("1;31", text)
    }
    /// A heading.
    pub fn strong(self, text: &str) -> String {
        self.escape("1", text)
    }

    fn escape(self, code: &str, text: &str) -> String {
        match self {
            Self::Colored => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// For error messages, which go to standard error.
pub fn for_errors(choice: Color) -> Paint {
    Paint::of(choice, &std::io::stderr())
}

/// Left-aligned columns, two spaces apart, the header first. Rows shorter than
/// the header end early; nothing is cut off.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut columns = Columns::of(header);
    for row in rows {
        columns.fit(row.iter().map(String::as_str));
    }
    let mut out = columns.line(header);
    for row in rows {
        out += &columns.line(row);
    }
    out
}

/// Left-aligned columns, two spaces apart, for rows that are printed as they are known.
#[derive(Clone, Debug)]
pub struct Columns(Vec<usize>);

impl Columns {
    /// As wide as `header`.
    pub fn of(header: &[&str]) -> Self {
        Self(header.iter().map(|cell| cell.chars().count()).collect())
    }

    /// At least as wide as these cells, too.
    pub fn fit<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        for (width, cell) in self.0.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }

    /// A row and a line break. A cell that is too long moves the rest of its row.
    pub fn line(&self, cells: &[impl AsRef<str>]) -> String {
        let mut text = String::new();
        for (cell, &width) in cells.iter().zip(&self.0) {
            let _ = write!(text, "{:width$}  ", cell.as_ref());
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    }
}

/// Columns after which lines are wrapped.
const COLUMNS_MAX: usize = 100;

/// `text` with its long lines broken at spaces, continued after `indent`
/// spaces. A word that is longer than a line stays whole.
pub fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut column = 0;
        for word in line.split_inclusive(' ') {
            let length = word.trim_end().chars().count();
            if column > indent && column + length > COLUMNS_MAX {
                out.truncate(out.trim_end().len());
                let _ = write!(out, "\n{:indent$}", "");
                column = indent;
            }
            out.push_str(word);
            column += word.chars().count();
        }
        out.push('\n');
    }
    out
}

/// A rate of work.
pub fn rate(amount: f64, unit: Unit, elapsed: std::time::Duration) -> String {
    about(amount / elapsed.as_secs_f64().max(1e-9), unit.per_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn tables_align_and_have_no_trailing_space() {
        let rows = [vec!["a".into(), "long cell".into()], vec!["bcd".into(), "x".into()]];
        assert_eq!(table(&["k", "v"], &rows), "k    v\na    long cell\nbcd  x\n");
    }

    #[test]
    fn rows_align_before_all_of_them_are_known() {
        let mut columns = Columns::of(&["k", "v", "w"]);
        columns.fit(["abc", ""]);
        assert_eq!(columns.line(&["k", "v", "w"]), "k    v  w\n");
        assert_eq!(columns.line(&["a", "long", ""]), "a    long\n");
    }

    #[test]
    fn long_lines_are_wrapped_and_words_kept() {
        let text = format!("  name {}\n  short\n", "word ".repeat(30));
        let lines = wrapped(&text, 7);
        assert!(lines.lines().all(|line| line.len() <= COLUMNS_MAX), "{lines}");
        assert_eq!(lines.split_whitespace().count(), text.split_whitespace().count());
        assert!(lines.lines().nth(1).unwrap().starts_with("       word"), "{lines}");
        let long = format!("{}\n", "x".repeat(200));
        assert_eq!(wrapped(&long, 4), long);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(rate(2e9, Unit::Flop, Duration::from_secs(1)), "2.000 GFLOP/s");
        assert_eq!(rate(3e15, Unit::Operations, Duration::from_secs(2)), "1.500 POPS");
    }
}
