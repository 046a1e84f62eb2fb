//! Arguments of `attest machine-report`.

use super::{parse, place};
use clap::{Args, Subcommand, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  attest machine-report verify quote.bin
  attest machine-report verify report.bin --certificates vcek.der --json

Without --nonce a quote shows which processor signed it, and nothing about when. Quotes in
a result are checked by `attest verify` and `attest validate`, with the nonce of the result.
The makers' roots are part of this program; nothing is fetched.";

/// `attest machine-report`.
#[derive(Debug, Args)]
pub struct MachineReport {
    /// What to do
    #[command(subcommand)]
    pub action: MachineReportAction,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum MachineReportAction {
    /// Check a quote: signatures, certificates, nonce
    Verify(VerifyQuote),
}

/// `attest machine-report verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyQuote {
    /// The quote, as the kernel gave it (outblob): an SEV-SNP report or a TDX quote
    #[arg(value_name = "QUOTE", value_hint = ValueHint::FilePath, value_parser = place::source())]
    pub quote: OsString,
    /// What the kernel gave beside it (auxblob), with an SEV-SNP report's certificates
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::source())]
    pub auxiliary: Option<OsString>,
    /// Certificates of AMD's chips, in DER or PEM: a file, or a folder of files
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, value_parser = place::file())]
    pub certificates: Option<PathBuf>,
    /// The 64 bytes that the quote must have been asked for with, 128 hex digits
    #[arg(long, value_name = "HEX", value_parser = parse::parse_hex::<64>)]
    pub nonce: Option<[u8; 64]>,
    /// When certificates must be valid, as 2026-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse::parse_time)]
    pub at: Option<i64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
