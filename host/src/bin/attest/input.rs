//! Reading what the arguments point to, within bounds.

use crate::outcome::Result;
use anyhow::bail;
use attest::protocol::challenge::{Challenge, TOKEN_BYTES_MAX};
use attest::session::files::Source;

/// Reads and checks the challenge that `--challenge` names.
///
/// # Errors
/// An unreadable source, or a token that is none.
pub fn challenge(typed: &str) -> Result<Challenge> {
    let source = Source::of_text(typed);
    // A line break may follow the token.
    let token = source.read_text(TOKEN_BYTES_MAX as u64 + 2)?;
    if token.trim().is_empty() {
        bail!("{} holds no token\nIssue one with `attest challenge`.", source.name());
    }
    Ok(Challenge::from_token(&token)?)
}
