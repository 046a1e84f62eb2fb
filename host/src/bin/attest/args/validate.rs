//! Arguments of `attest validate`.

use super::{Ask, Makers, parse, place};
use attest::protocol::bound::OmittedShare;
use attest::protocol::signature::PublicKey;
use clap::{Args, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const VALIDATE_EXAMPLES: &str = "\
Examples:
  attest validate -- ssh miner attest respond
  attest validate --no-policy
  attest validate --dim 4096 --iterations 100 --max-duration 45s \\
    -- docker exec gpu0 attest respond
  attest validate --policy policy.toml -- ssh miner attest respond
  attest validate --kind memory -- ssh miner attest respond
  attest validate --key validator.pem --tcp miner-1:7420 --peer $MINER_1 \\
    --tcp miner-2:7420 --peer $MINER_2 --deadline 10m --json
  attest validate --key validator.pem --receipt-out receipt.json --result-out result.json \\
    -- ssh miner attest respond --key miner.pem

The command is started with its standard input and output on this program's, and
ended with its process group when the session is over. Challenges, nonces, coins and
verdicts are kept in the user's own ledger, or where --ledger says. Without a command
the session is held with the program that GPU_ATTESTOR_PATH names, on this machine (by
default with this program). With --tcp the miners at all addresses are challenged at
the same moment, each over TLS 1.3; every one must prove to hold a key named with
--peer, and each verdict is printed as soon as its session is over. SIGINT, SIGTERM and
--deadline settle what is out and print what is known; a second signal ends at once.
Without --policy the default policy sizes the challenge and judges the result; a CPU is
no GPU to it, and a session with one needs --no-policy or a policy that allows CPUs.
Whatever the miner does wrong is the verdict rejected, with a stable code;
docs/sessions.md lists them.

Exit codes: 0 verified, 1 rejected, 2 no verdict (this side failed, the command did not
reach the miner, the deadline passed), 130 and 143 a signal; of several sessions the
worst: 2 before 1 before 0.";

/// `attest validate`.
#[derive(Debug, Args)]
// The validator's key is that of --key; a caller that names another is told so.
#[command(after_help = VALIDATE_EXAMPLES, mut_arg("validator_id", |arg| arg.hide(true)))]
pub struct Validate {
    /// The command that reaches a miner, after --
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
    /// Dial this miner instead (HOST:PORT), over TLS; repeat for more at once
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse::parse_host_port,
        conflicts_with = "command",
        requires = "peers",
        requires = "key"
    )]
    pub tcp: Vec<String>,
    /// Public key that a miner must have (64 hex digits); with --tcp repeat for more
    #[arg(long = "peer", value_name = "KEY", id = "peers", conflicts_with = "miner_id")]
    pub peers: Vec<PublicKey>,
    /// What is demanded beyond the protocol, a TOML file [default: the policy that
    /// `attest policy init` prints]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub policy: Option<PathBuf>,
    /// Demand nothing beyond the protocol: neither time nor devices are judged
    #[arg(long, conflicts_with = "policy")]
    pub no_policy: bool,
    /// The validator's key file: challenges name it, and receipts are signed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub key: Option<PathBuf>,
    /// How long a miner may take to say hello: it may have to log in somewhere first. Its
    /// pongs have 5s, or as long as this if it is more [default: 60s; with --tcp 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_wait)]
    pub hello_within: Option<Duration>,
    /// Also send this many random bytes to the miner and have as many sent back, before the
    /// rounds: 64MiB, or 0 for none [default: what the policy asks for]
    #[arg(long, value_name = "SIZE", value_parser = parse::parse_network_bytes)]
    pub network: Option<u64>,
    /// End all sessions after this time: what is out is settled, what is known is printed
    /// [default: each ends by its own limits]
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_wait)]
    pub deadline: Option<Duration>,
    /// What the challenge asks for
    #[command(flatten)]
    pub ask: Ask,
    /// Share of the work whose omission the verdict's bound is about
    /// [default: that of the policy; with --no-policy 0.1]
    #[arg(long, value_name = "SHARE", value_parser = parse::parse_omitted_share)]
    pub omitted_share: Option<OmittedShare>,
    /// What makers of devices and machines sign
    #[command(flatten)]
    pub makers: Makers,
    /// Write the complete result to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::output())]
    pub result_out: Option<PathBuf>,
    /// Write the receipt to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::output())]
    pub receipt_out: Option<PathBuf>,
    /// Print JSON: an object a line for each session, as it ends
    #[arg(long)]
    pub json: bool,
}
