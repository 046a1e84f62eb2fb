//! `attest demo`: a challenge, its execution on the best executor present, the
//! verdict, and the same result with one bit flipped.

use crate::args;
use crate::commands::run::choice;
use crate::commands::verify::{done, painted};
use crate::outcome::{Done, Result, print};
use crate::paint::{Paint, duration, grouped, rate};
use crate::progress;
use anyhow::bail;
use attest::appraisal::{floors, models};
use attest::error_text::what_happened;
use attest::evidence::present_gpus;
use attest::executor::Kind;
use attest::executor::cpu::CpuVerifier;
use attest::executor::gpu::DeviceList;
use attest::mining::executors::{Choice, Chosen, choose_with};
use attest::mining::issue::{Request, issue};
use attest::mining::kind::ArenaSize;
use attest::mining::mine::{MineOptions, Mined, mine};
use attest::protocol::bound::OmittedShare;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord};
use attest::protocol::quantity::about;
use attest::protocol::result::ResultDoc;
use attest::protocol::verdict::Verdict;
use attest::protocol::verified::Verified;
use attest::protocol::verify::{Failure, verify};
use attest::protocol::work::{Cost, Unit};
use std::time::{Duration, Instant};

/// The arena of `--kind memory`.
const ARENA_BYTES_ON_GPUS: u64 = 4 << 30;
const ARENA_BYTES_ON_CPU: u64 = 64 << 20;

/// Runs the demonstration; fails if the honest result is not verified or the
/// tampered one is.
///
/// # Errors
/// No executor works.
pub fn run(args: &args::Demo, color: args::Color) -> Result {
    let choice = choice(args.executor, None)?;
    let paint = Paint::of(color, &std::io::stdout());
    let challenge = issue(&request(args.kind, &choice))?;
    print(&format!(
        "{}\n  {} iterations, each {}, {} leaves to open\n  digest {}\n\n",
        paint.strong("1. The validator issues a challenge"),
        challenge.iterations(),
        challenge.work(),
        grouped(challenge.draws()),
        challenge.digest(),
    ))?;

    let sent = Instant::now();
    let Chosen { executors, no_gpu, notes } = choose_with(&choice, &args.gpus.rules(), &challenge)?;
    let total = u64::from(challenge.iterations()) * executors.len() as u64;
    let bar = progress::bar("executing", total);
    let options = MineOptions { notes, ..MineOptions::default() };
    let mined = mine(&challenge, executors, &options, &|done| {
        bar.set_position(done.iter().map(|&n| u64::from(n)).sum());
    })?;
    bar.finish_and_clear();
    let elapsed = sent.elapsed();
    let Mined { result, executed_in, lanes, .. } = mined;
    print(&format!("{}\n", paint.strong("2. The miner executes it")))?;
    if let Some(no_gpu) = no_gpu {
        print(&format!("  the CPU does it, as {}\n", what_happened(no_gpu)))?;
    }
    for lane in &lanes {
        let kind = if lane.kind == Kind::Gpu { "GPU" } else { "CPU" };
        print(&format!("  lane on {kind} {} ({})\n", lane.model, lane.uuid))?;
    }
    let Cost { amount, unit } = challenge.work().cost();
    let amount = amount as f64 * f64::from(challenge.iterations()) * lanes.len() as f64;
    print(&format!(
        "  executed in {}, {}, {}\n  commitment {}\n  result of {}\n\n",
        duration(executed_in),
        rate(amount, unit, executed_in),
        match unit {
            Unit::Flop => "every output bit hashed",
            Unit::Bytes => "every byte folded and hashed",
            Unit::Operations => "every output folded and hashed",
        },
        result.commitment,
        about(result.to_json().len() as f64, "B"),
    ))?;

    let share = OmittedShare::default();
    let (outcome, verified_in) = judge(&challenge, &result, elapsed);
    let mut verdict = Verdict::of(&outcome, share);
    verdict.model_table = models::in_force().foreign_digest();
    print(&format!(
        "{}\n  {} leaves recomputed on the CPU in {}\n\n{}\n",
        paint.strong("3. The validator verifies the result"),
        grouped(result.openings.len() as u64),
        duration(verified_in),
        painted(&verdict, paint),
    ))?;

    let tampered = tampered(&result)?;
    let (outcome, _) = judge(&challenge, &tampered, elapsed);
    let rejection = Verdict::of(&outcome, share);
    print(&format!(
        "{}\n\n{}",
        paint.strong("4. The same result with one bit flipped"),
        painted(&rejection, paint),
    ))?;
    match (done(&verdict), done(&rejection)) {
        (Done::Ok, Done::Rejected) => Ok(Done::Ok),
        (Done::CouldNotRun, _) | (_, Done::CouldNotRun) => Ok(Done::CouldNotRun),
        _ => bail!("the honest result must pass and the tampered one fail\nRun `attest selftest`."),
    }
}

/// A second or so of work for a GPU, a few for a CPU; about 1000 openings.
fn request(kind: args::Kind, choice: &Choice) -> Request {
    let gpus = (*choice != Choice::Cpu).then(|| present_gpus().ok()).flatten();
    let of_kind = match kind {
        args::Kind::Fp64 | args::Kind::Integer => {
            let (dim, products, iterations) = match (kind, gpus.is_some()) {
                (args::Kind::Integer, true) => (16_384, 1, 64),
                (args::Kind::Integer, false) => (2048, 2, 16),
                (_, true) => (4096, 8, 32),
                (_, false) => (1024, 2, 16),
            };
            Request {
                matrix_dim: Some(dim),
                num_matrices: Some(products),
                num_iterations: Some(iterations),
                sync_interval: Some(8),
                ..Request::default()
            }
        }
        args::Kind::Memory => {
            let memory = |gpus: DeviceList| gpus.devices.iter().map(|gpu| gpu.memory_bytes).min();
            let (bytes, iterations) = match gpus.and_then(memory) {
                Some(memory_bytes) => (ARENA_BYTES_ON_GPUS.min(memory_bytes / 2), 128),
                None => (ARENA_BYTES_ON_CPU, 16),
            };
            Request {
                arena_size: Some(ArenaSize::Bytes(bytes)),
                num_iterations: Some(iterations),
                ..Request::default()
            }
        }
    };
    Request {
        challenge_type: Some(kind.challenge_type().to_owned()),
        samples_per_iteration: of_kind.num_iterations.map(|iterations| 1024 / iterations),
        valid_for_s: Some(600),
        ..of_kind
    }
}

fn judge(
    challenge: &Challenge,
    result: &ResultDoc,
    elapsed: Duration,
) -> (Result<Verified, Failure>, Duration) {
    let circumstances = Circumstances {
        arrival_unix_s: Some(jiff::Timestamp::now().as_second()),
        elapsed: Some(elapsed),
        floors: Some(floors::seconds),
        issuer: Issuer::Record(IssuerRecord::default()),
        ..Circumstances::default()
    };
    let start = Instant::now();
    let outcome = verify(challenge, result, &circumstances, &CpuVerifier::new());
    (outcome, start.elapsed())
}

/// `result` with the lowest bit of one path's first digest flipped.
fn tampered(result: &ResultDoc) -> Result<ResultDoc> {
    let mut result = result.clone();
    let opening = result.openings.iter_mut().find_map(|opening| opening.path.first_mut());
    match opening {
        Some(digest) => digest.0[31] ^= 1,
        None => bail!("the result has no openings\nRun `attest selftest`."),
    }
    Ok(result)
}
