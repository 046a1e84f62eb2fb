//! Arguments of `attest man`.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// `attest man`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  attest man ~/.local/share/man/man1")]
pub struct Man {
    /// The folder; it is made if it is not there
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath, value_parser = super::place::file())]
    pub folder: PathBuf,
}
