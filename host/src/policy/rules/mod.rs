//! What each rule looks at and says, a function a rule; `table.rs` has the rows.
//!
//! Guarantees: a lane's rules see every lane, whatever the lanes before it claim; a
//! function gives one text for each reason, and none if the rule is kept.
//! Deliberately lacks: weights and codes, which the rows have; and what cannot be true
//! of a model, which is [`crate::appraisal::plausible`]'s.

pub(super) mod device_reports;
pub(super) mod devices;
#[cfg(test)]
pub(super) mod example;
pub(super) mod figures;
pub(super) mod machine_report;
pub(super) mod models;
pub(super) mod prices;
pub(super) mod rounds;
pub(super) mod session;
pub(super) mod soundness;
pub(super) mod telemetry;
pub(super) mod time;

use super::{Facts, Policy, RoundOn, SessionFacts};
use crate::appraisal::models::{self as table, Model};
use crate::protocol::evidence::document::ClaimedLane;
use crate::protocol::evidence::{EvidenceExecutor, EvidenceLane};

/// A session under a policy; a result that is judged alone is one of one round.
#[derive(Clone, Copy)]
pub(super) struct SessionCase<'a> {
    pub(super) policy: &'a Policy,
    pub(super) session: &'a SessionFacts<'a>,
}

/// A result under a policy.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) policy: &'a Policy,
    pub(super) facts: &'a Facts<'a>,
}

/// One lane of it.
pub(super) struct LaneCase<'a> {
    pub(super) case: Case<'a>,
    pub(super) g: usize,
    pub(super) lane: &'a EvidenceLane,
    /// The row of the table of models, if the lane's model has one.
    pub(super) model: Option<&'static Model>,
    /// Whether it is a GPU's. Beside GPUs a CPU may be a lane, too: one without SMs is
    /// taken for that.
    pub(super) is_gpu: bool,
}

impl<'a> Case<'a> {
    /// Its lanes, if they are the devices that the policy has rules for.
    pub(super) fn lanes(self) -> impl Iterator<Item = LaneCase<'a>> {
        let evidence = self.facts.evidence;
        let among_gpus = self.is_of_gpus();
        let of_devices = |_: &_| self.facts.on == RoundOn::Devices;
        evidence.lanes().iter().enumerate().filter(of_devices).map(move |(g, lane)| LaneCase {
            case: self,
            g,
            lane,
            model: table::find(&lane.model),
            is_gpu: among_gpus && lane.sm_count > 0,
        })
    }

    /// Whether the evidence names GPUs as what did the work.
    fn is_of_gpus(self) -> bool {
        self.facts.evidence.executor() == EvidenceExecutor::Gpu
    }
}

impl<'a> LaneCase<'a> {
    /// What the lane says beyond the required fields.
    fn claims(&self) -> &'a ClaimedLane {
        self.case.facts.evidence.claims().lane(self.g)
    }
}
