//! Arguments of `attest agent` and `attest fleet`.

use super::{Answering, Ask, Makers, parse, place};
use attest::protocol::signature::PublicKey;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

const AGENT_EXAMPLES: &str = "\
Examples:
  attest agent --nats nats://127.0.0.1:4222 --key miner.pem
  attest agent --nats tls://nats.example.org:4222 --tls-ca ca.pem --key miner.pem

Connects outwards only, and answers the sessions of a fleet's validators, one at a time,
until SIGTERM: then it finishes the session that it has; a second signal stops that too.
docs/fleet.md has subjects, states and permissions.

Exit codes: 0 ended by SIGINT or SIGTERM, 2 no key, no device, 77 the server refuses the key,
130 or 143 stopped by a second signal.";

const FLEET_EXAMPLES: &str = "\
Examples:
  attest fleet run --nats nats://127.0.0.1:4222 --schedule schedule.toml --policy policy.toml
  attest fleet miners --nats nats://127.0.0.1:4222
  attest fleet challenge $MINER --now --nats nats://127.0.0.1:4222
  attest fleet authorize --validator $VALIDATOR --miner $MINER > accounts.conf";

/// Which server.
#[derive(Debug, Clone, Args)]
pub struct Nats {
    /// NATS server: nats://HOST:PORT or tls://HOST:PORT, several with commas between
    #[arg(long, value_name = "URL", env = "ATTEST_NATS")]
    pub nats: String,
    /// Certificates of authorities to trust besides the system's, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub tls_ca: Option<PathBuf>,
}

/// `attest agent`.
#[derive(Debug, Args)]
#[command(after_help = AGENT_EXAMPLES)]
pub struct Agent {
    /// Where the fleet is
    #[command(flatten)]
    pub nats: Nats,
    /// The miner's key file: signs commitments, and is its NATS user
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub key: PathBuf,
    /// What answers
    #[command(flatten)]
    pub answering: Answering,
    /// Longest session, all in all (at most 24h) [default: 2h]
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_wait)]
    pub max_session: Option<Duration>,
    /// Serve /metrics for Prometheus, /healthz and /readyz here, HOST:PORT
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
}

/// `attest fleet`.
#[derive(Debug, Args)]
#[command(after_help = FLEET_EXAMPLES)]
pub struct Fleet {
    /// What to do
    #[command(subcommand)]
    pub action: FleetAction,
}

/// What to do with a fleet.
#[derive(Debug, Subcommand)]
pub enum FleetAction {
    /// Run a validator: plan campaigns, hold sessions, record what they come to
    Run(Box<FleetRun>),
    /// Show how many agents, jobs and sessions there are
    Status(FleetLook),
    /// List miners and what they do
    Miners(FleetLook),
    /// List campaigns and what they came to
    Campaigns(FleetLook),
    /// Show a miner and its sessions
    Show(FleetShow),
    /// Challenge miners outside of the schedule, all at the same moment
    Challenge(FleetChallenge),
    /// Print a nats-server configuration that gives each key its own subjects
    Authorize(FleetAuthorize),
}

/// `attest fleet run`.
#[derive(Debug, Args)]
pub struct FleetRun {
    /// Where the fleet is
    #[command(flatten)]
    pub nats: Nats,
    /// The validator's key file: its NATS user; challenges name it, and receipts are signed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub key: Option<PathBuf>,
    /// When miners are challenged, a TOML file [default: twice a day]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub schedule: Option<PathBuf>,
    /// What is demanded beyond the protocol, a TOML file [default: the policy that
    /// `attest policy init` prints]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub policy: Option<PathBuf>,
    /// Demand nothing beyond the protocol
    #[arg(long, conflicts_with = "policy")]
    pub no_policy: bool,
    /// Most sessions at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub sessions: u32,
    /// Serve /metrics for Prometheus, /healthz and /readyz here, HOST:PORT
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// What challenges ask for
    #[command(flatten)]
    pub ask: Ask,
    /// What makers of devices and machines sign
    #[command(flatten)]
    pub makers: Makers,
}

/// Which fleet to look at.
#[derive(Debug, Args)]
pub struct FleetLook {
    /// Where the fleet is
    #[command(flatten)]
    pub nats: Nats,
    /// A validator's key file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = place::file())]
    pub key: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `attest fleet show`.
#[derive(Debug, Args)]
pub struct FleetShow {
    /// The miner's public key
    pub miner: PublicKey,
    /// Of which fleet
    #[command(flatten)]
    pub look: FleetLook,
}

/// `attest fleet challenge`.
#[derive(Debug, Args)]
pub struct FleetChallenge {
    /// The miners' public keys
    #[arg(required = true)]
    pub miners: Vec<PublicKey>,
    /// Of which fleet
    #[command(flatten)]
    pub look: FleetLook,
    /// Now, and wait for what comes of it
    #[arg(long)]
    pub now: bool,
    /// At a random time within so long
    #[arg(long, value_name = "DURATION", value_parser = parse::parse_wait, conflicts_with = "now", default_value = "10m")]
    pub within: Duration,
}

/// `attest fleet authorize`.
#[derive(Debug, Args)]
pub struct FleetAuthorize {
    /// A validator's public key; repeat for more
    #[arg(long = "validator", value_name = "KEY")]
    pub validators: Vec<PublicKey>,
    /// A miner's public key; repeat for more
    #[arg(long = "miner", value_name = "KEY")]
    pub miners: Vec<PublicKey>,
}
