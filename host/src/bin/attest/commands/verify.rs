//! `attest verify`: checks a result and prints the verdict.
//!
//! A result of the wrong form is a verdict, too: rejected in step 1. A fault on
//! this side (no file, no GPU, no token) gives no verdict.

use super::makers::Makers;
use super::policy;
use crate::args::{self, Arrival, Color, LedgerPlace, Recomputer};
use crate::outcome::{Done, Result, note, print, print_json};
use crate::paint::{Paint, wrapped};
use crate::{input, progress};
use anyhow::bail;
use attest::evidence::present_gpus;
use attest::executor::cpu::CpuVerifier;
use attest::executor::gpu::{GpuExecutor, GpuOptions, GpuVerifier, PATIENCE};
use attest::files::Source;
use attest::judging::{AsIssuer, End, HandedIn, Known, Terms};
use attest::ledger::Ledger;
use attest::log;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::receipt::Receipt;
use attest::protocol::result::{FormError, ReadError, ResultDoc};
use attest::protocol::verdict::{Outcome, Verdict};
use attest::protocol::verified::Extent;
use attest::protocol::verify::{
    Failure, Means, Progress, Recompute, RecomputeIteration, verify_with,
};
use attest::session::clock::unix_ms;
use std::time::{Duration, Instant};

/// Said about a receipt that can have no session.
const NO_SESSION: &str =
    "the receipt: it is of a live session, and this result, without a coin, is of none";

/// Verifies the result; the exit code is the verdict.
///
/// # Errors
/// An unreadable source or no means to recompute: no verdict.
pub fn run(args: &args::Verify, ledger: Option<&LedgerPlace>, color: Color) -> Result {
    let source = Source::of_path(&args.result);
    let checks = &args.checks;
    checks
        .and_inputs(input::Inputs::default())
        .and_source("RESULT", Some(&args.result))
        .and_text("--challenge", Some(&args.challenge))
        .check(&[])?;
    let policy = checks.policy.as_deref().map(policy::read).transpose()?;
    let makers = Makers::read(&checks.makers)?;
    let terms = Terms {
        policy: policy.as_ref(),
        omitted_share: checks.omitted_share,
        devices: makers.devices(),
        machine: makers.machine(),
    };
    let challenge = input::challenge(&args.challenge)?;
    let ledger = crate::ledger::of_issuer(ledger)?;
    let read = match ResultDoc::read(source.open()?, &challenge) {
        Err(ReadError::Io(error)) => {
            bail!("cannot read {}: {error}\nCheck the file or the connection.", source.name())
        }
        Err(ReadError::Form(form)) => Err(form),
        Ok(result) => Ok(result),
    };
    let verdict = verdict(checks, terms, ledger.as_deref(), &challenge, &read)?;
    if args.json {
        print_json(&verdict)?;
    } else {
        print(&painted(&verdict, Paint::of(color, &std::io::stdout())))?;
    }
    Ok(done(&verdict))
}

/// The verdict on a result that was read, or on a form that is wrong.
///
/// # Errors
/// No means to recompute, or a ledger that fails: no verdict.
pub fn verdict(
    checks: &args::Checks,
    terms: Terms<'_>,
    ledger: Option<&dyn Ledger>,
    challenge: &Challenge,
    read: &Result<ResultDoc, FormError>,
) -> Result<Verdict> {
    let result = match read {
        Err(form) => {
            let form = Failure::from(ReadError::Form(form.clone()));
            return Ok(terms.verdict(&Err(form), Known::default()));
        }
        Ok(result) => result,
    };
    let receipt = checks.receipt.as_deref().map(input::receipt).transpose()?;
    let handed_in = HandedIn {
        challenge,
        result,
        arrival_unix_s: arrival(checks, challenge, result, receipt.as_ref()),
        elapsed: checks.elapsed.map(Duration::from_millis),
        receipt: receipt.as_ref(),
    };
    let means =
        |circumstances: &Circumstances<'_>| recomputed(checks, challenge, result, circumstances);
    let mut verdict = match ledger {
        None => terms.of_stranger(&handed_in, means)?,
        Some(ledger) => {
            let now_unix_ms = unix_ms();
            let judged = AsIssuer { ledger, terms, now_unix_ms }.judge(&handed_in, means)?;
            judged.notes.iter().for_each(|text| note(&format!("note: {text}")));
            judged.verdict
        }
    };
    if receipt.is_some() && result.coin.is_none() && verdict.commitment.is_some() {
        verdict.not_checked.push(NO_SESSION.to_owned());
    }
    Ok(verdict)
}

impl args::Checks {
    /// With what these name to be read.
    pub fn and_inputs(&self, inputs: input::Inputs) -> input::Inputs {
        inputs
            .and_source("--receipt", self.receipt.as_deref())
            .and_source("--policy", self.policy.as_deref())
    }
}

/// The exit code of a verification.
pub fn done(verdict: &Verdict) -> Done {
    match verdict.outcome {
        Outcome::Verified => Done::Ok,
        Outcome::Rejected => Done::Rejected,
        Outcome::CouldNotRun => Done::CouldNotRun,
    }
}

/// The verdict's text with its first line coloured and long lines wrapped.
pub fn painted(verdict: &Verdict, paint: Paint) -> String {
    let text = verdict.render_text();
    let (headline, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let headline = match verdict.outcome {
        Outcome::Verified => paint.good(headline),
        Outcome::Rejected | Outcome::CouldNotRun => paint.bad(headline),
    };
    format!("{headline}\n{}", wrapped(rest, 15))
}

/// When the result arrived, s since 1970.
fn arrival(
    args: &args::Checks,
    challenge: &Challenge,
    result: &ResultDoc,
    receipt: Option<&Receipt>,
) -> Option<i64> {
    // A receipt has the commitment's own time of arrival. One that does not hold
    // must not switch the check of the arrival off.
    let receipt_holds = receipt
        .is_some_and(|it| it.check(challenge, &result.commitment, result.coin.as_ref()).is_ok());
    match args.arrived_at {
        Some(Arrival::UnixS(unix_s)) => Some(unix_s),
        Some(Arrival::Unknown) => None,
        None if receipt_holds => None,
        Some(Arrival::Now) | None => Some(jiff::Timestamp::now().as_second()),
    }
}

fn recomputed(
    args: &args::Checks,
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
) -> Result<End> {
    let extent = match (args.full, args.executor) {
        (true, _) => Some(Extent::EveryIteration),
        // A GPU is as fast with a whole iteration as with its samples.
        (false, Recomputer::Gpu) => Some(Extent::SampledIterations),
        (false, Recomputer::Cpu) => None,
    };
    let began = Instant::now();
    let end = match args.executor {
        Recomputer::Cpu => {
            let (leaves, mut iterations) = (CpuVerifier::new(), CpuVerifier::new());
            with_means(challenge, result, circumstances, extent, (&leaves, &mut iterations))
        }
        Recomputer::Gpu => {
            present_gpus()?.get(0)?;
            let gpu =
                GpuVerifier::new(GpuExecutor::open_in_time(0, GpuOptions::default())?, PATIENCE);
            with_means(challenge, result, circumstances, extent, (&gpu, &mut &gpu))
        }
    };
    log::verified(challenge, &end, extent, began.elapsed());
    Ok(end)
}

fn with_means(
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
    extent: Option<Extent>,
    (recompute, iterations): (&dyn Recompute, &mut impl RecomputeIteration),
) -> End {
    let bar = progress::bar("verifying", result.openings.len() as u64);
    let mut show = |progress| {
        let (Progress::Leaves { done, total } | Progress::Iterations { done, total }) = progress;
        bar.set_length(total);
        bar.set_position(done);
    };
    let whole = extent.map(|extent| (extent, iterations as &mut dyn RecomputeIteration));
    let means = Means { recompute, whole, progress: &mut show };
    let outcome = verify_with(challenge, result, circumstances, means);
    bar.finish_and_clear();
    outcome
}
