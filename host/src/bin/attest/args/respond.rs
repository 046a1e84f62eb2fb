//! Arguments of `attest respond`.

use super::{Answering, parse, place};
use attest::protocol::signature::PublicKey;
use clap::{Args, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

const RESPOND_EXAMPLES: &str = "\
Examples:
  attest validate -- ssh miner attest respond --key miner.pem
  attest respond --listen 0.0.0.0:7420 --key miner.pem --allow-validator $VALIDATOR
  attest respond --max-session 30m

Devices are opened, checked and measured before the hello; standard error says how long
that took. Work that they cannot do in the challenge's time is refused at once, and what
is not done by then is stopped.

Without --listen one session is held over standard input and output: nothing but
its messages goes to standard output. With --listen sessions come over TLS 1.3, from
the validators whose keys are named, one after the other; other peers are told
that the miner is busy. docs/sessions.md has messages, limits and codes.

Exit codes: 0 the validator said verified, 1 it said rejected, 2 there was no verdict.";

/// `attest respond`.
#[derive(Debug, Args)]
#[command(after_help = RESPOND_EXAMPLES)]
pub struct Respond {
    /// What answers
    #[command(flatten)]
    pub answering: Answering,
    /// The miner's key file: signs commitments and names the miner
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub key: Option<PathBuf>,
    /// Longest session, all in all (at most 24h) [default: 2h]
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_wait)]
    pub max_session: Option<Duration>,
    /// Listen here instead, over TLS
    #[arg(long, value_name = "ADDRESS:PORT", requires = "key", requires = "allowed")]
    pub listen: Option<String>,
    /// Public key of a validator that may connect (64 hex digits); repeat for more
    #[arg(long = "allow-validator", value_name = "KEY", id = "allowed", requires = "listen")]
    pub allowed: Vec<PublicKey>,
}
