//! The next challenge of a session: sized for the miner's devices, and on record before it
//! is sent.

use super::Validator;
use crate::error_text::what_happened;
use crate::ledger::RoundOf;
use crate::mining::issue::{IssueError, Request, issue};
use crate::policy::{Rig, RoundKind, RoundPlan};
use crate::protocol::challenge::ChallengeError;
use crate::session::clock::unix_ms;
use crate::session::fault::OwnFault;
use crate::session::limits::ROUND_TRIP_CREDIT_MAX;
use crate::session::message::DeviceKind;
use crate::session::validator::{Issued, NotIssued, Wanted};
use std::sync::Arc;

impl Validator {
    /// Does [`Action::Issue`](crate::session::validator::Action::Issue).
    pub(super) fn issue(&self, wanted: &Wanted) -> Result<Issued, NotIssued> {
        let plan = match &wanted.plan {
            Some(plan) => Arc::clone(plan),
            None => self.plan(wanted)?.into(),
        };
        let own = |error: &dyn std::fmt::Display| NotIssued::Own(OwnFault(error.to_string()));
        let request = &plan[wanted.round].request;
        let challenge = issue(request).map_err(|error| match error {
            IssueError::Invalid(ChallengeError::TooMuch { .. })
                if self.request.gpu_count.is_none() =>
            {
                let what = what_happened(error);
                NotIssued::Unfit(format!("for the devices that the miner names, {what}"))
            }
            error => own(&error),
        })?;
        let round = wanted.session.map(|session| RoundOf { session, number: wanted.round as u32 });
        let on_record = self.ledger.issue_round(&challenge, challenge.token(), unix_ms(), round);
        on_record.map_err(|error| own(&error))?;
        Ok(Issued { round: wanted.round, challenge: Box::new(challenge), plan })
    }

    /// The rounds for this miner, sized.
    fn plan(&self, wanted: &Wanted) -> Result<Vec<RoundPlan>, NotIssued> {
        let round_trip = wanted.round_trip.min(ROUND_TRIP_CREDIT_MAX);
        let typed = Request {
            miner_id: wanted.miner_id,
            validator_id: self.identity.as_ref().map(|identity| identity.public()),
            max_duration_ms: self
                .request
                .max_duration_ms
                .map(|ms| ms.saturating_add(round_trip.as_millis() as u64)),
            ..self.request.clone()
        };
        let devices = &wanted.hello.devices;
        let own = |error: &dyn std::fmt::Display| NotIssued::Own(OwnFault(error.to_string()));
        let Some(policy) = &self.policy else {
            let request = typed.with_lanes(devices.len() as u64);
            let kind = RoundKind::of(&request).map_err(|error| own(&error))?;
            return Ok(vec![RoundPlan::alone(kind, request)]);
        };
        let mut gpus = devices.iter().filter(|device| device.kind == DeviceKind::Gpu);
        let rig = Rig {
            gpu_model: gpus.clone().next().map(|gpu| gpu.model.as_str()),
            gpus: gpus.by_ref().count() as u64,
            devices: devices.len() as u64,
            round_trip: Some(round_trip),
        };
        policy.rounds(&rig, typed).map_err(|error| match error.is_of_devices() {
            true => NotIssued::Unfit(what_happened(error)),
            false => own(&error),
        })
    }
}
