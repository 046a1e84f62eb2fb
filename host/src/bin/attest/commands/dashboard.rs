//! `attest dashboard`: a read-only page over a ledger, until a signal comes.

use crate::args::{self, LedgerPlace};
use crate::outcome::{Done, Result, check_stdout, note, print};
use crate::signals::Stop;
use anyhow::bail;
use attest::dashboard::{HOSTS_MAX, Options, listen};
use attest::http::Limits;
use attest::ledger;
use std::time::Duration;

/// How long a request may wait for the ledger.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the command may take to end, on a machine that is busy.
const END: Duration = Duration::from_secs(20);

/// Serves the page until SIGINT or SIGTERM.
///
/// # Errors
/// No such ledger, or an address that is taken.
pub fn run(args: &args::Dashboard, typed: Option<&LedgerPlace>) -> Result {
    if args.hosts.len() > HOSTS_MAX {
        bail!("{} names are too many\nGive --host {HOSTS_MAX} times at most.", args.hosts.len());
    }
    check_stdout()?;
    let stop = Stop::listen()?;
    // To be stopped is how it ends: with code 0, also if that takes a moment.
    stop.settle_within(END);
    let patience = ledger::Options { patience: PATIENCE, ..ledger::Options::default() };
    let (ledger, place) = crate::ledger::read_only(typed, patience)?;
    let runtime = super::runtime()?;
    let options = Options {
        ledger,
        place: place.clone(),
        listen: args.listen,
        hosts: args.hosts.clone(),
        newest: args.newest,
        limits: Limits::default(),
    };
    let done = runtime.block_on(async {
        let listening = tokio::select! {
            listening = listen(options) => listening?,
            () = super::stopped(&stop) => return Ok(Done::Ok),
        };
        let address = listening.address();
        if !address.ip().is_loopback() {
            note(&format!(
                "warning: {address} can be reached from other machines, and there is no login: \
                 whoever reaches it reads the ledger"
            ));
        }
        print(&format!("http://{address}/\n"))?;
        note(&format!("dashboard of {place}, read-only; Ctrl+C ends it"));
        tokio::select! {
            () = listening.serve() => Ok(Done::CouldNotRun),
            () = super::stopped(&stop) => Ok(Done::Ok),
        }
    });
    // A ledger that does not answer is not waited for.
    runtime.shutdown_background();
    done
}
