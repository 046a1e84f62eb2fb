//! Which ledger is meant by `--ledger`.

use crate::args::LedgerPlace;
use crate::outcome::Result;
use anyhow::{anyhow, bail};
use attest::ledger::{self, Ledger, Location};
use std::path::PathBuf;
use std::sync::Arc;

/// Opens the ledger that `typed` names, for commands that may have one: `default`
/// is the user's own, `none` and an absent option mean no ledger.
///
/// # Errors
/// No such ledger, and none can be made.
pub fn chosen(typed: Option<&LedgerPlace>) -> Result<Option<Arc<dyn Ledger>>> {
    Ok(match typed {
        None | Some(LedgerPlace::None) => None,
        Some(typed) => Some(ledger::open(&location(typed)?)?),
    })
}

/// The place of the ledger that `typed` names, or of the user's own; `None` if there is to be
/// none.
///
/// # Errors
/// No place of a ledger.
pub fn place(typed: Option<&LedgerPlace>) -> Result<Option<Location>> {
    match typed.unwrap_or(&LedgerPlace::Default) {
        LedgerPlace::None => Ok(None),
        typed => location(typed).map(Some),
    }
}

/// Opens the ledger that `typed` names, for whoever settles what was issued before:
/// none is made, as nothing is on record in a new one; `none` and an absent option
/// mean no ledger.
///
/// # Errors
/// No such ledger.
pub fn of_issuer(typed: Option<&LedgerPlace>) -> Result<Option<Arc<dyn Ledger>>> {
    match typed {
        None | Some(LedgerPlace::None) => Ok(None),
        Some(typed) => existing(Some(typed)).map(Some),
    }
}

/// The file of the ledger that `typed` names, there or not, if it is in one.
pub fn file(typed: Option<&LedgerPlace>) -> Option<PathBuf> {
    match location(typed.filter(|typed| **typed != LedgerPlace::None)?).ok()? {
        Location::File(path) => Some(path),
        Location::Postgres(_) => None,
    }
}

/// Opens the ledger that `typed` names, or the user's own, for commands that make none.
///
/// # Errors
/// No such ledger.
pub fn existing(typed: Option<&LedgerPlace>) -> Result<Arc<dyn Ledger>> {
    Ok(ledger::open(&existing_location(typed)?)?)
}

/// Opens the ledger that `typed` names, or the user's own, for commands that only look:
/// it may be one that cannot be written.
///
/// # Errors
/// No such ledger.
pub fn existing_to_read(typed: Option<&LedgerPlace>) -> Result<Arc<dyn Ledger>> {
    Ok(ledger::open_to_read(&existing_location(typed)?)?)
}

/// Opens the ledger that `typed` names, or the user's own, for reading only: nothing is
/// written to it, though it could be. Says where it is, without a password.
///
/// # Errors
/// No such ledger.
pub fn read_only(
    typed: Option<&LedgerPlace>,
    options: ledger::Options,
) -> Result<(Arc<dyn Ledger>, String)> {
    let location = existing_location(typed)?;
    Ok((ledger::open_read_only(&location, options)?, location.to_string()))
}

fn existing_location(typed: Option<&LedgerPlace>) -> Result<Location> {
    if typed == Some(&LedgerPlace::None) {
        bail!("--ledger none leaves nothing to look at\nName a ledger, or leave the option out.");
    }
    let location = location(typed.unwrap_or(&LedgerPlace::Default))?;
    if let Location::File(path) = &location
        && !path.exists()
    {
        bail!(
            "there is no ledger {location}\n`attest challenge --ledger default` makes the user's \
             own; name another with --ledger."
        );
    }
    Ok(location)
}

fn location(typed: &LedgerPlace) -> Result<Location> {
    match typed {
        LedgerPlace::None => bail!("there is no ledger\nName one with --ledger."),
        LedgerPlace::Default => Ok(Location::default_path(&state_folder()?)),
        LedgerPlace::At(place) => match place.to_str() {
            Some(text) => Ok(Location::parse(text)?),
            // No address has other bytes.
            None => Ok(Location::File(place.into())),
        },
    }
}

/// $XDG_STATE_HOME, by the XDG base directory specification.
fn state_folder() -> Result<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    folder("XDG_STATE_HOME")
        .or_else(|| Some(folder("HOME")?.join(".local/state")))
        .ok_or_else(|| anyhow!("HOME and XDG_STATE_HOME are not set\nName a file with --ledger."))
}
