//! Where in a TOML file something is wrong: file, line and column, the line itself, and what
//! is allowed there. Policies, schedules and tables of models share it.
//!
//! Guarantees: errors are two lines of bounded length, and show nothing that a terminal
//! would not print as itself.
//! Deliberately lacks: any knowledge of fields.

use crate::protocol::json::printable;
use serde::de::DeserializeOwned;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Something is wrong at one place of a TOML file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {what}, in `{text}`\n{allowed}")]
pub struct Misplaced {
    /// The file.
    pub name: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// The line as it stands in the file.
    pub text: String,
    /// What is allowed.
    pub allowed: String,
}

/// The error at a place of the text; without one, at its start.
pub(crate) fn at(
    name: &str,
    text: &str,
    span: Option<Range<usize>>,
    what: &str,
    allowed: String,
) -> Misplaced {
    let mut start = span.map_or(0, |span| span.start).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_text = text[line_start..].lines().next().unwrap_or("").trim();
    Misplaced {
        name: name.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        what: printable(&what),
        text: printable(&line_text),
        allowed,
    }
}

/// A file's text as a `T`; `or_else` is said of what is allowed if the parser does not say
/// that.
///
/// # Errors
/// The first thing that is no TOML, or no `T`.
pub(crate) fn parse<T: DeserializeOwned>(
    text: &str,
    name: &str,
    or_else: &str,
) -> Result<T, Misplaced> {
    toml::from_str(text).map_err(|error| {
        let (what, allowed) = in_two(error.message(), or_else);
        at(name, text, error.span(), &what, allowed)
    })
}

/// The parser's words in two: what is wrong, and what it expected instead; if it does not say
/// that, `or_else`.
fn in_two(message: &str, or_else: &str) -> (String, String) {
    let message = message.trim_end();
    let (what, expected) = match message.split_once(", expected ") {
        Some((what, expected)) => (what, format!("Allowed is {}.", expected.trim_end())),
        None => (message, or_else.to_owned()),
    };
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    (one_line(what), one_line(&expected))
}

/// Where the value of a field stands in a text that is TOML; of the whole document if
/// `table` is empty.
pub(crate) fn place(text: &str, table: &str, field: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let inner = match table {
        "" => document.get_ref(),
        _ => match document.get_ref().get(table)?.get_ref() {
            DeValue::Table(inner) => inner,
            _ => return None,
        },
    };
    Some(inner.get(field)?.span())
}

/// Likewise of a field of the entry of this number in an array of tables, or of the entry.
pub(crate) fn place_in_entry(
    text: &str,
    array: &str,
    index: usize,
    field: &str,
) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let DeValue::Array(entries) = document.get_ref().get(array)?.get_ref() else { return None };
    let entry = entries.get(index)?;
    match entry.get_ref() {
        DeValue::Table(inner) => Some(inner.get(field).map_or(entry.span(), |value| value.span())),
        _ => None,
    }
}
