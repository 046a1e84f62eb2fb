//! Arguments of `attest export`.

use super::place;
use attest::protocol::signature::EncodedKey;
use clap::{ArgGroup, Args, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

const EXPORT_EXAMPLES: &str = "\
Examples:
  attest export --in-toto result.json --challenge @token.txt --key validator.pem --out att.json
  attest export --in-toto result.json --challenge @token.txt --receipt receipt.json \\
    --verdict verdict.json --key validator.pem > att.json
  attest export --check att.json --signer $(attest key show validator.pem)
  attest export --check att.json --signer KEY --extract folder
  attest export --ear result.json --challenge @token.txt --verdict verdict.json \\
    --key validator.pem --out ear.jwt
  attest export --check ear.jwt --signer KEY --json
  attest verify folder/result.json --challenge @folder/token.txt --arrived-at unknown

The attestation is an in-toto Statement v1 about the GPUs, in a DSSE envelope
(docs/export.md); with --ear it is the verdict alone, as a JSON Web Token. The check
shows who vouches for what; the work itself is verified by `attest verify`.";

/// `attest export`.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
#[command(group(ArgGroup::new("direction").required(true).args(["in_toto", "ear", "check"])))]
pub struct Export {
    /// Wrap this result (- for standard input) as a signed in-toto attestation
    #[arg(
        long,
        value_name = "RESULT",
        value_hint = ValueHint::FilePath,
        requires_all = ["challenge", "key"], value_parser = place::source())]
    pub in_toto: Option<OsString>,
    /// Sign the verdict on this result (- for standard input) as an EAT attestation result, a JWT
    #[arg(
        long,
        value_name = "RESULT",
        value_hint = ValueHint::FilePath,
        conflicts_with = "receipt",
        requires_all = ["challenge", "key", "verdict"], value_parser = place::source())]
    pub ear: Option<OsString>,
    /// The result's challenge: a token, @FILE, or - for standard input
    #[arg(long, value_name = "TOKEN|@FILE|-", conflicts_with = "check", value_parser = place::token())]
    pub challenge: Option<OsString>,
    /// The validator's receipt of a live session, a JSON file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "check", value_parser = place::source())]
    pub receipt: Option<OsString>,
    /// The verdict on the result, as `attest verify --json` printed it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "check", value_parser = place::source())]
    pub verdict: Option<OsString>,
    /// The signer's key file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "check", value_parser = place::file())]
    pub key: Option<PathBuf>,
    /// Write the attestation to this file instead of standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "check", value_parser = place::output())]
    pub out: Option<PathBuf>,
    /// Check this attestation (- for standard input) and show what it says
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "signer", value_parser = place::source())]
    pub check: Option<OsString>,
    /// Ed25519 public key of the signer that is expected (64 hex digits)
    #[arg(long, value_name = "KEY", conflicts_with_all = ["in_toto", "ear"])]
    pub signer: Option<EncodedKey>,
    /// Write result.json, token.txt and so on into this folder, which is made
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, conflicts_with_all = ["in_toto", "ear"], value_parser = place::file())]
    pub extract: Option<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["in_toto", "ear"])]
    pub json: bool,
}
