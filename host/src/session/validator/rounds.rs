//! From one round to the next, and to the session's end.
//!
//! Guarantees: a round whose challenge is on record is settled before the session ends;
//! after a round that was not verified no challenge is sent, and those that are out are given
//! up; a round that is judged is judged to its end, unless this side gives it up.
//! Deliberately lacks: judgement. What rounds come to is told.

use super::io::{self, Summary};
use super::{
    Action, Case, Cause, Complete, Ended, Judged, Judging, Raised, Round, RoundEnded, Settle,
    State, Step, Talk, ValidatorSession, could_not_run, verdict_of,
};
use crate::judging::Scope;
use crate::policy::{RoundFacts, RoundOn};
use crate::protocol::bound::OmittedShare;
use crate::protocol::receipt::Receipt;
use crate::protocol::result::ResultDoc;
use crate::protocol::verdict::{
    HOST, Outcome, RoundNotReached, RoundVerdict, SessionVerdict, Verdict,
};
use crate::protocol::verify::Failure;
use crate::session::clock::Now;
use crate::session::fault::{Fault, FaultCode, OwnFault};
use crate::session::message::{
    FromValidator, ROUNDS_VERSION, RoundMessage, VerdictMessage, line_of, text_for_message,
};

impl ValidatorSession {
    /// Whether more than one round's own verdict says how the session ends.
    fn is_concluded(&self) -> bool {
        self.network.is_some() || self.plan.as_ref().is_some_and(|plan| plan.len() > 1)
    }

    /// The result of this round is complete.
    pub(super) fn judge(
        &mut self,
        number: usize,
        complete: Complete,
        result: ResultDoc,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let Complete { session, arrived, history, since } = complete;
        let (is_alone, on) = (!self.is_concluded(), self.on(number));
        let Some(talk) = self.talk(number) else { return Ok(()) };
        let legs = talk.round.legs;
        let case = Box::new(Case {
            round: number,
            scope: if is_alone { Scope::Alone } else { Scope::OfSeveral },
            on,
            challenge: talk.round.challenge().clone(),
            result,
            session,
            elapsed: legs.commitment.unwrap_or_default(),
            arrived_unix_ms: arrived.unix_ms,
            round_trip: legs.round_trip.unwrap_or_default(),
            history,
        });
        talk.step = Step::Waiting(case, since);
        self.begin_judging(out)
    }

    /// Has what is complete judged, unless the turn before it still is; after the last round
    /// of a turn the next one begins.
    fn begin_judging(&mut self, out: &mut Vec<Action>) -> Result<(), Raised> {
        for talk in std::mem::take(&mut self.talks) {
            let Talk { round, step } = talk;
            let waits = self.judging.iter().any(|judging| judging.round.turn != round.turn);
            match step {
                Step::Waiting(case, since) if !waits => {
                    out.push(Action::Judge(case));
                    self.judging.push(Judging { round, since });
                }
                step => self.talks.push(Talk { round, step }),
            }
        }
        match self.state {
            State::Rounds if self.talks.is_empty() => self.next_turn(out),
            _ => Ok(()),
        }
    }

    pub(super) fn on_judged(
        &mut self,
        now: Now,
        judged: Judged,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let Judged { round: number, facts, verdict, receipt, result } = judged;
        let Some(Judging { mut round, since }) = self.take_judging(number) else { return Ok(()) };
        round.legs.judging = Some(now.since_start.saturating_sub(since));
        let outcome = verdict.outcome;
        let end = Findings { verdict, receipt, result: Some(Box::new(result)), facts };
        self.conclude(round, end, out);
        if outcome != Outcome::Verified {
            return self.give_up(number);
        }
        self.begin_judging(out)?;
        self.finish(out);
        Ok(())
    }

    /// The round could not be judged.
    pub(super) fn not_judged(
        &mut self,
        number: usize,
        own: OwnFault,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let Some(Judging { round, .. }) = self.take_judging(number) else { return Ok(()) };
        self.conclude(round, could_not_run(own).into(), out);
        self.give_up(number)
    }

    fn take_judging(&mut self, number: usize) -> Option<Judging> {
        let at = self.judging.iter().position(|judging| judging.round.number == number)?;
        Some(self.judging.remove(at))
    }

    /// A round was not verified: those that are under way are given up.
    fn give_up(&mut self, number: usize) -> Result<(), Raised> {
        match self.state {
            State::Rounds => Err(given_up(number).into()),
            _ => Ok(()),
        }
    }

    pub(super) fn on_settled(
        &mut self,
        number: usize,
        settled: Result<(), OwnFault>,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let Some(at) = self.settling.iter().position(|ended| ended.round == number) else {
            return Ok(());
        };
        let mut ended = self.settling.swap_remove(at);
        let mut is_recorded = true;
        if let Err(own) = settled
            && ended.verdict.outcome != Outcome::CouldNotRun
        {
            // What is not on record was not decided.
            ended.verdict = could_not_run(own);
            ended.receipt = None;
            is_recorded = false;
        }
        self.over.push(ended);
        if !is_recorded {
            self.give_up(number)?;
        }
        self.finish(out);
        Ok(())
    }

    /// This side gives the session up, and with it what is judged.
    pub(super) fn interrupt(&mut self, own: OwnFault, out: &mut Vec<Action>) -> Result<(), Raised> {
        for Judging { round, .. } in std::mem::take(&mut self.judging) {
            self.conclude(round, could_not_run(own.clone()).into(), out);
        }
        match self.state {
            State::Closing | State::Concluding | State::Over => {
                self.finish(out);
                Ok(())
            }
            _ => Err(own.into()),
        }
    }

    /// Whether nothing that the miner says changes anything any more.
    pub(super) fn has_failed(&self) -> bool {
        let is_bad = |ended: &RoundEnded| ended.verdict.outcome != Outcome::Verified;
        self.failure.is_some() || self.over.iter().chain(&self.settling).any(is_bad)
    }

    /// Ends the rounds under way, or, if there is none, the last one while it is judged.
    pub(super) fn fail(&mut self, raised: Raised, out: &mut Vec<Action>) {
        // What was to be done for a round that has failed is not done.
        let is_of_talk = |action: &Action| {
            matches!(action, Action::Issue(_) | Action::Read(_) | Action::Accept(_))
        };
        out.retain(|action| !is_of_talk(action));
        let Raised { cause, round: of } = raised;
        let is_own = matches!(cause, Cause::Own(_));
        let verdict = match cause {
            Cause::Fault(fault) => verdict_of(&fault),
            Cause::Rejection(rejection) => {
                Verdict::of(&Err(Failure::Rejected(rejection)), OmittedShare::default())
            }
            Cause::Own(own) => could_not_run(own),
        };
        match self.state {
            State::Concluding | State::Over => return,
            State::Closing => {
                let last = self.judging.iter().map(|judging| judging.round.number).max();
                let Some(Judging { round, .. }) = last.and_then(|last| self.take_judging(last))
                else {
                    return;
                };
                self.conclude(round, verdict.into(), out);
            }
            State::New | State::Hello { .. } | State::Pong { .. } | State::Network(_) => {
                self.failure.get_or_insert_with(|| Box::new(verdict));
            }
            State::Rounds => {
                let talks = std::mem::take(&mut self.talks);
                let is_here = talks.iter().any(|talk| Some(talk.round.number) == of);
                for Talk { round, .. } in talks {
                    let verdict = match of.filter(|&of| is_here && !is_own && of != round.number) {
                        Some(of) => verdict_of(&given_up(of)),
                        None => verdict.clone(),
                    };
                    self.conclude(round, verdict.into(), out);
                }
            }
        }
        self.state = State::Closing;
        self.input.clear();
        self.held_back = None;
        self.finish(out);
    }

    /// Settles a round whose challenge is on record.
    fn conclude(&mut self, round: Round, end: Findings, out: &mut Vec<Action>) {
        let Findings { mut verdict, receipt, result, facts } = end;
        let Round { number, legs, challenge, is_on_record, accepted, .. } = round;
        let Some(challenge) = challenge else {
            self.failure.get_or_insert_with(|| Box::new(verdict));
            return;
        };
        verdict.challenge_digest = Some(challenge.digest());
        verdict.commitment = accepted.or(verdict.commitment);
        let settle = is_on_record.then(|| Settle {
            round: number,
            challenge: challenge.digest(),
            miner_id: challenge.spec().miner_id,
            verdict: io::on_record(&verdict),
        });
        let ended = RoundEnded { round: number, verdict, legs, challenge, result, receipt, facts };
        match settle {
            Some(settle) => {
                out.push(Action::Settle(Box::new(settle)));
                self.settling.push(ended);
            }
            None => self.over.push(ended),
        }
    }

    /// Ends the session if nothing of it is left to be done.
    fn finish(&mut self, out: &mut Vec<Action>) {
        let is_busy = !self.judging.is_empty() || !self.settling.is_empty();
        if !matches!(self.state, State::Closing) || is_busy {
            return;
        }
        self.over.sort_by_key(|ended| ended.round);
        let verdict = self.session_verdict();
        match self.plan.clone() {
            Some(plan) if !self.has_failed() => {
                let facts = self.over.iter_mut().filter_map(|ended| ended.facts.take()).collect();
                self.state = State::Concluding;
                out.push(Action::Conclude(Box::new(Summary {
                    verdict,
                    facts,
                    plan,
                    network: self.network,
                })));
            }
            _ => self.end(verdict, out),
        }
    }

    /// The verdict goes to the miner, then the session is over.
    pub(super) fn end(&mut self, session: SessionVerdict, out: &mut Vec<Action>) {
        self.state = State::Over;
        let mut rounds = std::mem::take(&mut self.over);
        let told_version = self.version;
        let ended = match self.failure.take() {
            Some(verdict) => Ended {
                session,
                earlier: rounds,
                verdict: *verdict,
                legs: self.legs,
                hello: self.hello.take(),
                challenge: None,
                result: None,
                receipt: None,
            },
            None => {
                let last = rounds.pop().expect("a session without a failure has a round");
                let RoundEnded { verdict, legs, challenge, result, receipt, .. } = last;
                Ended {
                    session,
                    earlier: rounds,
                    verdict,
                    legs,
                    hello: self.hello.take(),
                    challenge: Some(challenge),
                    result,
                    receipt,
                }
            }
        };
        out.push(Action::Send(line_of(&FromValidator::Verdict(told(&ended, told_version)))));
        out.push(Action::End(Box::new(ended)));
    }

    pub(super) fn session_verdict(&self) -> SessionVerdict {
        let kind_of = |round: usize| {
            let plan = self.plan.as_ref().and_then(|plan| plan.get(round));
            plan.map_or("fp64", |plan| plan.kind.name())
        };
        let of = |ended: &RoundEnded| RoundVerdict {
            round: ended.round,
            kind: kind_of(ended.round),
            on: match self.on(ended.round) {
                RoundOn::Devices => None,
                RoundOn::Host => Some(HOST),
            },
            beside: self.is_beside(ended.round).then_some(ended.round + 1),
            verdict: ended.verdict.clone(),
        };
        let rounds: Vec<_> = self.over.iter().map(of).collect();
        let planned = self.plan.as_ref().map_or(0, |plan| plan.len());
        let not_reached = (0..planned)
            .filter(|&round| rounds.iter().all(|begun| begun.round != round))
            .map(|round| RoundNotReached { round, kind: kind_of(round) })
            .collect();
        let is_why = |round: &RoundVerdict| {
            let RoundVerdict { verdict: Verdict { outcome, code, .. }, .. } = round;
            *outcome != Outcome::Verified && *code != Some(FaultCode::Abandoned.code())
        };
        let verdict = match &self.failure {
            // A round that failed is why the session ended.
            Some(failure) if !rounds.iter().any(is_why) => {
                SessionVerdict::ended_by(failure, rounds, not_reached)
            }
            _ => match rounds.iter().find(|round| is_why(round)).map(|it| it.verdict.clone()) {
                Some(why) => SessionVerdict::ended_by(&why, rounds, not_reached),
                None => SessionVerdict::of_rounds(rounds, not_reached),
            },
        };
        SessionVerdict { network: self.network, ..verdict }
    }
}

/// What a round comes to.
struct Findings {
    verdict: Verdict,
    receipt: Option<Receipt>,
    result: Option<Box<ResultDoc>>,
    facts: Option<RoundFacts>,
}

impl From<Verdict> for Findings {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, receipt: None, result: None, facts: None }
    }
}

/// Why a round ends that is under way when this one is not verified.
fn given_up(number: usize) -> Fault {
    Fault::new(FaultCode::Abandoned, format!("round {number} of this session was not verified"))
}

/// What the miner is told.
fn told(ended: &Ended, version: u32) -> VerdictMessage {
    let SessionVerdict { outcome, code, detail, .. } = &ended.session;
    let own = *outcome == Outcome::CouldNotRun;
    let earlier = ended.earlier.iter().filter(|_| version >= ROUNDS_VERSION);
    VerdictMessage {
        outcome: (*outcome).into(),
        code: code.map(str::to_owned),
        // What went wrong on this side is not the miner's to know.
        detail: if own { None } else { detail.as_deref().map(text_for_message) },
        receipt: ended.receipt.clone(),
        earlier: earlier
            .map(|round| RoundMessage {
                challenge: round.challenge.digest(),
                outcome: round.verdict.outcome.into(),
                code: round.verdict.code.map(str::to_owned),
                receipt: round.receipt.clone(),
            })
            .collect(),
    }
}
