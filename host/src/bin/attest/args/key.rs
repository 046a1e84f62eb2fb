//! Arguments of `attest key`.

use super::place;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

const KEY_EXAMPLES: &str = "\
Examples:
  attest key new
  attest key new --out miner.pem
  attest challenge --miner-id $(attest key show miner.pem)
  attest run --challenge @token.txt --key miner.pem

A key file is an Ed25519 private key as PKCS#8 in PEM, with mode 0600: what
`openssl genpkey -algorithm ed25519` writes can be read, and the other way round.
The default is attest/key.pem in the folder for configuration: XDG_CONFIG_HOME,
or .config in the home folder. The secret is never printed.";

/// `attest key`.
#[derive(Debug, Args)]
#[command(after_help = KEY_EXAMPLES)]
pub struct Key {
    /// What to do with it
    #[command(subcommand)]
    pub action: KeyAction,
}

/// What to do with a key.
#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Make a key, write it to a new file, and print its public half
    #[command(after_help = KEY_EXAMPLES)]
    New {
        /// The new file [default: attest/key.pem in the folder for configuration]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::output())]
        out: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the public half of a key, 64 hex digits
    #[command(after_help = KEY_EXAMPLES)]
    Show {
        /// The key file [default: attest/key.pem in the folder for configuration]
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
        file: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
