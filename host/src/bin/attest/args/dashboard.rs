//! Arguments of `attest dashboard`.

use attest::dashboard::{NEWEST_DEFAULT, NEWEST_MAX};
use clap::Args;
use std::net::SocketAddr;

const DASHBOARD_EXAMPLES: &str = "\
Examples:
  attest dashboard
  attest dashboard --ledger postgres://viewer@db/attest --newest 20000
  attest dashboard --ledger ledger.sqlite --listen 127.0.0.1:0
  attest dashboard --listen 127.0.0.1:7421 --host attest.example.com

The address to open is printed on standard output. The ledger is only read, also while
validators write it. There is no login: listen on loopback, and put a proxy with a login
before it for others. --host names what that proxy is called. docs/dashboard.md has more.";

/// `attest dashboard`.
#[derive(Debug, Args)]
#[command(after_help = DASHBOARD_EXAMPLES)]
pub struct Dashboard {
    /// Listen here; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7421")]
    pub listen: SocketAddr,
    /// Answer under this name, too: what a proxy is called (at most 16)
    #[arg(long = "host", value_name = "NAME", value_parser = host)]
    pub hosts: Vec<String>,
    /// Show the newest COUNT challenges
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = NEWEST_DEFAULT,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(NEWEST_MAX))
    )]
    pub newest: u32,
}

/// A name as a Host header has it, without a port.
fn host(text: &str) -> Result<String, String> {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    if text.is_empty() || text.len() > 253 || !text.chars().all(is_taken) {
        return Err("expected a name such as attest.example.com, without a port".to_owned());
    }
    Ok(text.to_owned())
}
