//! A validator that holds sessions: the means for the actions of
//! [`super::validator`], over any pair of streams.
//!
//! Guarantees: a session ends whatever the streams do; ledger and verification
//! run beside the streams, and no more verifications at once than there are
//! cores; memory of a session is bounded by its challenge.
//! Deliberately lacks: making connections; [`super::command`] and [`super::tcp`]
//! do.

use super::clock::unix_ms;
use super::fault::OwnFault;
use super::limits::{Patience, ROUND_TRIP_CREDIT_MAX};
use super::link::{Heard, Link};
use super::message::{DeviceKind, MinerHello};
use super::validator::{
    Accepted, Action, Case, Commitment, Ended, Event, Judged, NotIssued, Settle, ValidatorSession,
    Wanted,
};
use crate::error_text::what_happened;
use crate::executor::cpu::CpuVerifier;
use crate::identity::SigningIdentity;
use crate::judging::{Known, Session, Terms};
use crate::ledger::{Acceptance, Ledger, SettledAs, Settlement, Sighting};
use crate::policy::{Policy, SizeError, Target};
use crate::protocol::bound::OmittedShare;
use crate::protocol::challenge::{Challenge, ChallengeError};
use crate::protocol::digest::Digest;
use crate::protocol::verdict::Outcome;
use crate::protocol::verify::verify;
use crate::session::issue::{IssueError, Request, issue};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

/// How a validator holds its sessions.
pub struct Validator {
    /// What it remembers.
    pub ledger: Arc<dyn Ledger>,
    /// Signs receipts; challenges name it as their validator_id.
    pub identity: Option<Arc<SigningIdentity>>,
    /// What challenges ask for.
    pub request: Request,
    /// Sizes challenges and judges what verified.
    pub policy: Option<Policy>,
    /// How long it waits.
    pub patience: Patience,
    /// f of the bound in verdicts; where absent the policy's, without one the default.
    pub omitted_share: Option<OmittedShare>,
    /// Verifications at once.
    judging: Semaphore,
}

/// How far a session has come, for whoever watches.
#[derive(Debug)]
pub enum Stage<'a> {
    /// The miner is there; the round trip is measured.
    Met(&'a MinerHello, Duration),
    /// The challenge is out.
    Challenged(&'a Challenge),
    /// The commitment is there.
    Committed(&'a Digest),
    /// The coin is out.
    CoinSent,
    /// The complete result is there, with so many openings.
    Complete(usize),
}

/// What work under way comes to.
enum Done {
    Issued(Result<Box<Challenge>, NotIssued>),
    Accepted(Result<Accepted, OwnFault>),
    CoinRecorded(Result<Digest, OwnFault>),
    Judged(Box<Judged>),
    Settled(Result<(), OwnFault>),
}

impl Validator {
    /// A validator with these records that asks for this, with default patience.
    pub fn new(ledger: Arc<dyn Ledger>, request: Request) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self {
            ledger,
            identity: None,
            request,
            policy: None,
            patience: Patience::default(),
            omitted_share: None,
            judging: Semaphore::new(cores),
        }
    }

    /// Holds one session over these streams, to its end. `miner_id` is the key
    /// that the transport has authenticated, or that is demanded.
    pub async fn session(
        self: &Arc<Self>,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        miner_id: Option<Digest>,
        watch: &(dyn Fn(Stage<'_>) + Send + Sync),
    ) -> Ended {
        let miner_id = miner_id.or(self.request.miner_id);
        let mut session = ValidatorSession::new(self.patience, miner_id);
        let mut link = Link::new(reader, writer);
        let mut work: Option<JoinHandle<Done>> = None;
        let mut actions = session.handle(link.now(), Event::Start);
        loop {
            for action in actions {
                match action {
                    Action::Send(line) => link.send(&line),
                    Action::End(ended) => {
                        link.finish().await;
                        return *ended;
                    }
                    action => work = Some(self.begin(action, watch)),
                }
            }
            let (now, heard) = link.next(session.deadline(), &mut work).await;
            actions = match heard {
                Heard::Bytes(length) => session.handle(now, Event::Bytes(link.piece(length))),
                Heard::Closed => session.handle(now, Event::Closed),
                Heard::Deadline => session.handle(now, Event::Tick),
                Heard::Done(Ok(done)) => {
                    if let Done::Issued(Ok(challenge)) = &done {
                        watch(Stage::Challenged(challenge));
                    }
                    if let Done::CoinRecorded(Ok(_)) = &done {
                        watch(Stage::CoinSent);
                    }
                    session.handle(now, event_of(done))
                }
                Heard::Done(Err(panic)) => {
                    let text = format!("the validator's own work failed: {panic}\nReport it.");
                    session.abandon(OwnFault(text))
                }
            };
        }
    }

    fn begin(
        self: &Arc<Self>,
        action: Action,
        watch: &(dyn Fn(Stage<'_>) + Send + Sync),
    ) -> JoinHandle<Done> {
        let own = Arc::clone(self);
        match action {
            Action::Issue(wanted) => {
                watch(Stage::Met(&wanted.hello, wanted.round_trip));
                spawn_blocking(move || Done::Issued(own.issue(&wanted).map(Box::new)))
            }
            Action::Accept(commitment) => {
                watch(Stage::Committed(&commitment.commitment));
                spawn_blocking(move || Done::Accepted(own.accept(&commitment)))
            }
            Action::DrawCoin { challenge } => {
                spawn_blocking(move || Done::CoinRecorded(own.draw_coin(&challenge)))
            }
            Action::Judge(case) => {
                watch(Stage::Complete(case.result.openings.len()));
                tokio::spawn(async move {
                    let _turn = own.judging.acquire().await;
                    let own = Arc::clone(&own);
                    let judged = spawn_blocking(move || own.judge(*case)).await;
                    Done::Judged(Box::new(judged.expect("verification does not panic")))
                })
            }
            Action::Settle(settle) => spawn_blocking(move || Done::Settled(own.settle(&settle))),
            Action::Send(_) | Action::End(_) => unreachable!("done by the caller"),
        }
    }

    fn issue(&self, wanted: &Wanted) -> Result<Challenge, NotIssued> {
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
        let request = match &self.policy {
            None => with_lanes(typed, wanted.hello.devices.len()),
            Some(policy) => sized(policy, typed, &wanted.hello, round_trip)?,
        };
        let own = |error: &dyn std::fmt::Display| NotIssued::Own(OwnFault(error.to_string()));
        let challenge = issue(&request).map_err(|error| match error {
            IssueError::Invalid(ChallengeError::TooMuch { .. })
                if self.request.gpu_count.is_none() =>
            {
                let what = what_happened(error);
                NotIssued::Unfit(format!("for the devices that the miner names, {what}"))
            }
            error => own(&error),
        })?;
        self.ledger.issue(&challenge, challenge.token(), unix_ms()).map_err(|error| own(&error))?;
        Ok(challenge)
    }

    /// Does [`Action::Accept`]: spends the nonce, claims the devices.
    ///
    /// # Errors
    /// The ledger fails.
    pub fn accept(&self, commitment: &Commitment) -> Result<Accepted, OwnFault> {
        let own = |error| OwnFault::of(&error);
        let Commitment { challenge, arrived_unix_ms, over_unix_ms, .. } = *commitment;
        let acceptance =
            self.ledger.accept(&challenge, &commitment.commitment, arrived_unix_ms).map_err(own)?;
        let history = match acceptance {
            Acceptance::Accepted => {
                let devices = Sighting::of(&commitment.evidence, commitment.miner_id);
                self.ledger
                    .claim(&challenge, &devices, arrived_unix_ms, over_unix_ms)
                    .map_err(own)?
            }
            Acceptance::Spent(_) | Acceptance::NotIssued => Vec::new(),
        };
        Ok(Accepted { acceptance, history })
    }

    fn draw_coin(&self, challenge: &Digest) -> Result<Digest, OwnFault> {
        let mut coin = Digest::default();
        while coin == Digest::default() {
            getrandom::fill(&mut coin.0).map_err(|error| {
                OwnFault(format!(
                    "no random bytes for a coin: {error}\nCheck the system's random generator."
                ))
            })?;
        }
        self.ledger.record_coin(challenge, &coin).map_err(|error| OwnFault::of(&error))?;
        Ok(coin)
    }

    /// Does [`Action::Judge`]: verifies, asks the policy, signs the receipt.
    pub fn judge(&self, case: Case) -> Judged {
        let Case { challenge, result, session, arrived_unix_ms, .. } = &case;
        let terms = Terms { policy: self.policy.as_ref(), omitted_share: self.omitted_share };
        let to_judge = Session {
            challenge,
            result,
            record: session.clone(),
            elapsed: case.elapsed,
            arrived_unix_ms: *arrived_unix_ms,
            known: Known {
                round_trip: Some(case.round_trip.min(ROUND_TRIP_CREDIT_MAX)),
                history: &case.history,
            },
        };
        let Ok(verdict) = terms.of_session(&to_judge, |circumstances| {
            Ok::<_, Infallible>(verify(challenge, result, circumstances, &CpuVerifier::new()))
        });
        let signer = self.identity.as_ref().filter(|_| verdict.outcome == Outcome::Verified);
        let receipt = signer.and_then(|identity| {
            identity
                .sign_receipt(challenge, &session.commitment, session.coin, *arrived_unix_ms)
                .inspect_err(|error| tracing::warn!("no receipt: {error}"))
                .ok()
        });
        Judged { verdict, receipt, result: case.result }
    }

    /// Does [`Action::Settle`]: records the verdict. One that is none is not recorded.
    ///
    /// # Errors
    /// The ledger fails.
    pub fn settle(&self, settle: &Settle) -> Result<(), OwnFault> {
        let Settle { challenge, miner_id, verdict } = settle;
        let outcome = match verdict.outcome {
            Outcome::Verified => SettledAs::Verified,
            Outcome::Rejected => SettledAs::Rejected,
            // The session settles nothing that was not decided.
            Outcome::CouldNotRun => return Ok(()),
        };
        let settlement = Settlement {
            outcome,
            code: verdict.code.map(str::to_owned),
            verdict_json: serde_json::to_string(verdict).expect("a verdict has string keys"),
            miner: *miner_id,
            settled_unix_ms: unix_ms(),
        };
        self.ledger.settle(challenge, &settlement).map_err(|error| OwnFault::of(&error))
    }
}

fn event_of<'a>(done: Done) -> Event<'a> {
    match done {
        Done::Issued(issued) => Event::Issued(issued),
        Done::Accepted(accepted) => Event::Accepted(accepted),
        Done::CoinRecorded(coin) => Event::CoinRecorded(coin),
        Done::Judged(judged) => Event::Judged(judged),
        Done::Settled(settled) => Event::Settled(settled),
    }
}

/// Asks for as many lanes as the miner has devices, where no number was typed: that
/// bounds the answer's size.
fn with_lanes(request: Request, devices: usize) -> Request {
    let gpu_count = request.gpu_count.or(Some(devices.max(1) as u64));
    Request { gpu_count, ..request }
}

/// What the policy asks of the GPUs that the miner says it has. What was typed
/// stays. A miner without GPUs is asked for the work that was typed, with samples
/// enough for the policy: there is no table of CPUs, and the policy says whether a
/// CPU will do.
fn sized(
    policy: &Policy,
    typed: Request,
    hello: &MinerHello,
    round_trip: Duration,
) -> Result<Request, NotIssued> {
    let mut gpus = hello.devices.iter().filter(|device| device.kind == DeviceKind::Gpu);
    let Some(gpu) = gpus.next() else {
        return match policy.devices.cpu_allowed {
            true => {
                let base = with_lanes(typed, hello.devices.len());
                policy.with_samples(base).map_err(|error| match error {
                    SizeError::MinerKey => NotIssued::Unfit(what_happened(error)),
                    error => NotIssued::Own(OwnFault(error.to_string())),
                })
            }
            false => {
                Err(NotIssued::Unfit("the policy asks for GPUs, the miner names none".to_owned()))
            }
        };
    };
    let round_trip = Some(round_trip);
    let model = typed.gpu_model.clone().unwrap_or_else(|| gpu.model.clone());
    let count = (1 + gpus.count()).min(policy.devices.gpu_count_max as usize);
    let base = with_lanes(typed, count);
    policy.request(&Target { model: &model, seconds: None, round_trip }, base).map_err(|error| {
        match error {
            SizeError::UnknownModel { .. }
            | SizeError::ModelNotAllowed { .. }
            | SizeError::GpuCount { .. }
            | SizeError::Memory { .. }
            | SizeError::MinerKey => NotIssued::Unfit(what_happened(error)),
            error => NotIssued::Own(OwnFault(error.to_string())),
        }
    })
}
