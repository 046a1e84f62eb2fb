//! What goes into a validator's session and what comes out of it.

use super::reading::{Content, NotRead, Reading};
use crate::error_text::in_one_line;
use crate::judging::Scope;
use crate::ledger::{Acceptance, HistoryFinding};
use crate::policy::{RoundFacts, RoundOn, RoundPlan};
use crate::protocol::bound::OmittedShare;
use crate::protocol::challenge::Challenge;
use crate::protocol::circumstances::SessionRecord;
use crate::protocol::digest::Digest;
use crate::protocol::evidence::Evidence;
use crate::protocol::names::{Coin, Commitment};
use crate::protocol::receipt::Receipt;
use crate::protocol::result::ResultDoc;
use crate::protocol::signature::{EncodedKey, PublicKey};
use crate::protocol::verdict::{NetworkShown, Outcome, SessionVerdict, Verdict};
use crate::protocol::verify::{Failure, RecomputeError};
use crate::session::fault::{Fault, FaultCode, OwnFault};
use crate::session::message::MinerHello;
use std::sync::Arc;
use std::time::Duration;

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The streams are there.
    Start,
    /// Bytes came.
    Bytes(&'a [u8]),
    /// The other side will send nothing more.
    Closed,
    /// Time passed: [`super::ValidatorSession::deadline`] is reached.
    Tick,
    /// This side gives the session up.
    Interrupted(OwnFault),
    /// [`Action::Issue`] is done: the challenge is issued and on record.
    Issued(Result<Issued, NotIssued>),
    /// [`Action::Read`] is done, for the round of this number.
    Read(usize, Result<Box<Content>, NotRead>),
    /// [`Action::Accept`] is done, for the round of this number: if the commitment is
    /// accepted, the coin is on record.
    Accepted(usize, Result<Accepted, OwnFault>),
    /// [`Action::Judge`] is done.
    Judged(Box<Judged>),
    /// [`Action::Settle`] is done, for the round of this number.
    Settled(usize, Result<(), OwnFault>),
    /// [`Action::Conclude`] is done.
    Concluded(Box<SessionVerdict>),
}

/// A challenge that is on record.
#[derive(Debug)]
pub struct Issued {
    /// The number of the round, from 0.
    pub round: usize,
    /// What is asked in the round.
    pub challenge: Box<Challenge>,
    /// The session's rounds: of the first challenge those that it was planned with, later
    /// what [`Wanted::plan`] has.
    pub plan: Arc<[RoundPlan]>,
}

/// A part of a session that is under way on this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is of no single round.
    Session,
    /// What is done to talk with the miner in the round of this number.
    Talk(usize),
    /// The judging of the round of this number.
    Judging(usize),
    /// The settling of the round of this number.
    Settling(usize),
}

/// Why there is no challenge for this miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotIssued {
    /// This side could not issue one.
    Own(OwnFault),
    /// What the miner says that it has does not do.
    Unfit(String),
    /// The miner has dodged sessions more often than the policy allows.
    Dodger(String),
}

/// The ledger's answer to a commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Whether the nonce is spent on it now.
    pub acceptance: Acceptance,
    /// What does not fit the history of the devices that it names.
    pub history: Vec<HistoryFinding>,
    /// The coin that is on record for it, if it is accepted.
    pub coin: Coin,
}

/// A judged case.
#[derive(Debug)]
pub struct Judged {
    /// Of the case.
    pub round: usize,
    /// For the judgement of the session; `None` if it did not verify.
    pub facts: Option<RoundFacts>,
    /// What it comes to.
    pub verdict: Verdict,
    /// For the miner, if the challenge names this validator.
    pub receipt: Option<Receipt>,
    /// The result that was judged.
    pub result: ResultDoc,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Action {
    /// Send this line.
    Send(Vec<u8>),
    /// Issue a challenge and record it, then [`Event::Issued`].
    Issue(Box<Wanted>),
    /// Read a line where that holds up nobody, then [`Event::Read`].
    Read(Box<Reading>),
    /// Spend the nonce, claim the devices and record a coin from the operating
    /// system's random generator, all at once and durably, then [`Event::Accepted`].
    Accept(Box<Accept>),
    /// Verify the result, then [`Event::Judged`].
    Judge(Box<Case>),
    /// Record the verdict, then [`Event::Settled`].
    Settle(Box<Settle>),
    /// Appraise the rounds together, and ask the policy about them, then
    /// [`Event::Concluded`].
    Conclude(Box<Summary>),
    /// Over: close the streams.
    End(Box<Ended>),
}

/// A session whose rounds are verified.
#[derive(Debug)]
pub struct Summary {
    /// On its rounds, each by itself.
    pub verdict: SessionVerdict,
    /// One a round, in order.
    pub facts: Vec<RoundFacts>,
    /// What was planned.
    pub plan: Arc<[RoundPlan]>,
    /// What the network part showed.
    pub network: Option<NetworkShown>,
}

/// For which miner and round a challenge is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The number of the round, from 0.
    pub round: usize,
    /// Digest of the session's first challenge; `None` for the first.
    pub session: Option<Digest>,
    /// The session's rounds; `None` before they are planned.
    pub plan: Option<Arc<[RoundPlan]>>,
    /// What it claims to be.
    pub hello: MinerHello,
    /// The key that the challenge must name as its miner_id, if any.
    pub miner_id: Option<PublicKey>,
    /// From ping to pong: the least of those that were measured.
    pub round_trip: Duration,
}

/// A well-formed, signed commitment that came in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Accept {
    /// The number of the round.
    pub round: usize,
    /// Digest of the challenge.
    pub challenge: Digest,
    /// What the nonce is to be spent on.
    pub commitment: Commitment,
    /// Of the challenge.
    pub miner_id: Option<EncodedKey>,
    /// Names the devices.
    pub evidence: Evidence,
    /// When it came, ms since 1970.
    pub arrived_unix_ms: u64,
    /// By when this session is over at the latest, ms since 1970.
    pub over_unix_ms: u64,
}

/// A complete result with everything that this validator knows of it.
#[derive(Debug)]
pub struct Case {
    /// The number of the round.
    pub round: usize,
    /// Whether it is the only round that was planned.
    pub scope: Scope,
    /// Whom the challenge was for.
    pub on: RoundOn,
    /// The challenge.
    pub challenge: Challenge,
    /// The miner's answer.
    pub result: ResultDoc,
    /// What is on record.
    pub session: SessionRecord,
    /// From sending the challenge to holding the commitment.
    pub elapsed: Duration,
    /// When the commitment came, ms since 1970.
    pub arrived_unix_ms: u64,
    /// From ping to pong: the least of those that were measured.
    pub round_trip: Duration,
    /// What does not fit the devices' history.
    pub history: Vec<HistoryFinding>,
}

/// A verdict that is to be recorded; never could-not-run.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The number of the round.
    pub round: usize,
    /// Digest of the challenge.
    pub challenge: Digest,
    /// Of the challenge.
    pub miner_id: Option<EncodedKey>,
    /// What is recorded.
    pub verdict: Verdict,
}

/// How long the parts of a round took, and what came before the first; `None` if it did
/// not come so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Legs {
    /// From the start to the miner's hello.
    pub hello: Option<Duration>,
    /// From ping to pong: the least of those that were measured.
    pub round_trip: Option<Duration>,
    /// From sending the challenge to holding the commitment.
    pub commitment: Option<Duration>,
    /// From holding the commitment to sending the coin.
    pub coin: Option<Duration>,
    /// From sending the coin to holding the openings.
    pub openings: Option<Duration>,
    /// From holding the openings to the verdict.
    pub judging: Option<Duration>,
}

impl Legs {
    /// What came before the first challenge.
    pub fn before_a_challenge(self) -> Self {
        Self { hello: self.hello, round_trip: self.round_trip, ..Self::default() }
    }
}

impl Ended {
    /// The end of a session that did not begin.
    pub fn of_fault(fault: &Fault) -> Self {
        Self::of_verdict(verdict_of(fault))
    }

    /// The same, since this side gave it up.
    pub(in crate::session) fn of_own(own: &OwnFault) -> Self {
        let failure = Failure::CouldNotRun(RecomputeError(own.0.clone()));
        Self::of_verdict(Verdict::of(&Err(failure), OmittedShare::default()))
    }

    fn of_verdict(verdict: Verdict) -> Self {
        let session = SessionVerdict::ended_by(&verdict, Vec::new(), Vec::new());
        Self {
            session,
            earlier: Vec::new(),
            verdict,
            legs: Legs::default(),
            hello: None,
            challenge: None,
            result: None,
            receipt: None,
        }
    }
}

/// A fault as the rejection that it is.
pub(in crate::session) fn verdict_of(fault: &Fault) -> Verdict {
    let detail = format!("{}\n{}", fault.detail, fault.code.advice());
    Verdict::rejected_session(fault.code.code(), detail)
}

/// What the ledger keeps of a verdict. If there is none, since this side gave the
/// session up, the challenge is settled as rejected all the same: nobody is to answer it.
pub(super) fn on_record(verdict: &Verdict) -> Verdict {
    if verdict.outcome != Outcome::CouldNotRun {
        return verdict.clone();
    }
    let why = verdict.detail.as_deref().unwrap_or("no reason is known");
    Verdict {
        challenge_digest: verdict.challenge_digest,
        commitment: verdict.commitment,
        ..verdict_of(&Fault::new(FaultCode::Abandoned, in_one_line(why)))
    }
}

/// How a session ended. Challenge, verdict, times, result and receipt are those of its
/// last round; of a session that ended before a round's challenge was out, the verdict is
/// on that.
#[derive(Debug)]
pub struct Ended {
    /// On all rounds together.
    pub session: SessionVerdict,
    /// The rounds before the last one, in order.
    pub earlier: Vec<RoundEnded>,
    /// The verdict.
    pub verdict: Verdict,
    /// How long it took.
    pub legs: Legs,
    /// What the miner claimed to be.
    pub hello: Option<MinerHello>,
    /// What was asked.
    pub challenge: Option<Box<Challenge>>,
    /// The complete result, if one came.
    pub result: Option<Box<ResultDoc>>,
    /// The receipt that the miner got.
    pub receipt: Option<Receipt>,
}

/// How a round ended.
#[derive(Debug)]
pub struct RoundEnded {
    /// Its number, from 0.
    pub round: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// How long it took.
    pub legs: Legs,
    /// What was asked.
    pub challenge: Box<Challenge>,
    /// The complete result, if one came.
    pub result: Option<Box<ResultDoc>>,
    /// The receipt that the miner got.
    pub receipt: Option<Receipt>,
    /// For the judgement of the session.
    pub(super) facts: Option<RoundFacts>,
}
