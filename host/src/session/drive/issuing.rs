//! The next challenge of a session: sized for the miner's devices, and on record before it
//! is sent.

use super::{Peering, Start, Validator};
use crate::error_text::what_happened;
use crate::ledger::{LedgerError, RoundOf};
use crate::mining::issue::{IssueError, Request, issue};
use crate::policy::{Rig, RoundKind, RoundPlan};
use crate::protocol::challenge::ChallengeError;
use crate::protocol::digest::Digest;
use crate::session::clock::unix_ms;
use crate::session::fault::OwnFault;
use crate::session::limits::ROUND_TRIP_CREDIT_MAX;
use crate::session::message::DeviceKind;
use crate::session::open::OpenChallenge;
use crate::session::validator::{Issued, NotIssued, Wanted};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Said of a session that is not to begin after all.
const NOT_TO_BEGIN: &str = "the session is not to begin any more: those of its group have begun, \
     or another validator has taken it over\nTry again.";

impl Validator {
    /// Does [`Action::Issue`](crate::session::validator::Action::Issue), in the way that `start`
    /// says.
    pub(super) async fn issue(
        self: Arc<Self>,
        peer: Peering,
        wanted: Box<Wanted>,
        start: Option<Start>,
    ) -> Result<(Issued, OpenChallenge), NotIssued> {
        let stopped = || NotIssued::Own(OwnFault(NOT_TO_BEGIN.to_owned()));
        let (own, session) = (Arc::clone(&self), wanted.session);
        let making = spawn_blocking(move || {
            own.refuse_dodger(&peer, &wanted).and_then(|()| own.make(&wanted))
        });
        let issued = making.await.expect("making a challenge does not panic")?;
        let mut goes_on = None;
        if let Some(Start { named, recorded }) = start {
            if !named(issued.challenge.digest()).await {
                return Err(stopped());
            }
            goes_on = Some(recorded);
        }
        let recording = spawn_blocking(move || {
            let open = self.record(&issued, session)?;
            Ok((issued, open))
        });
        let on_record = recording.await.expect("recording does not panic")?;
        if let Some(goes_on) = goes_on
            && !goes_on.await
        {
            return Err(stopped());
        }
        Ok(on_record)
    }

    /// Makes what [`Action::Issue`](crate::session::validator::Action::Issue) wants.
    fn make(&self, wanted: &Wanted) -> Result<Issued, NotIssued> {
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
        Ok(Issued { round: wanted.round, challenge: Box::new(challenge), plan })
    }

    /// Puts it on record, as a round of `session` if that has begun.
    fn record(&self, issued: &Issued, session: Option<Digest>) -> Result<OpenChallenge, NotIssued> {
        let challenge = &issued.challenge;
        let round = session.map(|session| RoundOf { session, number: issued.round as u32 });
        let open = self.open.of(&self.ledger, challenge);
        match self.ledger.issue_round(challenge, challenge.token(), unix_ms(), round) {
            Ok(()) => Ok(open),
            Err(error) => {
                // If it may be on record it is settled there, as nobody gets it.
                if !matches!(error, LedgerError::Unknown { .. }) {
                    open.release();
                }
                Err(NotIssued::Own(OwnFault(error.to_string())))
            }
        }
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
