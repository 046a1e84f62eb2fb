//! A validator that holds sessions: the means for the actions of
//! [`super::validator`], over any pair of streams.
//!
//! Guarantees: a session ends whatever the streams do; ledger, parsing and
//! verification run beside the streams, within `Room`; memory of a session is
//! bounded by its challenge; what was issued is settled, however the session ends,
//! also if its future is dropped; every session is on record as a meeting.
//! Deliberately lacks: making connections; [`super::command`] and [`super::tcp`]
//! do.

mod around;
mod issuing;

pub use around::{Extras, GoesOn, Peering, Stage, Start};

use super::chance;
use super::clock::unix_ms;
use super::fault::OwnFault;
use super::limits::{Patience, ROUND_TRIP_CREDIT_MAX};
use super::link::{Heard, Link, Works};
use super::open::{OpenChallenge, OpenChallenges, settlement_of};
use super::room::Room;
use super::validator::{
    Accept, Accepted, Action, Case, Content, Ended, Event, Issued, Judged, NotIssued, NotRead,
    Part, Settle, Summary, ValidatorSession,
};
use crate::appraisal::exclusion;
use crate::executor::cpu::CpuVerifier;
use crate::identity::SigningIdentity;
use crate::judging::{DeviceTrust, DieRecords, Keeping, Known, MachineTrust, Session, Terms};
use crate::ledger::{Acceptance, Accepting, Ledger, Sighting};
use crate::log;
use crate::mining::issue::Request;
use crate::policy::{Policy, SessionFacts};
use crate::protocol::bound::OmittedShare;
use crate::protocol::names::Coin;
use crate::protocol::signature::PublicKey;
use crate::protocol::verdict::{Outcome, SessionVerdict};
use crate::protocol::verify::verify;
use attest_device_report::{NVIDIA_DEVICE_ROOT, Ocsp, Rims};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
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
    /// Bytes each way of a network part, 0 for none; if absent what the policy asks for.
    pub network_bytes: Option<u64>,
    /// f of the bound in verdicts; if absent the policy's, without one the default.
    pub omitted_share: Option<OmittedShare>,
    /// DER certificates in which the chains of devices' reports may end: NVIDIA's root.
    pub device_roots: Vec<&'static [u8]>,
    /// Golden values that devices' reports are compared with.
    pub rims: Option<Rims>,
    /// What is said of the revocation of their certificates.
    pub ocsp: Option<Ocsp>,
    /// Certificates of AMD's chips, in DER, for quotes of machines that come without.
    pub machine_certificates: Vec<Vec<u8>>,
    room: Room,
    open: OpenChallenges,
    /// Why every session is to end, once there is a reason.
    interrupted: watch::Sender<Option<OwnFault>>,
}

/// What work under way comes to.
enum Done {
    Issued(Result<(Issued, OpenChallenge), NotIssued>),
    Read(usize, Result<Box<Content>, NotRead>),
    Accepted(usize, Result<Accepted, OwnFault>),
    Judged(Box<Judged>),
    Settled(usize, Result<(), OwnFault>),
    Concluded(Box<SessionVerdict>),
}

impl Validator {
    /// A validator with these records that asks for this, with default patience.
    pub fn new(ledger: Arc<dyn Ledger>, request: Request) -> Self {
        Self {
            ledger,
            identity: None,
            request,
            policy: None,
            patience: Patience::default(),
            network_bytes: None,
            omitted_share: None,
            device_roots: vec![NVIDIA_DEVICE_ROOT],
            rims: None,
            ocsp: None,
            machine_certificates: Vec::new(),
            room: Room::default(),
            open: OpenChallenges::default(),
            interrupted: watch::Sender::new(None),
        }
    }

    /// Ends every session that is under way, and any that begins from now on, without
    /// a verdict (could-not-run), for this reason. A challenge that is out is settled as
    /// rejected (`abandoned`), so that nobody answers it any more; a verdict that is
    /// being recorded stands. Returns at once: the sessions end within a moment, that
    /// of the ledger.
    pub fn interrupt(&self, reason: &str) {
        let text = format!("the session was given up: {reason}\nHold another one.");
        self.interrupted.send_if_modified(|why| {
            let is_first = why.is_none();
            why.get_or_insert(OwnFault(text));
            is_first
        });
    }

    /// Waits until [`Validator::interrupt`] was called; says why.
    pub(super) async fn given_up(&self) -> OwnFault {
        given_up(&mut self.interrupted.subscribe()).await
    }

    /// Waits until every challenge whose session's future was dropped is settled. It
    /// blocks.
    pub fn settle_dropped(&self) {
        self.open.wait();
    }

    /// Holds one session over these streams, to its end. `miner_id` is the key that
    /// the transport has authenticated. `watch` is called where all sessions run: it
    /// must not block.
    pub async fn session(
        self: &Arc<Self>,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin,
        miner_id: Option<PublicKey>,
        watch: &(dyn Fn(Stage<'_>) + Send + Sync),
    ) -> Ended {
        let peer = Peering { key: miner_id, address: None };
        self.session_with(reader, writer, &peer, watch).await
    }

    /// As [`Validator::session`], with a peer of which the transport knows more.
    pub async fn session_with(
        self: &Arc<Self>,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin,
        peer: &Peering,
        watch: &(dyn Fn(Stage<'_>) + Send + Sync),
    ) -> Ended {
        self.session_over(reader, Extras::default(), writer, peer, watch).await
    }

    /// As [`Validator::session_with`], over a transport with more than streams.
    pub async fn session_over(
        self: &Arc<Self>,
        reader: impl AsyncRead + Unpin + Send + 'static,
        extras: Extras,
        writer: impl AsyncWrite + Unpin,
        peer: &Peering,
        watch: &(dyn Fn(Stage<'_>) + Send + Sync),
    ) -> Ended {
        let met_unix_ms = unix_ms();
        let (ended, link) = self.talk(reader, extras, writer, peer, watch).await;
        tokio::join!(self.meet(peer, met_unix_ms, &ended), link.finish());
        ended
    }

    /// Holds the session, and puts no meeting on record; the link is still to be
    /// finished.
    pub(super) async fn talk<W: AsyncWrite + Unpin>(
        self: &Arc<Self>,
        reader: impl AsyncRead + Unpin + Send + 'static,
        extras: Extras,
        writer: W,
        peer: &Peering,
        watch: &(dyn Fn(Stage<'_>) + Send + Sync),
    ) -> (Ended, Link<W>) {
        let miner_id = peer.key.or(self.request.miner_id);
        let mut session = ValidatorSession::new(self.patience, miner_id);
        let network = self.network_ask().map(|ask| {
            if let Some(ask) = ask {
                session.ask_network(ask);
            }
        });
        let Extras { stamps, mut start } = extras;
        let mut link = Link::stamped(reader, stamps, writer);
        let mut interrupted = self.interrupted.subscribe();
        let mut is_interrupted = false;
        let mut works: Works<Done, Part> = Works::none();
        // Settle the challenges of their rounds when this future is dropped.
        let mut open: BTreeMap<usize, OpenChallenge> = BTreeMap::new();
        let mut actions = match network {
            Ok(()) => session.handle(link.now(), Event::Start),
            Err(own) => session.abandon(Part::Session, own),
        };
        loop {
            for action in actions {
                match action {
                    Action::Send(line) => link.send(&line),
                    Action::End(ended) => {
                        open.into_values().for_each(OpenChallenge::release);
                        return (*ended, link);
                    }
                    action => {
                        let (part, work) = self.begin(action, peer, &mut start, &mut open, watch);
                        works.begin(part, work);
                    }
                }
            }
            link.want(session.wanted_bytes());
            let next = tokio::select! {
                biased;
                why = given_up(&mut interrupted), if !is_interrupted => Err(why),
                next = link.next(session.deadline(), &mut works) => Ok(next),
            };
            actions = match next {
                Err(why) => {
                    is_interrupted = true;
                    session.handle(link.now(), Event::Interrupted(why))
                }
                Ok((now, Heard::Bytes(bytes))) => session.handle(now, Event::Bytes(&bytes)),
                Ok((now, Heard::Closed)) => session.handle(now, Event::Closed),
                Ok((now, Heard::Deadline)) => session.handle(now, Event::Tick),
                Ok((now, Heard::Done(_, Ok(done)))) => {
                    let event = event_of(done, &mut open, watch);
                    session.handle(now, event)
                }
                Ok((_, Heard::Done(part, Err(panic)))) => {
                    let text = format!("the validator's own work failed: {panic}\nReport it.");
                    session.abandon(part, OwnFault(text))
                }
            };
        }
    }

    fn begin(
        self: &Arc<Self>,
        action: Action,
        peer: &Peering,
        start: &mut Option<Start>,
        open: &mut BTreeMap<usize, OpenChallenge>,
        watch: &(dyn Fn(Stage<'_>) + Send + Sync),
    ) -> (Part, JoinHandle<Done>) {
        let own = Arc::clone(self);
        let part = match &action {
            Action::Judge(case) => Part::Judging(case.round),
            Action::Settle(settle) => Part::Settling(settle.round),
            Action::Issue(wanted) => Part::Talk(wanted.round),
            Action::Read(reading) => Part::Talk(reading.round),
            Action::Accept(accept) => Part::Talk(accept.round),
            Action::Conclude(_) | Action::Send(_) | Action::End(_) => Part::Session,
        };
        let work = match action {
            Action::Issue(wanted) => {
                if wanted.round == 0 {
                    watch(Stage::Met(&wanted.hello, wanted.round_trip));
                }
                // Of two challenges beside each other the first one waits for both.
                let (peer, start) = (peer.clone(), start.take());
                tokio::spawn(async move { Done::Issued(own.issue(peer, wanted, start).await) })
            }
            Action::Read(reading) => tokio::spawn(async move {
                let round = reading.round;
                let _place = own.room.for_reading(reading.cost_bytes()).await;
                let read = spawn_blocking(move || reading.read()).await;
                Done::Read(round, read.expect("reading does not panic"))
            }),
            Action::Accept(accept) => {
                watch(Stage::Committed(accept.round, &accept.commitment));
                spawn_blocking(move || Done::Accepted(accept.round, own.accept(&accept)))
            }
            Action::Judge(case) => {
                watch(Stage::Complete(case.round, case.result.openings.len()));
                tokio::spawn(async move {
                    let _turn = own.room.for_judging().await;
                    let own = Arc::clone(&own);
                    let judged = spawn_blocking(move || {
                        let mut judged = own.judge(*case);
                        judged.result.evidence.forget_parsed();
                        judged
                    });
                    Done::Judged(Box::new(judged.await.expect("verification does not panic")))
                })
            }
            Action::Settle(settle) => {
                // From here on it is this work that settles, or, if it fails or is
                // dropped, the end of this.
                let open = open.remove(&settle.round);
                spawn_blocking(move || {
                    let settled = own.settle(&settle);
                    if let (Some(open), Ok(())) = (open, &settled) {
                        open.release();
                    }
                    Done::Settled(settle.round, settled)
                })
            }
            Action::Conclude(summary) => {
                spawn_blocking(move || Done::Concluded(Box::new(own.conclude(*summary))))
            }
            Action::Send(_) | Action::End(_) => unreachable!("done by the caller"),
        };
        (part, work)
    }

    /// Does [`Action::Conclude`]: appraises the rounds together, and asks the policy about
    /// them if they are several, or there was a network part.
    pub fn conclude(&self, summary: Summary) -> SessionVerdict {
        let Summary { verdict, facts, plan, network } = summary;
        let models = verdict.shown.as_ref().and_then(exclusion::models);
        let session = SessionFacts { rounds: &facts, planned: &plan, network };
        let policy = self.policy.as_ref();
        let verdict = verdict.appraised(models, policy.and_then(|policy| policy.price(&session)));
        match policy.filter(|_| plan.len() > 1 || network.is_some()) {
            Some(policy) => verdict.judged(policy.judge_session(&session)),
            None => verdict,
        }
    }

    /// Does [`Action::Accept`], with a coin from the operating system.
    ///
    /// # Errors
    /// The ledger fails, or there are no random bytes.
    pub fn accept(&self, accept: &Accept) -> Result<Accepted, OwnFault> {
        let coin = loop {
            if let Some(coin) = Coin::new(chance::random("a coin")?) {
                break coin;
            }
        };
        self.accept_with(accept, coin)
    }

    /// Does [`Action::Accept`] with this coin, which nobody knows yet.
    ///
    /// # Errors
    /// The ledger fails.
    pub fn accept_with(&self, accept: &Accept, coin: Coin) -> Result<Accepted, OwnFault> {
        let accepting = Accepting {
            commitment: accept.commitment,
            coin,
            arrived_unix_ms: accept.arrived_unix_ms,
            devices: &Sighting::of(&accept.evidence, accept.miner_id),
            until_unix_ms: accept.over_unix_ms,
            window: self.terms().history_window(),
        };
        let accepted = self.ledger.accept_session(&accept.challenge, &accepting);
        let (acceptance, history) = accepted.map_err(|error| OwnFault::of(&error))?;
        Ok(Accepted { acceptance, history, coin })
    }

    fn terms(&self) -> Terms<'_> {
        let (rims, ocsp) = (self.rims.as_ref(), self.ocsp.as_ref());
        let devices = DeviceTrust { roots: &self.device_roots, rims, ocsp };
        let certificates = &self.machine_certificates;
        Terms {
            policy: self.policy.as_ref(),
            omitted_share: self.omitted_share,
            devices,
            machine: MachineTrust { certificates, ..MachineTrust::default() },
        }
    }

    /// Does [`Action::Judge`]: verifies, asks the policy, signs the receipt.
    pub fn judge(&self, case: Case) -> Judged {
        let Case { challenge, result, session, arrived_unix_ms, .. } = &case;
        let keeping = Keeping::Record;
        let dies = DieRecords { ledger: &*self.ledger, now_unix_ms: unix_ms(), keeping };
        let to_judge = Session {
            scope: case.scope,
            challenge,
            result,
            record: session.clone(),
            elapsed: case.elapsed,
            arrived_unix_ms: *arrived_unix_ms,
            known: Known {
                round_trip: Some(case.round_trip.min(ROUND_TRIP_CREDIT_MAX)),
                history: &case.history,
                dies: Some(dies),
                on: case.on,
            },
        };
        let Ok((verdict, facts)) = self.terms().of_round(&to_judge, |circumstances| {
            let began = Instant::now();
            let end = verify(challenge, result, circumstances, &CpuVerifier::new());
            log::verified(challenge, &end, None, began.elapsed());
            Ok::<_, Infallible>(end)
        });
        let signer = self.identity.as_ref().filter(|_| verdict.outcome == Outcome::Verified);
        let receipt = signer.and_then(|identity| {
            identity
                .sign_receipt(challenge, &session.commitment, session.coin, *arrived_unix_ms)
                .inspect_err(|error| tracing::warn!("no receipt: {error}"))
                .ok()
        });
        Judged { round: case.round, facts, verdict, receipt, result: case.result }
    }

    /// Does [`Action::Settle`]: records the verdict.
    ///
    /// # Errors
    /// The ledger fails.
    pub fn settle(&self, settle: &Settle) -> Result<(), OwnFault> {
        let Settle { challenge, miner_id, verdict, .. } = settle;
        let settlement = settlement_of(verdict, *miner_id);
        self.ledger.settle(challenge, &settlement).map_err(|error| OwnFault::of(&error))
    }
}

/// Waits until there is a reason to end the session.
async fn given_up(interrupted: &mut watch::Receiver<Option<OwnFault>>) -> OwnFault {
    let why = interrupted.wait_for(Option::is_some).await.map(|why| why.clone());
    match why {
        Ok(Some(why)) => why,
        // Its validator lives as long as the session.
        _ => std::future::pending().await,
    }
}

fn event_of<'a>(
    done: Done,
    open: &mut BTreeMap<usize, OpenChallenge>,
    watch: &(dyn Fn(Stage<'_>) + Send + Sync),
) -> Event<'a> {
    match done {
        Done::Issued(Ok((issued, on_record))) => {
            open.insert(issued.round, on_record);
            watch(Stage::Challenged(issued.round, &issued.challenge));
            Event::Issued(Ok(issued))
        }
        Done::Issued(Err(why)) => Event::Issued(Err(why)),
        Done::Read(round, read) => Event::Read(round, read),
        Done::Accepted(round, accepted) => {
            let is_accepted = |accepted: &Accepted| accepted.acceptance == Acceptance::Accepted;
            if accepted.as_ref().is_ok_and(is_accepted) {
                watch(Stage::CoinSent(round));
            }
            Event::Accepted(round, accepted)
        }
        Done::Judged(judged) => {
            watch(Stage::Judged(judged.round, &judged.verdict));
            Event::Judged(judged)
        }
        Done::Settled(round, settled) => Event::Settled(round, settled),
        Done::Concluded(verdict) => Event::Concluded(verdict),
    }
}
