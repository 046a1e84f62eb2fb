//! Reading what the arguments point to, within bounds.

use crate::outcome::Result;
use anyhow::bail;
use attest::appraisal::models::{self, MODELS_BYTES_MAX, ModelTable};
use attest::files::{self, Source};
use attest::protocol::challenge::{Challenge, TOKEN_BYTES_MAX};
use attest::protocol::receipt::Receipt;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The file of `--models`: no output may be written over it.
static MODELS: OnceLock<PathBuf> = OnceLock::new();

/// Has this run judge by the table of models in this file.
///
/// # Errors
/// An unreadable file, or no table.
pub fn models(path: &Path) -> Result<()> {
    let source = Source::File(path.to_owned());
    let text = source.read_text(MODELS_BYTES_MAX as u64)?;
    models::put_in_force(ModelTable::from_toml(&text, &source.name())?)?;
    let _ = MODELS.set(path.to_owned());
    Ok(())
}

/// What a command reads, by the options that name it.
#[derive(Default)]
pub struct Inputs(Vec<(&'static str, Source)>);

impl Inputs {
    /// And what `typed` names: `-`, `@FILE` or the text itself.
    pub fn and_text(mut self, name: &'static str, typed: Option<&OsStr>) -> Self {
        self.0.extend(typed.map(|typed| (name, Source::of_text(typed))));
        self
    }

    /// And what `typed` names: `-` or a file.
    pub fn and_source(mut self, name: &'static str, typed: Option<&OsStr>) -> Self {
        self.0.extend(typed.map(|typed| (name, Source::of_path(typed))));
        self
    }

    /// And this file.
    pub fn and_file(mut self, name: &'static str, path: Option<&Path>) -> Self {
        self.0.extend(path.map(|path| (name, Source::File(path.to_owned()))));
        self
    }

    /// Checks, before any work, that standard input is read once and that nothing of
    /// this is written over by `outputs`, nor one of those by another.
    ///
    /// # Errors
    /// The first two that are one.
    pub fn check(&self, outputs: &[(&str, Option<&PathBuf>)]) -> Result<()> {
        let mut stdin = self.0.iter().filter(|(_, source)| *source == Source::Stdin);
        if let (Some((first, _)), Some((second, _))) = (stdin.next(), stdin.next()) {
            bail!("{first} and {second} can't both come from standard input\nPut one into a file.");
        }
        let outputs: Vec<(&str, &Path)> = outputs
            .iter()
            .filter_map(|(name, path)| Some((*name, path.as_ref()?.as_path())))
            .collect();
        let inputs = self.0.iter().filter_map(|(name, source)| Some((*name, source.path()?)));
        let inputs = inputs.chain(MODELS.get().map(|path| ("--models", path.as_path())));
        Ok(files::check_apart(&outputs, &inputs.collect::<Vec<_>>())?)
    }
}

/// Reads and checks the challenge that `--challenge` names.
///
/// # Errors
/// An unreadable source, or an invalid token.
pub fn challenge(typed: &OsStr) -> Result<Challenge> {
    let source = Source::of_text(typed);
    if matches!(source, Source::Inline(_)) && is_path(typed) {
        bail!("{typed:?} is not a token\nIf a file is meant, put @ before its path.");
    }
    // A line break may follow the token.
    let token = source.read_text(TOKEN_BYTES_MAX as u64 + 2)?;
    if token.trim().is_empty() {
        bail!("{} holds no token\nIssue one with `attest challenge`.", source.name());
    }
    Ok(Challenge::from_token(&token)?)
}

/// Whether this is the path of a file, which a token cannot be: base64 has no dot.
fn is_path(typed: &OsStr) -> bool {
    typed.as_encoded_bytes().contains(&b'.') || Path::new(typed).is_file()
}

/// Longest receipt file in bytes; a receipt has a fraction of it.
const RECEIPT_BYTES_MAX: u64 = 4096;

/// Reads the receipt that `--receipt` names.
///
/// # Errors
/// An unreadable source, or no receipt.
pub fn receipt(path: &OsStr) -> Result<Receipt> {
    let text = Source::of_path(path).read_text(RECEIPT_BYTES_MAX)?;
    Ok(Receipt::from_json(text.as_bytes())?)
}
