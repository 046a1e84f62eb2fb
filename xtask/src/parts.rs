//! What a command needs on this machine, found or not: the rows of
//! `cargo xtask doctor`, and the text of "not found" errors.

use std::env;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One thing that something needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Whether it is there.
    pub state: State,
    /// Where it was found or what it says about itself; or else what to do.
    pub detail: String,
}

/// Whether a part is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is.
    Present,
    /// It isn't, and nothing works without it.
    Missing,
    /// It isn't, and something works less well, or another way serves.
    Optional,
    /// Not looked for: another way to have all of the others.
    Alternative,
}

impl Part {
    /// A part that is there if `found` is; or else is `absent`, to be got as
    /// `how` says.
    pub fn new(name: &str, found: Option<String>, absent: State, how: &str) -> Part {
        let (state, detail) = match found {
            Some(detail) => (State::Present, detail),
            None => (absent, how.to_owned()),
        };
        Part { name: name.to_owned(), state, detail }
    }
}

/// The missing parts, one a line, each with what to do.
pub fn missing(parts: &[Part]) -> Vec<String> {
    let missing = parts.iter().filter(|part| part.state == State::Missing);
    missing.map(|part| format!("{}: {}", part.name, part.detail)).collect()
}

/// The first of `folders` that has a file `name`.
pub fn find_in(folders: impl IntoIterator<Item = PathBuf>, name: &str) -> Option<PathBuf> {
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The folders in an environment variable such as PATH.
pub fn folders_in(variable: &str) -> Vec<PathBuf> {
    env::var_os(variable).map(|value| env::split_paths(&value).collect()).unwrap_or_default()
}

/// A path as text.
pub fn show(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_parts_are_missing() {
        let parts = [
            Part::new("a", Some("here".into()), State::Missing, "get it"),
            Part::new("b", None, State::Missing, "get it"),
            Part::new("c", None, State::Optional, "get it"),
        ];
        assert_eq!(missing(&parts), ["b: get it"]);
    }
}
