//! What a verdict says about memory and links: docs/protocol.md, "What a verdict may say" of
//! memory residency, and no more.
//!
//! Deliberately lacks: the arithmetic. [`crate::work::memory_residency::shown`] has it.

use super::{Assumptions, Fact, Grade, fact};
use crate::bound::Bound;
use crate::quantity::{about, at_least};
use crate::verified::Verified;
use crate::work::memory_residency::shown::{NotShown, Run, Shown};
use schemars::JsonSchema;
use serde::Serialize;

/// What a run shows of memory and links. A figure that is absent is not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MemoryShown {
    /// Bytes that each lane held at least, while it swept them, in memory or behind links
    /// faster than was assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_bytes: Option<u64>,
    /// Bytes a second that each lane read of its arena at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bytes_per_s: Option<u64>,
    /// All lanes held theirs at the same time.
    pub at_once: bool,
    /// Bytes that reached each lane from others at least, in decimal: can exceed 2⁵³.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_others_bytes: Option<String>,
    /// Bytes a second that reached each lane from others at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_bytes_per_s: Option<u64>,
}

/// What is said: figures, facts, and what is not shown.
pub(super) struct Said {
    pub(super) shown: MemoryShown,
    pub(super) facts: Vec<Fact>,
    pub(super) not_shown: Vec<String>,
}

/// What a verified run shows of memory, if that is its kind of work.
pub(super) fn said(verified: &Verified, bound: Bound, assumptions: &Assumptions) -> Option<Said> {
    let run = run(verified, assumptions)?;
    let (work, shown) = (run.work, run.shown());
    let mut said = Said { shown: MemoryShown::default(), facts: Vec::new(), not_shown: Vec::new() };
    if !bound.is_below_one() {
        said.nothing("the samples are too few to rule out that a share of the work was left out");
        return Some(said);
    }
    if work.reads_peers() {
        said.links(&run, shown);
    } else {
        said.residency(&run, shown);
    }
    Some(said)
}

/// The run as the arithmetic takes it; `None` if it was another kind of work.
pub(super) fn run(verified: &Verified, assumptions: &Assumptions) -> Option<Run> {
    let challenge = verified.challenge();
    let work = challenge.work().memory_residency()?;
    let models = verified.evidence().lanes().iter().map(|lane| &lane.model);
    let memory_bytes: Option<Vec<u64>> =
        models.map(|model| (assumptions.model_memory_bytes)(model)).collect();
    Some(Run {
        work,
        iterations: challenge.iterations(),
        sync_interval: challenge.sync_interval(),
        lanes: verified.lanes(),
        live_elapsed: verified.elapsed().filter(|_| verified.coin().is_live()),
        omitted_share: assumptions.omitted_share,
        outside_gb_s: assumptions.outside_gb_s,
        refill_gb_s: assumptions.refill_gb_s,
        lane_memory_bytes_max: memory_bytes.and_then(|all| all.into_iter().max()),
    })
}

impl Said {
    fn nothing(&mut self, why: impl std::fmt::Display) {
        self.not_shown.push(format!("memory and links: nothing is shown of them, as {why}"));
    }

    fn residency(&mut self, run: &Run, shown: Shown) {
        let (held, rate) = match (shown.held_bytes, shown.read_bytes_per_s) {
            (Ok(held), Ok(rate)) => (held, rate),
            (Err(why), _) | (_, Err(why)) => return self.nothing(why),
        };
        self.shown.held_bytes = Some(held);
        self.shown.read_bytes_per_s = Some(rate);
        let text = format!(
            "at least {} of each lane were held, while it swept them, in memory or behind links \
             faster than {} GB/s, and all of it was read {} times: at least {}",
            at_least(held as f64, "B"),
            run.outside_gb_s,
            run.iterations,
            at_least(rate as f64, "B/s")
        );
        self.facts.push(fact(Grade::Measured, "memory", text));
        if run.lanes > 1 {
            self.at_once(shown.at_once);
        }
        self.shown.at_once = shown.at_once.is_ok();
    }

    fn at_once(&mut self, at_once: Result<(), NotShown>) {
        match at_once {
            Ok(()) => {
                let text = "all lanes held theirs at the same time";
                self.facts.push(fact(Grade::Measured, "memory", text));
            }
            Err(why) => self.not_shown.push(format!(
                "whether all lanes held theirs at the same time, or one device served them in turn: {why}"
            )),
        }
    }

    fn links(&mut self, run: &Run, shown: Shown) {
        self.shown.at_once = shown.at_once.is_ok();
        let (bytes, rate) = match (shown.from_others_bytes, shown.link_bytes_per_s) {
            (Ok(bytes), Ok(rate)) => (bytes, rate),
            (Err(why), _) | (_, Err(why)) => return self.nothing(why),
        };
        self.shown.from_others_bytes = Some(bytes.to_string());
        self.shown.link_bytes_per_s = Some(rate);
        let memory = run.lane_memory_bytes_max.unwrap_or(0);
        let text = format!(
            "if no lane has more than {} of memory: at least {} reached each lane from others, at \
             least {}",
            about(memory as f64, "B"),
            at_least(bytes as f64, "B"),
            at_least(rate as f64, "B/s")
        );
        self.facts.push(fact(Grade::Measured, "links", text));
    }
}
