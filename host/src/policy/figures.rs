//! The figures that rounds show, and the fields of a policy that demand some of each.
//!
//! Guarantees: a figure follows from the challenge, the validator's clock and the policy's
//! assumptions, and from no claim but the largest memory of the lanes' models, which bounds
//! what links show; every figure is rounded down. The same rows judge a session and
//! say, before it, what an honest one is expected to show.
//! Deliberately lacks: whether a run verified, and how likely omitted work escaped.

use super::{Facts, Policy, RoundKind, RoundOn};
use crate::appraisal::models;
use crate::protocol::work::Work;
use crate::protocol::work::memory_residency::shown::{NotShown, Run as Sweeps, Shown};
use std::time::Duration;

/// A run of one kind of work, as far as its figures depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// Of each iteration of each lane.
    pub(super) work: Work,
    /// Iterations (T).
    pub(super) iterations: u32,
    /// Iterations between sync points (S).
    pub(super) sync_interval: u32,
    /// Lanes (G).
    pub(super) lanes: u32,
    /// From challenge to commitment by the validator's clock; `None` outside of a live
    /// session.
    pub(super) live_elapsed: Option<Duration>,
    /// The largest printed memory of the lanes' models; `None` if one is unknown.
    pub(super) lane_memory_bytes_max: Option<u64>,
}

/// Why a figure is not what is demanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Nothing is shown.
    Nothing(String),
    /// Lanes may have had it one after the other.
    InTurn(NotShown),
}

/// A figure, and the field that demands some of it.
pub(super) struct Figure {
    /// The field, with its table.
    pub(super) field: &'static str,
    /// The rule that is broken if it is not shown.
    pub(super) code: &'static str,
    /// The rounds that show it; others show nothing of it.
    pub(super) kind: RoundKind,
    /// Its unit, and what one of it is in the unit of `of`.
    unit: (&'static str, f64),
    /// Of what.
    what: &'static str,
    /// After the figure: "in the mean", or nothing.
    how: &'static str,
    /// How much is demanded; 0 or less: no demand.
    least: fn(&Policy) -> f64,
    /// How much a run of the kind shows.
    of: fn(&Run, &Policy) -> Result<u64, Lack>,
}

const TERA: (&str, f64) = ("TFLOP/s", 1e12);
const TOPS: (&str, f64) = ("TOPS", 1e12);
const BYTES: (&str, f64) = ("bytes", 1.0);
const GB_S: (&str, f64) = ("GB/s", 1e9);
const MEAN: &str = " in the mean";

/// All of them, in the order in which they judge.
pub(super) static FIGURES: [Figure; 10] = [
    Figure {
        field: "fp64.fp64_tflops_min",
        code: "fp64-rate-low",
        kind: RoundKind::Fp64,
        unit: TERA,
        what: "of FP64 products by each lane",
        how: MEAN,
        least: |policy| policy.fp64.fp64_tflops_min,
        of: |run, policy| run.operations_per_s(policy),
    },
    Figure {
        field: "fp64.fp64_tflops_sum_min",
        code: "fp64-rate-low",
        kind: RoundKind::Fp64,
        unit: TERA,
        what: "of FP64 products by all lanes",
        how: "",
        least: |policy| policy.fp64.fp64_tflops_sum_min,
        of: |run, policy| run.sum(run.operations_per_s(policy)),
    },
    Figure {
        field: "memory.resident_bytes_min",
        code: "residency-low",
        kind: RoundKind::Memory,
        unit: BYTES,
        what: "held by each lane",
        how: "",
        least: |policy| policy.memory.resident_bytes_min as f64,
        of: |run, policy| {
            let shown = run.shown(policy)?;
            let held = shown.held_bytes.map_err(Lack::of)?;
            match shown.at_once {
                Err(why) if run.lanes > 1 => Err(Lack::InTurn(why)),
                _ => Ok(held),
            }
        },
    },
    Figure {
        field: "memory.resident_bytes_sum_min",
        code: "residency-low",
        kind: RoundKind::Memory,
        unit: BYTES,
        what: "held by all lanes together",
        how: "",
        least: |policy| policy.memory.resident_bytes_sum_min as f64,
        of: |run, policy| {
            let shown = run.shown(policy)?;
            let held = shown.held_bytes.map_err(Lack::of);
            // What one device may have held in turn counts once.
            if shown.at_once.is_ok() { run.sum(held) } else { held }
        },
    },
    Figure {
        field: "memory.memory_gb_s_min",
        code: "memory-rate-low",
        kind: RoundKind::Memory,
        unit: GB_S,
        what: "read by each lane from its own arena",
        how: "",
        least: |policy| policy.memory.memory_gb_s_min,
        of: |run, policy| run.rate(policy, |shown| shown.read_bytes_per_s),
    },
    Figure {
        field: "memory.memory_gb_s_sum_min",
        code: "memory-rate-low",
        kind: RoundKind::Memory,
        unit: GB_S,
        what: "read by all lanes from their own arenas",
        how: "",
        least: |policy| policy.memory.memory_gb_s_sum_min,
        of: |run, policy| run.sum(run.rate(policy, |shown| shown.read_bytes_per_s)),
    },
    Figure {
        field: "memory.link_gb_s_min",
        code: "link-rate-low",
        kind: RoundKind::Links,
        unit: GB_S,
        what: "reaching each lane from others",
        how: "",
        least: |policy| policy.memory.link_gb_s_min,
        of: |run, policy| run.rate(policy, |shown| shown.link_bytes_per_s),
    },
    Figure {
        field: "memory.link_gb_s_sum_min",
        code: "link-rate-low",
        kind: RoundKind::Links,
        unit: GB_S,
        what: "reaching all lanes from others",
        how: "",
        least: |policy| policy.memory.link_gb_s_sum_min,
        of: |run, policy| run.sum(run.rate(policy, |shown| shown.link_bytes_per_s)),
    },
    Figure {
        field: "integer.int8_tops_min",
        code: "integer-rate-low",
        kind: RoundKind::Integer,
        unit: TOPS,
        what: "of int8 products by each lane",
        how: MEAN,
        least: |policy| policy.integer.int8_tops_min,
        of: |run, policy| run.operations_per_s(policy),
    },
    Figure {
        field: "integer.int8_tops_sum_min",
        code: "integer-rate-low",
        kind: RoundKind::Integer,
        unit: TOPS,
        what: "of int8 products by all lanes",
        how: "",
        least: |policy| policy.integer.int8_tops_sum_min,
        of: |run, policy| run.sum(run.operations_per_s(policy)),
    },
];

/// The same of the machine's CPUs: rounds of theirs show it, and nothing else does.
pub(super) static HOST_FIGURES: [Figure; 3] = [
    Figure {
        field: "host.fp64_tflops_min",
        code: "host-rate-low",
        kind: RoundKind::Fp64,
        unit: TERA,
        what: "of FP64 products by the machine's CPUs",
        how: "",
        least: |policy| policy.host.fp64_tflops_min,
        of: |run, policy| run.operations_per_s(policy),
    },
    Figure {
        field: "host.int8_tops_min",
        code: "host-rate-low",
        kind: RoundKind::Integer,
        unit: TOPS,
        what: "of int8 products by the machine's CPUs",
        how: "",
        least: |policy| policy.host.int8_tops_min,
        of: |run, policy| run.operations_per_s(policy),
    },
    Figure {
        field: "host.resident_bytes_min",
        code: "host-rate-low",
        kind: RoundKind::Memory,
        unit: BYTES,
        what: "held by the machine's CPUs",
        how: "",
        least: |policy| policy.host.resident_bytes_min as f64,
        of: |run, policy| run.shown(policy)?.held_bytes.map_err(Lack::of),
    },
];

impl Lack {
    fn of(why: NotShown) -> Self {
        Self::Nothing(why.to_string())
    }
}

impl Run {
    /// The run of a result.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let (challenge, lanes) = (facts.challenge, facts.evidence.lanes());
        let memory_bytes = lanes.iter().map(|lane| models::memory_bytes(&lane.model));
        Self {
            work: challenge.work(),
            iterations: challenge.iterations(),
            sync_interval: challenge.sync_interval(),
            lanes: lanes.len() as u32,
            live_elapsed: facts.elapsed.filter(|_| facts.live),
            lane_memory_bytes_max: memory_bytes
                .collect::<Option<Vec<_>>>()
                .and_then(|all| all.into_iter().max()),
        }
    }

    /// What it can show.
    pub(super) fn kind(&self) -> RoundKind {
        match self.work {
            Work::Fp64Product(_) => RoundKind::Fp64,
            Work::IntegerProduct(_) => RoundKind::Integer,
            Work::MemoryResidency(work) if work.reads_peers() => RoundKind::Links,
            Work::MemoryResidency(_) => RoundKind::Memory,
        }
    }

    /// What it shows of memory and links, by this policy's assumptions.
    pub(super) fn shown(&self, policy: &Policy) -> Result<Shown, Lack> {
        let Work::MemoryResidency(work) = self.work else {
            return Err(Lack::Nothing("its work is on no arena".to_owned()));
        };
        let run = Sweeps {
            work,
            iterations: self.iterations,
            sync_interval: self.sync_interval,
            lanes: self.lanes,
            live_elapsed: self.live_elapsed,
            omitted_share: policy.omitted_share(),
            outside_gb_s: policy.memory.outside_gb_s,
            refill_gb_s: policy.memory.refill_gb_s,
            lane_memory_bytes_max: self.lane_memory_bytes_max,
        };
        Ok(run.shown())
    }

    fn rate(&self, policy: &Policy, of: fn(Shown) -> Result<u64, NotShown>) -> Result<u64, Lack> {
        of(self.shown(policy)?).map_err(Lack::of)
    }

    /// Operations a second of each lane, in the mean: all of f may be missing in one lane.
    fn operations_per_s(&self, policy: &Policy) -> Result<u64, Lack> {
        let left_out = policy.omitted_share().get();
        let done = |elapsed| self.work.done_per_s(self.iterations, elapsed, left_out);
        self.live_elapsed.and_then(done).ok_or_else(|| Lack::of(NotShown::NotLive))
    }

    /// Over all lanes.
    fn sum(&self, a_lane: Result<u64, Lack>) -> Result<u64, Lack> {
        a_lane.map(|got| got.saturating_mul(self.lanes.into()))
    }
}

impl Figure {
    /// "at least 120 GB/s read by ...", with what is demanded.
    fn demand(&self, policy: &Policy) -> String {
        format!("at least {} {} {}", (self.least)(policy), self.unit.0, self.what)
    }

    fn is_met(&self, got: u64, policy: &Policy) -> bool {
        got as f64 >= (self.least)(policy) * self.unit.1
    }

    /// What of the demand these runs don't show; `None` if one of them shows it, or nothing
    /// is demanded.
    fn lacking(&self, runs: &[&Run], policy: &Policy) -> Option<String> {
        if (self.least)(policy) <= 0.0 {
            return None;
        }
        let shown = runs.iter().filter(|run| run.kind() == self.kind);
        let shown: Vec<Result<u64, Lack>> = shown.map(|run| (self.of)(run, policy)).collect();
        let best = shown.iter().filter_map(|got| got.as_ref().ok()).max();
        let expected = format!("expected {}", self.demand(policy));
        match (best, shown.first()) {
            (Some(&got), _) if self.is_met(got, policy) => None,
            (Some(&got), _) => {
                let got = shown_in(self.unit, got);
                Some(format!("{expected}, at least {got} are shown{}", self.how))
            }
            (None, Some(Err(Lack::InTurn(why)))) => {
                Some(format!("{expected} at once, it may have been one after the other: {why}"))
            }
            (None, Some(Err(Lack::Nothing(why)))) => {
                Some(format!("{expected}, nothing is shown: {why}"))
            }
            (None, _) => {
                let kind = self.kind.name();
                Some(format!("{expected}, nothing is shown: no round is of kind {kind:?}"))
            }
        }
    }
}

/// A figure in its unit, rounded down as the bound is: bytes whole, others to a tenth.
fn shown_in((_, size): (&str, f64), got: u64) -> String {
    match size as u64 {
        1 => got.to_string(),
        size => format!("{:.1}", (got / (size / 10)) as f64 / 10.0),
    }
}

/// What of the demands of this rule these runs don't show.
pub(super) fn lacking(code: &str, runs: &[&Run], policy: &Policy) -> Vec<String> {
    let rows = FIGURES.iter().chain(&HOST_FIGURES).filter(|figure| figure.code == code);
    rows.filter_map(|figure| figure.lacking(runs, policy)).collect()
}

/// A demand that an honest session is not expected to meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beyond {
    /// The row's.
    pub(super) figure: &'static str,
    /// What is demanded.
    pub(super) expected: String,
    /// What would be shown, or why nothing would.
    pub(super) got: String,
    /// The kind that shows it.
    pub(super) kind: RoundKind,
}

impl Policy {
    /// What it demands to be shown, a line each.
    pub fn demanded_figures(&self) -> Vec<String> {
        let demanded =
            FIGURES.iter().chain(&HOST_FIGURES).filter(|figure| (figure.least)(self) > 0.0);
        let mut lines: Vec<String> = demanded.map(|figure| figure.demand(self)).collect();
        if self.network.network_mbit_min > 0.0 {
            lines.push(format!(
                "at least {} Mbit/s in both directions",
                self.network.network_mbit_min
            ));
        }
        lines
    }

    /// The first demand that an honest run like this one is not expected to meet. How fast
    /// links are, the run will show.
    pub(super) fn beyond(&self, honest: &Run) -> Option<Beyond> {
        let own = |figure: &&Figure| figure.kind == honest.kind() && (figure.least)(self) > 0.0;
        FIGURES.iter().filter(own).filter(|figure| figure.kind != RoundKind::Links).find_map(
            |figure| {
                let unit = figure.unit.0;
                let got = match (figure.of)(honest, self) {
                    Ok(got) if figure.is_met(got, self) => return None,
                    Ok(got) => format!("{} {unit}", got / figure.unit.1 as u64),
                    Err(Lack::Nothing(why)) => format!("nothing: {why}"),
                    Err(Lack::InTurn(why)) => format!("nothing at once: {why}"),
                };
                Some(figure.beyond(self, got))
            },
        )
    }

    /// The first demand that only rounds of other kinds than these could meet, `on` saying
    /// who answers them.
    pub(super) fn beyond_kinds(&self, on: RoundOn, kinds: &[RoundKind]) -> Option<Beyond> {
        let figures: &'static [Figure] = match on {
            RoundOn::Devices => &FIGURES,
            RoundOn::Host => &HOST_FIGURES,
        };
        let is_beyond =
            |figure: &&Figure| !kinds.contains(&figure.kind) && (figure.least)(self) > 0.0;
        let figure = figures.iter().find(is_beyond)?;
        Some(
            figure
                .beyond(self, format!("nothing: it has no work of kind {:?}", figure.kind.name())),
        )
    }
}

impl Figure {
    fn beyond(&'static self, policy: &Policy, got: String) -> Beyond {
        let expected = format!("{} {}", (self.least)(policy), self.unit.0);
        Beyond { figure: self.field, expected, got, kind: self.kind }
    }
}
