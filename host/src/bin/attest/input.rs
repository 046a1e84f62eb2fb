//! Reading what the arguments point to, within bounds.

use crate::outcome::Result;
use anyhow::bail;
use attest::executor::gpu::{PtxFile, PtxFileError};
use attest::files::Source;
use attest::protocol::challenge::{Challenge, TOKEN_BYTES_MAX};
use attest::protocol::receipt::Receipt;
use std::path::{Path, PathBuf};

/// Reads and checks the challenge that `--challenge` names.
///
/// # Errors
/// An unreadable source, or a token that is none.
pub fn challenge(typed: &str) -> Result<Challenge> {
    let source = Source::of_text(typed);
    if matches!(source, Source::Inline(_)) && is_path(typed) {
        bail!("{typed:?} is no token\nIf a file is meant, put @ before its path.");
    }
    // A line break may follow the token.
    let token = source.read_text(TOKEN_BYTES_MAX as u64 + 2)?;
    if token.trim().is_empty() {
        bail!("{} holds no token\nIssue one with `attest challenge`.", source.name());
    }
    Ok(Challenge::from_token(&token)?)
}

/// Whether this is the path of a file, which a token cannot be: base64 has no dot.
fn is_path(typed: &str) -> bool {
    typed.contains('.') || Path::new(typed).is_file()
}

/// Longest receipt file in bytes; a receipt has a fraction of it.
const RECEIPT_BYTES_MAX: u64 = 4096;

/// Reads the receipt that `--receipt` names.
///
/// # Errors
/// An unreadable source, or no receipt.
pub fn receipt(path: &str) -> Result<Receipt> {
    let text = Source::of_path(path).read_text(RECEIPT_BYTES_MAX)?;
    Ok(Receipt::from_json(text.as_bytes())?)
}

/// Reads the files that `--ptx` names.
///
/// # Errors
/// The first that is unreadable or cannot run an iteration.
pub fn ptx_files(paths: &[PathBuf]) -> Result<Vec<PtxFile>, PtxFileError> {
    paths.iter().map(|path| PtxFile::read(path)).collect()
}
