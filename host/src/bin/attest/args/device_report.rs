//! Arguments of `attest device-report`.

use super::{Vendor, parse, place};
use clap::{Args, Subcommand, ValueHint};
use std::ffi::OsString;

const EXAMPLES: &str = "\
Examples:
  attest device-report verify report.txt --certificates chain.pem
  attest device-report verify report.bin --certificates chain.pem --rim manifests --json
  attest device-report verify report.bin --certificates chain.pem --ocsp responses

Without --nonce a report shows which device signed it, and nothing about when. Reports
in a result are checked by `attest verify` and `attest validate`, with the nonce of their
lane's work. The vendor's roots are part of this program; nothing is fetched.";

/// `attest device-report`.
#[derive(Debug, Args)]
pub struct DeviceReport {
    /// What to do
    #[command(subcommand)]
    pub action: DeviceReportAction,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum DeviceReportAction {
    /// Check a report: signature, certificates, nonce, measurements
    Verify(VerifyReport),
}

/// `attest device-report verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyReport {
    /// The report: an SPDM request and its response, as bytes or in hexadecimal
    #[arg(value_name = "REPORT", value_hint = ValueHint::FilePath, value_parser = place::source())]
    pub report: OsString,
    /// The device's certificates in PEM, its own first and the root last
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::source())]
    pub certificates: OsString,
    /// The nonce that the device must have been asked with, 64 hex digits
    #[arg(long, value_name = "HEX", value_parser = parse::parse_hex::<32>)]
    pub nonce: Option<[u8; 32]>,
    /// What vendors of devices sign
    #[command(flatten)]
    pub vendor: Vendor,
    /// When certificates must be valid, as 2026-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse::parse_time)]
    pub at: Option<i64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
