//! `attest inspect`: a token or a result in plain words. Nothing is verified,
//! and the output says so.
//!
//! A result is read without its challenge, so its own bounds are unknown:
//! there is one limit for all, and lists are counted, not kept.

use super::summary;
use crate::args;
use crate::outcome::{Done, Result, print, print_json};
use crate::paint::{duration, grouped};
use anyhow::{Context as _, anyhow, bail};
use attest::files::Source;
use attest::inspect::{self, RESULT_BYTES_MAX, Summary};
use attest::protocol::challenge::{Challenge, OPENINGS_MAX, TOKEN_BYTES_MAX};
use attest::protocol::quantity::{about, bytes_exactly};
use attest::protocol::work::memory_residency::HALF_PASSES_SHOWN_MIN;
use attest::protocol::work::{Cost, Work};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::Duration;

/// Shows the subject.
///
/// # Errors
/// An unreadable source, or a subject that is neither token nor result.
pub fn run(args: &args::Inspect) -> Result {
    let typed = &args.subject;
    let source = match Source::of_text(typed) {
        Source::Inline(_) if Path::new(typed).exists() => Source::of_path(typed),
        source => source,
    };
    if let Source::Inline(typed) = &source
        && typed.contains(['.', '\\'])
    {
        bail!("{typed:?} is neither a file nor a token\nCheck the path.");
    }
    let name = source.name();
    let mut reader = BufReader::new(source.open()?.take(RESULT_BYTES_MAX));
    let head = reader.fill_buf().with_context(|| unreadable(&name))?;
    let (json, text) = if head.trim_ascii_start().starts_with(b"{") {
        let read = Summary::read(&mut reader);
        if reader.get_ref().limit() == 0 {
            bail!("{name} is longer than what is shown here\nVerify it instead: `attest verify`.");
        }
        let read = read.map_err(|error| {
            anyhow!("{name} is not a result: {error}\nGive a token or a result of `attest run`.")
        })?;
        (read.to_json(), summary::text(&read))
    } else {
        let mut token = String::new();
        let most = TOKEN_BYTES_MAX as u64 + 2;
        reader.take(most).read_to_string(&mut token).with_context(|| unreadable(&name))?;
        let challenge = Challenge::from_token(&token)?;
        (inspect::challenge(&challenge), challenge_text(&challenge))
    };
    if args.json {
        print_json(&json)?
    } else {
        print(&text)?
    }
    Ok(Done::Ok)
}

fn unreadable(name: &str) -> String {
    format!("cannot read {name} as text\nGive a token or a result of `attest run`.")
}

/// What a kind of work has to say beyond its line, by name.
fn work_lines(challenge: &Challenge) -> Vec<(&'static str, String)> {
    let Work::MemoryResidency(work) = challenge.work() else { return Vec::new() };
    let mut lines = vec![(
        "arena",
        format!(
            "{} on every lane: {} blocks of 4096 bytes, mixed in {} half-passes",
            about(work.arena_bytes() as f64, "B"),
            grouped(work.arena_blocks),
            work.half_passes,
        ),
    )];
    if work.half_passes < HALF_PASSES_SHOWN_MIN {
        let few = format!("nothing, with fewer than {HALF_PASSES_SHOWN_MIN} half-passes");
        lines.push(("shows", few));
    }
    if work.reads_peers() {
        let bytes = u128::from(work.link_bytes()) * u128::from(challenge.iterations());
        let bytes = about(bytes as f64, "B");
        lines.push(("links", format!("{bytes} reach every lane from the others'")));
    }
    lines
}

fn challenge_text(challenge: &Challenge) -> String {
    let (spec, Cost { amount, unit }) = (challenge.spec(), challenge.work().cost());
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<14}{value}");
    };
    line("challenge", challenge.digest().to_string());
    let amount = amount as f64 * f64::from(challenge.iterations());
    line(
        "work",
        format!(
            "{} iterations of {}: {} a lane",
            grouped(challenge.iterations().into()),
            challenge.work(),
            about(amount, &unit.to_string()),
        ),
    );
    for (name, text) in work_lines(challenge) {
        line(name, text);
    }
    let lanes = match spec.gpu_count {
        Some(count) => format!("exactly {count}"),
        None => format!("1 to {}", challenge.max_lanes()),
    };
    line("lanes", format!("{lanes}, exchanging digests {}", meetings(spec.sync_interval)));
    line(
        "samples",
        format!(
            "{} of {} iterations, {} leaves in each: at most {} openings a lane",
            challenge.sampled_iterations(),
            challenge.iterations(),
            challenge.samples_per_iteration(),
            grouped(challenge.draws().min(OPENINGS_MAX)),
        ),
    );
    line("issued", spec.issued_at.clone());
    line("expires", spec.expires_at.clone());
    let limit = duration(Duration::from_millis(challenge.limit_ms()));
    line("time limit", format!("{limit} from sending the challenge to holding the commitment"));
    if let Some(model) = &spec.gpu_model {
        line("gpu model", format!("{model:?} on every lane"));
    }
    if let Some(bytes) = spec.min_memory_bytes {
        line("memory", format!("at least {} on every lane", bytes_exactly(bytes)));
    }
    if let Some(share) = spec.min_sm_utilization {
        line("SMs", format!("at least {:.1} % of every lane's took part", 100.0 * share));
    }
    line("miner", key_text(spec.miner_id.as_ref(), "anyone"));
    line("validator", key_text(spec.validator_id.as_ref(), "not named"));
    line("result", format!("at most {}", about(challenge.result_bytes_max() as f64, "B")));
    out
}

fn meetings(sync_interval: u64) -> String {
    match sync_interval {
        1 => "after every iteration".to_owned(),
        interval => format!("every {interval} iterations"),
    }
}

fn key_text(key: Option<&impl ToString>, absent: &str) -> String {
    key.map_or_else(|| absent.to_owned(), |key| format!("the holder of {}", key.to_string()))
}
