//! `attest report`: a page to look at of results and their verdict.

use super::makers::Makers;
use super::{policy, verify};
use crate::args::{self, LedgerPlace, ROUNDS_MAX};
use crate::input::{self, Inputs};
use crate::outcome::{Done, Result, note};
use anyhow::{Context as _, bail};
use attest::files::{self, Source};
use attest::judging::Terms;
use attest::ledger::{Entry, Filter, Ledger, Seen};
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Digest;
use attest::protocol::digest::Uuid;
use attest::protocol::result::{FormError, ResultDoc};
use attest::protocol::signature::EncodedKey;
use attest::protocol::time;
use attest::protocol::verdict::Outcome;
use attest::report::{History, Origin, Report, Round, Subject, Told, VERDICT_BYTES_MAX};
use attest::session::clock::unix_ms;
use serde::Deserialize;
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;

/// Reads what was typed, verifies it if no verdict is given, and writes the page; the exit
/// code is the verdict.
///
/// # Errors
/// An unreadable source, results and challenges that do not belong together, no means to
/// recompute, nowhere to write.
pub fn run(args: &args::Report, ledger: Option<&LedgerPlace>) -> Result {
    let inputs = args.checks.and_inputs(Inputs::default());
    let inputs = inputs.and_source("--verdict", args.verdict.as_deref());
    let inputs =
        args.results.iter().fold(inputs, |all, typed| all.and_source("RESULT", Some(typed)));
    let all = |all: Inputs, typed| all.and_text("--challenge", Some(typed));
    args.challenges
        .iter()
        .map(|typed| typed.as_os_str())
        .fold(inputs, all)
        .check(&[("--out", Some(&args.out))])?;
    files::check_writable(&args.out)?;
    let (told, cases, origin) = match &args.verdict {
        Some(path) => given(args, path)?,
        None => verified(args, ledger)?,
    };
    let origin = match &origin {
        Some(file) => Origin::Given(file),
        None => Origin::Verified,
    };
    let rounds: Vec<Round<'_>> = cases
        .iter()
        .map(|case| Round {
            number: case.round,
            challenge: &case.challenge,
            result: case.read.as_ref().and_then(|read| read.as_ref().ok()),
        })
        .collect();
    let made_at = now()?;
    let report = Report { made_at: &made_at, origin, told: &told, rounds: &rounds };
    files::write_atomically(&args.out, &attest::report::page(&report))?;
    note(&format!("written: {}", files::shown_path(&args.out)));
    Ok(match told.outcome() {
        Outcome::Verified => Done::Ok,
        Outcome::Rejected => Done::Rejected,
        Outcome::CouldNotRun => Done::CouldNotRun,
    })
}

/// When the page is made.
///
/// # Errors
/// The clock is before 1970 or after 9999.
pub(super) fn now() -> Result<String> {
    time::format(jiff::Timestamp::now().as_second())
        .context("the clock shows no year between 1970 and 9999\nSet it.")
}

/// Challenges of a page of a ledger's history.
const HISTORY_MAX: usize = 5000;

/// Writes the page of what is on record of a miner, a device or everybody.
///
/// # Errors
/// The ledger fails, or there is nowhere to write.
pub(super) fn history(
    ledger: &dyn Ledger,
    miner: Option<EncodedKey>,
    device: Option<Uuid>,
    out: &Path,
) -> Result<()> {
    let mut entries: Vec<(Entry, Vec<Seen>)> = Vec::new();
    let mut filter = Filter { miner, device, limit: 500, ..Filter::default() };
    let is_cut = loop {
        let page = ledger.list(&filter)?;
        let Some(last) = page.last() else { break false };
        filter.after = Some((last.issued_unix_ms, last.challenge));
        for entry in page {
            // Another process may have pruned it meanwhile.
            entries.extend(ledger.show(&entry.challenge)?);
        }
        if entries.len() > HISTORY_MAX {
            entries.truncate(HISTORY_MAX);
            break true;
        }
    };
    entries.reverse();
    let subject = match (miner, device) {
        (Some(key), _) => Subject::Miner(key.to_string()),
        (None, Some(uuid)) => Subject::Device(uuid.to_string()),
        (None, None) => Subject::All,
    };
    let (made_at, made_unix_ms) = (now()?, unix_ms());
    let history = History { made_at: &made_at, made_unix_ms, subject, entries: &entries, is_cut };
    files::write_atomically(out, &attest::report::history_page(&history))?;
    note(&format!("written: {}", files::shown_path(out)));
    Ok(())
}

/// A challenge and its result, if there is one.
struct Case {
    round: usize,
    challenge: Challenge,
    read: Option<Result<ResultDoc, FormError>>,
}

/// What is shown, and the file that the verdict is from.
type Shown = (Told, Vec<Case>, Option<String>);

/// By a verdict of somebody, who may be this validator.
fn given(args: &args::Report, path: &OsStr) -> Result<Shown> {
    let source = Source::of_path(path);
    let text = source.read_text(VERDICT_BYTES_MAX)?;
    let told = Told::read(text.trim_end())?;
    let mut cases = challenges(args)?;
    for (round, token) in told.tokens().take(ROUNDS_MAX) {
        let challenge = Challenge::from_token(token)
            .with_context(|| format!("round {round} of the verdict has an invalid challenge"))?;
        if !cases.iter().any(|case| case.challenge.digest() == challenge.digest()) {
            cases.push(Case { round, challenge, read: None });
        }
    }
    read_results(args, &mut cases)?;
    for case in &mut cases {
        match &case.read {
            Some(Ok(result)) => case.round = told.fits(&case.challenge, result)?,
            Some(Err(form)) => bail!(
                "a result has the wrong form: {form}\nLeave it out: there is nothing in it to show."
            ),
            None => {}
        }
    }
    cases.sort_by_key(|case| case.round);
    Ok((told, cases, Some(source.name())))
}

/// By verifying it now.
fn verified(args: &args::Report, ledger: Option<&LedgerPlace>) -> Result<Shown> {
    if args.results.len() > 1 && (args.checks.receipt.is_some() || args.checks.elapsed.is_some()) {
        bail!(
            "--receipt and --elapsed are of one result, and {} are given\nReport on each by itself, or give the session\u{2019}s verdict.",
            args.results.len()
        );
    }
    let policy = args.checks.policy.as_deref().map(policy::read).transpose()?;
    let makers = Makers::read(&args.checks.makers)?;
    let terms = Terms {
        policy: policy.as_ref(),
        omitted_share: args.checks.omitted_share,
        devices: makers.devices(),
        machine: makers.machine(),
    };
    let mut cases = challenges(args)?;
    read_results(args, &mut cases)?;
    let ledger = crate::ledger::of_issuer(ledger)?;
    let mut verdicts = Vec::new();
    for case in &cases {
        let Some(read) = &case.read else {
            bail!(
                "challenge {} has no result here\nGive its result, or leave the challenge out.",
                case.challenge.digest()
            );
        };
        let verdict =
            verify::verdict(&args.checks, terms, ledger.as_deref(), &case.challenge, read)?;
        verdicts.push((case.challenge.work().challenge_type(), serde_json::to_value(&verdict)?));
    }
    Ok((Told::of_all(&verdicts)?, cases, None))
}

/// The challenges that were typed, without results.
fn challenges(args: &args::Report) -> Result<Vec<Case>> {
    if args.challenges.len() > ROUNDS_MAX {
        bail!(
            "{} challenges are too many\nA report has at most {ROUNDS_MAX}.",
            args.challenges.len()
        );
    }
    let case = |(round, typed): (usize, &std::ffi::OsString)| {
        Ok(Case { round, challenge: input::challenge(typed)?, read: None })
    };
    args.challenges.iter().enumerate().map(case).collect()
}

/// Which challenge a result names, read before the rest of it.
#[derive(Deserialize)]
struct Answers {
    challenge_digest: Digest,
}

/// Reads each result for the challenge that it answers.
fn read_results(args: &args::Report, cases: &mut [Case]) -> Result<()> {
    let bytes_max = cases.iter().map(|case| case.challenge.result_bytes_max()).max().unwrap_or(0);
    for typed in &args.results {
        let source = Source::of_path(typed);
        let mut bytes = Vec::new();
        if let Err(error) = source.open()?.take(bytes_max + 1).read_to_end(&mut bytes) {
            bail!("cannot read {}: {error}\nCheck the file or the connection.", source.name());
        }
        let answered = serde_json::from_slice(&bytes)
            .ok()
            .map(|Answers { challenge_digest }| challenge_digest);
        let only = cases.len() == 1;
        // One that names no challenge is rejected for its form, if it is clear whose it is.
        let case = cases
            .iter_mut()
            .find(|case| only || answered == Some(case.challenge.digest()))
            .with_context(|| match answered {
                Some(digest) => format!(
                    "{} answers challenge {digest}, which is not given\nGive it with --challenge.",
                    source.name()
                ),
                None => format!(
                    "{} is no result to any of these challenges\nCheck that it arrived whole.",
                    source.name()
                ),
            })?;
        if case.read.is_some() {
            bail!(
                "{} is a second result to challenge {}\nA report shows one.",
                source.name(),
                case.challenge.digest()
            );
        }
        case.read = Some(ResultDoc::from_bytes(&bytes, &case.challenge));
    }
    Ok(())
}
