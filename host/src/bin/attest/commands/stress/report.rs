//! How a stress test is told: lines while it goes on, a table or JSON at its end.

use crate::paint::{duration, grouped, table};
use attest::executor::gpu::bench::Conditions;
use attest::protocol::quantity::about;
use attest::protocol::work::{Unit, Work};
use attest::selftest::stress::{
    Fault, LaneLoad, Load, StressLane, StressReport, WrongWord, word_in_hex,
};
use serde_json::{Value, json};
use std::time::Duration;

/// What is told at the end.
pub(super) struct Told<'a> {
    pub(super) report: &'a StressReport,
    /// Of each lane.
    pub(super) conditions: &'a [Option<Conditions>],
    /// Devices that did not open or are missing.
    pub(super) broken: &'a [String],
    pub(super) loads: &'a [Load],
}

/// A line on how it goes.
pub(super) fn progress(
    elapsed: Duration,
    lanes: &[StressLane],
    now: &[Option<Conditions>],
) -> String {
    let lanes = lanes.iter().zip(now).map(|(lane, now)| match &lane.failure {
        Some(why) => format!("{}: FAILED: {why}", lane.name),
        None => {
            let rates = lane.loads.iter().filter(|load| load.iterations > 0).map(rate);
            let rates = rates.collect::<Vec<_>>().join(", ");
            format!("{}: {rates}{}", lane.name, warmth(now.as_ref()))
        }
    });
    format!("{:>10}  {}", duration(elapsed), lanes.collect::<Vec<_>>().join("; "))
}

/// "53.12 TFLOP/s".
fn rate(load: &LaneLoad) -> String {
    about(load.per_s, load.work.cost().unit.per_second())
}

/// ", 64 °C, 690 W", as far as it is known.
fn warmth(now: Option<&Conditions>) -> String {
    let Some(now) = now else { return String::new() };
    let temperature = now.temperature_c.map(|c| format!(", {c} °C")).unwrap_or_default();
    temperature + &now.power_w.map(|w| format!(", {w:.0} W")).unwrap_or_default()
}

/// "n=4096 m=8", "137.4 GB".
fn in_short(work: Work) -> String {
    match work {
        Work::MemoryResidency(work) => about(work.arena_bytes() as f64, "B"),
        _ => work.in_short(),
    }
}

impl Told<'_> {
    pub(super) fn to_text(&self) -> String {
        let report = self.report;
        let mut rows = Vec::new();
        for (lane, conditions) in report.lanes.iter().zip(self.conditions) {
            let warmth = warmth(conditions.as_ref());
            let warmth = warmth.trim_start_matches(", ");
            for (load, asked) in lane.loads.iter().zip(self.loads) {
                let kind = asked.kind();
                let is_its = |fault: &&Fault| fault.uuid == lane.uuid && fault.kind == kind;
                let wrong = report.faults.iter().filter(is_its).count();
                let outcome = match (&lane.failure, wrong) {
                    (Some(why), _) => format!("FAILED: {why}"),
                    (None, 0) => "same bits".to_owned(),
                    (None, wrong) => format!("WRONG {wrong} times"),
                };
                rows.push(vec![
                    lane.name.clone(),
                    format!("{kind} {}", in_short(load.work)),
                    grouped(load.iterations),
                    rate(load),
                    warmth.to_owned(),
                    outcome,
                ]);
            }
        }
        let header = ["device", "work", "iterations", "rate", "at most, mean", "outcome"];
        let mut out = table(&header, &rows);
        for why in self.broken {
            out += &format!("not usable: {why}\n");
        }
        for fault in &report.faults {
            out += &format!("{fault}\n");
        }
        if report.unjudged > 0 {
            out += &format!("{} more differences, not judged\n", grouped(report.unjudged));
        }
        let known = report.loads.iter().zip(self.loads).map(|(load, asked)| match asked {
            Load::Products(_) => format!("the first {} iterations of {}", load.known, load.kind),
            Load::Sweeps => format!("every block of {} of {} arenas", load.known, load.fills),
        });
        let known = known.collect::<Vec<_>>().join(", ");
        out + &format!("{}; the CPU confirms {known}\n", duration(report.elapsed))
    }

    pub(super) fn to_json(&self, healthy: bool) -> Value {
        let report = self.report;
        let lane = |(lane, conditions): (&StressLane, &Option<Conditions>)| {
            let loads = lane.loads.iter().zip(self.loads);
            json!({
                "device": lane.name,
                "uuid": lane.uuid,
                "failure": lane.failure,
                "conditions": conditions,
                "loads": loads.map(|(load, asked)| lane_load(load, asked)).collect::<Vec<_>>(),
            })
        };
        let loads = report.loads.iter().zip(self.loads).map(|(load, asked)| match asked {
            Load::Products(_) => json!({
                "kind": load.kind,
                "iterations_compared": load.compared,
                "known_iterations": load.known,
            }),
            Load::Sweeps => json!({
                "kind": load.kind,
                "sweeps_compared": load.compared,
                "arenas": load.fills,
                "known_arenas": load.known,
            }),
        });
        json!({
            "healthy": healthy,
            "elapsed_ms": u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            "loads": loads.collect::<Vec<_>>(),
            "lanes": report.lanes.iter().zip(self.conditions).map(lane).collect::<Vec<_>>(),
            "did_not_open": self.broken,
            "faults": report.faults.iter().map(fault).collect::<Vec<_>>(),
            "unjudged_differences": report.unjudged,
        })
    }
}

fn lane_load(load: &LaneLoad, asked: &Load) -> Value {
    let unit = match load.work.cost().unit {
        Unit::Flop => "flop_per_s",
        Unit::Bytes => "bytes_per_s",
        Unit::Operations => "operations_per_s",
    };
    let mut value = json!({
        "kind": asked.kind(),
        "iterations": load.iterations,
        unit: load.per_s.round(),
    });
    let sizes = match load.work {
        Work::Fp64Product(work) => vec![("matrix_dim", work.dim), ("num_matrices", work.products)],
        Work::IntegerProduct(work) => {
            vec![("matrix_dim", work.dim), ("num_matrices", work.products)]
        }
        Work::MemoryResidency(work) => {
            value["arena_bytes"] = work.arena_bytes().into();
            vec![]
        }
    };
    sizes.into_iter().for_each(|(name, size)| value[name] = size.into());
    value
}

fn fault(fault: &Fault) -> Value {
    let word = |word: &WrongWord| {
        json!({
            "block": word.block,
            "word": word.word,
            "expected": word_in_hex(word.expected),
            "got": word_in_hex(word.got),
        })
    };
    let words = fault.words.as_ref();
    json!({
        "device": fault.device,
        "uuid": fault.uuid,
        "kind": fault.kind,
        "round": fault.round,
        "iteration": fault.iteration,
        "tile": fault.tile,
        "expected": fault.expected,
        "got": fault.got,
        "wrong_words": words.map(|words| words.count),
        "words": words.map(|words| words.first.iter().map(word).collect::<Vec<_>>()),
    })
}
