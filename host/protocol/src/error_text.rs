//! The text of this crate's errors, taken apart: its first line is what happened,
//! the second what to try.
//!
//! Deliberately lacks: any knowledge of an error but its text.

use std::fmt::Display;

/// The first line of an error's text, for where its advice does not help.
pub fn what_happened(error: impl Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// An error's whole text, for where it must not have more than a line.
pub fn in_one_line(error: impl Display) -> String {
    error.to_string().replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::{in_one_line, what_happened};

    #[test]
    fn texts_have_their_first_line_or_one_line() {
        let text = "it failed\nTry again.";
        assert_eq!(what_happened(text), "it failed");
        assert_eq!(in_one_line(text), "it failed; Try again.");
        assert_eq!((what_happened(""), in_one_line("")), (String::new(), String::new()));
    }
}
