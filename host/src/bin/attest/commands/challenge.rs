//! `attest challenge`: issues a challenge and prints its token.

use super::policy;
use crate::args::{self, LedgerPlace};
use crate::input;
use crate::outcome::{Done, Result, check_stdout, print};
use anyhow::{anyhow, ensure};
use attest::files::{self, Source};
use attest::mining::issue::{self, Request};
use attest::protocol::json::read_value;
use attest::session::clock::unix_ms;
use std::fmt::Display;

/// Longest specification file in bytes; a challenge has a fraction of it.
const SPEC_BYTES_MAX: u64 = 64 << 10;

/// Issues the challenge and prints or writes its token.
///
/// # Errors
/// An unreadable file, a bound that does not hold, no random bytes, a ledger that
/// fails.
pub fn run(args: &args::Challenge, ledger: Option<&LedgerPlace>) -> Result {
    if args.out.is_none() {
        check_stdout()?;
    }
    input::Inputs::default()
        .and_source("--from-file", args.from_file.as_deref())
        .and_source("--policy", args.sizing.policy.as_deref())
        .and_file("--ledger", crate::ledger::file(ledger).as_deref())
        .check(&[("--out", args.out.as_ref())])?;
    let from_file = match &args.from_file {
        Some(path) => read_request(&Source::of_path(path))?,
        None => Request::default(),
    };
    if from_file.validator_nonce.is_some() {
        tracing::warn!("the nonce comes from the file: a nonce must serve one challenge only");
    }
    let ledger = crate::ledger::chosen(ledger)?;
    let request = args.ask.request().or(from_file);
    request.kind()?;
    let request = policy::sized(&args.sizing, request)?;
    let challenge = issue::issue(&request)?;
    ensure!(
        i128::from(challenge.expires_at_unix_s()) * 1000 > i128::from(unix_ms()),
        "the challenge would have expired already, at {}\n\
         Leave issued_at and expires_at out of the file, or give a later expiry.",
        challenge.spec().expires_at
    );
    // On record before anybody can answer it.
    if let Some(ledger) = ledger {
        ledger.issue(&challenge, challenge.token(), unix_ms())?;
    }
    match &args.out {
        Some(path) => files::write_atomically(path, challenge.token())?,
        None => print(&format!("{}\n", challenge.token()))?,
    }
    Ok(Done::Ok)
}

fn read_request(source: &Source) -> Result<Request> {
    let text = source.read_text(SPEC_BYTES_MAX)?;
    let wrong = |what: &dyn Display| {
        anyhow!(
            "{} is not a challenge specification: {what}\n\
             It is a JSON object with any of the challenge's fields, such as {{\"matrix_dim\": 4096}}.",
            source.name()
        )
    };
    let value = read_value(text.as_bytes()).map_err(|error| wrong(&error))?;
    // `serde` would take an array for the fields in their order, too.
    if !value.is_object() {
        return Err(wrong(&"not a JSON object"));
    }
    serde_json::from_value(value).map_err(|error| wrong(&error))
}
