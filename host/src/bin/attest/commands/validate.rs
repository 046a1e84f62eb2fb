//! `attest validate`: holds live sessions with miners. Progress goes to standard
//! error, each verdict to standard output as soon as it is there.

mod sessions;
mod show;

use super::makers::Makers;
use crate::args::{self, Color, LedgerPlace};
use crate::input::Inputs;
use crate::outcome::{Done, Result, check_stdout, note, tell};
use crate::paint::Paint;
use crate::printer::Printer;
use crate::signals::Stop;
use anyhow::{Context as _, bail, ensure};
use attest::files::{self, Source};
use attest::identity::SigningIdentity;
use attest::mining::issue::{Request, issue};
use attest::mining::kind::{ArenaSize, WorkKind};
use attest::policy::POLICY_BYTES_MAX;
use attest::policy::Policy;
use attest::protocol::receipt::Receipt;
use attest::protocol::verdict::Outcome;
use attest::session::drive::Validator;
use attest::session::limits::Patience;
use sessions::{Over, SETTLING};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a signal waits for sessions to be settled and verdicts to be printed.
const STOPPING: Duration = SETTLING.saturating_add(Duration::from_secs(5));

/// Holds the sessions; the exit code is the verdict, of several the worst.
///
/// # Errors
/// No ledger, no key, a command that does not start, an output that fails.
pub fn run(args: &args::Validate, ledger: Option<&LedgerPlace>, color: Color) -> Result {
    // The nonce is spent by a verdict that nobody would see.
    check_stdout()?;
    let stop = Stop::listen()?;
    let file = crate::ledger::file(Some(or_default(ledger)));
    Inputs::default()
        .and_file("--key", args.key.as_deref())
        .and_file("--policy", args.policy.as_deref())
        .and_file("--ledger", file.as_deref())
        .check(&[
            ("--result-out", args.result_out.as_ref()),
            ("--receipt-out", args.receipt_out.as_ref()),
        ])?;
    let outs = [&args.result_out, &args.receipt_out].into_iter().flatten();
    for path in outs {
        ensure!(
            args.tcp.len() < 2,
            "--result-out and --receipt-out are for one session\nDial one miner at a time."
        );
        files::check_writable(path)?;
    }
    let validator = Arc::new(validator(args, ledger)?);
    let runtime = super::runtime()?;
    let printer = Printer::start()?;
    stop.settle_within(STOPPING);
    let mut report =
        Report { args, color, printer: &printer, tally: Tally::default(), failure: None };
    let each = |over: &Over| report.add(over);
    let held = runtime.block_on(sessions::hold(&validator, args, &stop, printer.pen(), each));
    runtime.shutdown_background();
    let Report { tally, failure, .. } = report;
    let failed = [held.err(), failure, printer.finish().err()];
    let Tally { verified, rejected, undecided } = tally;
    if let Some(code) = stop.exit_code() {
        failed.iter().flatten().for_each(|error| tell(error, color));
        return Ok(Done::Interrupted(code));
    }
    if let Some(error) = failed.into_iter().flatten().next() {
        return Err(error);
    }
    if args.tcp.len() > 1 {
        note(&format!(
            "sessions    {verified} verified, {rejected} rejected, {undecided} without a verdict"
        ));
    }
    Ok(match () {
        () if undecided > 0 => Done::CouldNotRun,
        () if rejected > 0 => Done::Rejected,
        () => Done::Ok,
    })
}

/// How many sessions ended how.
#[derive(Default)]
struct Tally {
    verified: usize,
    rejected: usize,
    undecided: usize,
}

/// Where the ends of sessions go.
struct Report<'a> {
    args: &'a args::Validate,
    color: Color,
    printer: &'a Printer,
    tally: Tally,
    /// The first output that failed.
    failure: Option<anyhow::Error>,
}

impl Report<'_> {
    /// What fails here takes nothing else along: the nonce is spent, and no session can
    /// be held for its result again. The receipt goes first: it is short, and cannot be
    /// had from the ledger.
    fn add(&mut self, over: &Over) {
        let (ended, pen) = (&over.ended, self.printer.pen());
        let several = self.args.tcp.len() > 1;
        let name = over.address.as_deref().filter(|_| several).unwrap_or_default();
        if self.args.json {
            pen.print(show::json_line(over));
        } else {
            for times in show::times(ended) {
                pen.note(sessions::named(name, &times));
            }
            let paint = Paint::of(self.color, &std::io::stdout());
            pen.print(show::text(over, name, paint));
        }
        *match ended.session.outcome {
            Outcome::Verified => &mut self.tally.verified,
            Outcome::Rejected => &mut self.tally.rejected,
            Outcome::CouldNotRun => &mut self.tally.undecided,
        } += 1;
        let mut write = |path: &Option<PathBuf>, round: usize, text: Option<String>| {
            if let (Some(path), Some(text)) = (path, text)
                && let Err(error) = files::write_atomically(&of_round(path, round), &text)
            {
                self.failure.get_or_insert(error.into());
            }
        };
        let earlier = ended.earlier.iter().map(|round| (&round.receipt, &round.result));
        for (round, (receipt, result)) in
            earlier.chain([(&ended.receipt, &ended.result)]).enumerate()
        {
            write(&self.args.receipt_out, round, receipt.as_ref().map(Receipt::to_json));
            write(&self.args.result_out, round, result.as_ref().map(|result| result.to_json()));
        }
    }
}

/// The file for what a round brings: of the first one that which was named, of later ones
/// with their number behind the name.
fn of_round(path: &Path, round: usize) -> PathBuf {
    let Some(stem) = path.file_stem().filter(|_| round > 0) else { return path.to_owned() };
    let mut name = stem.to_owned();
    name.push(format!("-{round}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// A session is never without a ledger: that of the user, if none is named.
fn or_default(ledger: Option<&LedgerPlace>) -> &LedgerPlace {
    ledger.unwrap_or(&LedgerPlace::Default)
}

fn validator(args: &args::Validate, ledger: Option<&LedgerPlace>) -> Result<Validator> {
    let identity = args.key.as_deref().map(SigningIdentity::read).transpose()?;
    let mut request = args.ask.request();
    match args.peers[..] {
        [] => {}
        [peer] => request.miner_id = Some(peer),
        // Which of them it is, the handshake says.
        _ => ensure!(!args.tcp.is_empty(), "a command reaches one miner\nName one --peer."),
    }
    let policy = policy(args.policy.as_deref(), args.no_policy)?;
    check(&request, policy.is_some())?;
    if args.receipt_out.is_some() && identity.is_none() {
        bail!("--receipt-out needs a key to sign with\nGive the key file: --key.");
    }
    let ledger = crate::ledger::chosen(Some(or_default(ledger)))?
        .context("a live session needs a ledger: the coin comes after the nonce is spent\nLeave --ledger none out.")?;
    let mut validator = Validator::new(ledger, request);
    validator.policy = policy;
    validator.identity = identity.map(Arc::new);
    if !args.tcp.is_empty() {
        validator.patience = Patience::over_tcp();
    }
    if let Some(hello) = args.hello_within {
        validator.patience.hello = hello;
        // Who gives a slow miner so long for one answer gives it as long for the next.
        validator.patience.pong = validator.patience.pong.max(hello);
    }
    validator.network_bytes = args.network;
    validator.omitted_share = args.omitted_share;
    Makers::read(&args.makers)?.give(&mut validator);
    Ok(validator)
}

/// The policy of live sessions: that in a file, the default one, or none.
pub(super) fn policy(path: Option<&Path>, no_policy: bool) -> Result<Option<Policy>> {
    Ok(match path {
        Some(path) => Some(read_policy(path)?),
        None if no_policy => None,
        None => Some(Policy::default()),
    })
}

/// Refuses what live sessions cannot ask for, before any miner is reached: with a policy
/// that sizes challenges, or without.
pub(super) fn check(request: &Request, is_sized: bool) -> Result<()> {
    if request.validator_id.is_some() {
        bail!("--validator-id comes with the key of this validator\nGive the key file: --key.");
    }
    issue(&least(request, is_sized)?)?;
    Ok(())
}

/// The least challenge that can come of `typed`: with one lane, and with no more work
/// than was typed if a policy sizes the rest.
fn least(typed: &Request, is_sized: bool) -> Result<Request> {
    let lanes = if typed.peer_blocks.is_some_and(|blocks| blocks > 0) { 2 } else { 1 };
    let least = typed.clone().or(Request { gpu_count: Some(lanes), ..Request::default() });
    let kind = typed.kind()?;
    if !is_sized {
        return Ok(least);
    }
    let little = Request {
        num_iterations: Some(typed.sync_interval.unwrap_or(1)),
        samples_per_iteration: Some(1),
        ..Request::default()
    };
    Ok(match kind {
        WorkKind::Fp64Product | WorkKind::IntegerProduct => {
            let (matrix_dim, num_matrices) = (Some(128), Some(1));
            least.or(Request { matrix_dim, num_matrices, ..little })
        }
        WorkKind::MemoryResidency => {
            // A share is of the memory of a model that the miner will name.
            let arena_size = least.arena_size.filter(|size| matches!(size, ArenaSize::Bytes(_)));
            let arena_blocks = Some(typed.peer_blocks.unwrap_or(0).max(512).next_multiple_of(512));
            Request { arena_size, ..least }.or(Request { arena_blocks, ..little })
        }
    })
}

pub(super) fn read_policy(path: &Path) -> Result<Policy> {
    let source = Source::File(path.to_owned());
    let text = source.read_text(POLICY_BYTES_MAX as u64)?;
    Ok(Policy::from_toml(&text, &source.name())?)
}
