//! From a turn's challenges to its coins: what this side does.
//!
//! Guarantees: a turn's challenges are on record before the first of them is sent, and are
//! sent at one moment, by which the times of all its rounds are measured.

use super::{Accepted, Action, Issued, NotIssued, Raised, Round, State, Step, Talk};
use super::{ValidatorSession, Wanted};
use crate::ledger::Acceptance;
use crate::policy::RoundOn;
use crate::protocol::rejection::{Reason, Rejection};
use crate::session::clock::Now;
use crate::session::fault::{Fault, FaultCode, OwnFault};
use crate::session::limits::lateness_heard;
use crate::session::message::{FromValidator, ROUNDS_VERSION, line_of};
use crate::session::numbered::numbered;
use std::time::Duration;

impl ValidatorSession {
    /// How many rounds there may be with this miner.
    pub(super) fn rounds_held(&self) -> usize {
        let planned = self.plan.as_ref().map_or(1, |plan| plan.len());
        if self.version >= ROUNDS_VERSION { planned } else { 1 }
    }

    /// Who answers the round of this number.
    pub(super) fn on(&self, round: usize) -> RoundOn {
        let plan = self.plan.as_ref().and_then(|plan| plan.get(round));
        plan.map_or(RoundOn::Devices, |plan| plan.on)
    }

    /// Whether the round of this number is under way at the same time as the one after it.
    pub(super) fn is_beside(&self, round: usize) -> bool {
        let plan = self.plan.as_ref().and_then(|plan| plan.get(round));
        plan.is_some_and(|plan| plan.beside) && round + 1 < self.rounds_held()
    }

    /// The next turn, or the end of the rounds.
    pub(super) fn next_turn(&mut self, out: &mut Vec<Action>) -> Result<(), Raised> {
        let number = self.next;
        if number >= self.rounds_held() {
            self.state = State::Closing;
            return Ok(());
        }
        self.state = State::Rounds;
        let wanted = self.begin(number);
        if self.is_closed {
            self.talks.iter_mut().for_each(|talk| talk.step = Step::Turning);
            let detail = format!("the miner closed before the challenge of round {number}");
            return Err(Fault::new(FaultCode::ClosedEarly, detail).into());
        }
        out.push(Action::Issue(wanted));
        Ok(())
    }

    /// The next round begins, in the turn of this number, and wants a challenge.
    fn begin(&mut self, turn: usize) -> Box<Wanted> {
        let number = self.next;
        self.next += 1;
        let hello = self.hello.clone().expect("no challenge is wanted before a hello");
        let claimed = hello.miner_id.and_then(|key| key.decode());
        let (legs, is_on_record) = (self.legs, false);
        let round = Round { number, turn, legs, challenge: None, is_on_record, accepted: None };
        self.talks.push(Talk { round, step: Step::Issuing });
        Box::new(Wanted {
            round: number,
            session: self.first,
            plan: self.plan.clone(),
            hello,
            miner_id: self.miner_id.or(claimed),
            round_trip: self.legs.round_trip.unwrap_or_default(),
        })
    }

    pub(super) fn on_issued(
        &mut self,
        now: Now,
        issued: Result<Issued, NotIssued>,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let Some(talk) = self.talks.iter_mut().find(|talk| matches!(talk.step, Step::Issuing))
        else {
            return Ok(());
        };
        let Round { number, turn, .. } = talk.round;
        talk.step = Step::Issued;
        let Issued { challenge, plan, .. } = issued.map_err(|error| match error {
            NotIssued::Own(own) => Raised::of(number, own),
            NotIssued::Unfit(text) => Raised::of(number, Fault::new(FaultCode::UnfitDevices, text)),
            NotIssued::Dodger(text) => {
                Raised::of(number, Fault::new(FaultCode::TooManyDodges, text))
            }
        })?;
        self.first.get_or_insert(challenge.digest());
        talk.round.challenge = Some(challenge);
        talk.round.is_on_record = true;
        self.plan.get_or_insert(plan);
        self.held_back()?;
        if self.is_beside(number) {
            out.push(Action::Issue(self.begin(turn)));
            return Ok(());
        }
        if !self.input.is_empty() {
            return Err(Fault::new(FaultCode::Flooded, "bytes came before the challenge").into());
        }
        self.send_challenges(now, out)
    }

    /// All that are on record.
    fn send_challenges(&mut self, now: Now, out: &mut Vec<Action>) -> Result<(), Raised> {
        let mut lines = Vec::with_capacity(self.talks.len());
        for talk in &self.talks {
            let number = talk.round.number;
            let token = talk.round.challenge().token().to_owned();
            let message = match self.on(number) {
                RoundOn::Devices => FromValidator::Challenge { token },
                RoundOn::Host if self.version >= ROUNDS_VERSION => {
                    FromValidator::HostChallenge { beside: self.is_beside(number), token }
                }
                RoundOn::Host => {
                    let detail =
                        "the round is of the machine's CPUs, which version 1 cannot ask for";
                    return Err(Fault::new(FaultCode::VersionMismatch, detail).into());
                }
            };
            lines.push(Action::Send(numbered(line_of(&message), self.said(number))));
        }
        out.extend(lines);
        for talk in &mut self.talks {
            let limit = Duration::from_millis(talk.round.challenge().limit_ms());
            let until = now.since_start.saturating_add(limit).saturating_add(lateness_heard(limit));
            talk.step = Step::Commitment { sent: now, until };
        }
        Ok(())
    }

    pub(super) fn on_accepted(
        &mut self,
        now: Now,
        number: usize,
        accepted: Result<Accepted, OwnFault>,
        out: &mut Vec<Action>,
    ) -> Result<(), Raised> {
        let patience = self.patience;
        let Some(talk) = self.talk(number).filter(|it| matches!(it.step, Step::Accepting(_)))
        else {
            return Ok(());
        };
        let Step::Accepting(mut held) = talk.step.take() else { return Ok(()) };
        let accepted = accepted.map_err(|own| Raised::of(number, own))?;
        match accepted.acceptance {
            Acceptance::Accepted => {}
            Acceptance::Spent(on) => {
                talk.round.is_on_record = false;
                let detail = format!("spent on commitment {on}");
                return Err(Raised::of(number, Rejection::new(Reason::NonceSpent, detail)));
            }
            Acceptance::NotIssued => {
                talk.round.is_on_record = false;
                let detail = format!("no record of challenge {}", talk.round.challenge().digest());
                return Err(Raised::of(number, Rejection::new(Reason::NotIssued, detail)));
            }
        }
        talk.round.accepted = Some(held.part.commitment());
        self.held_back()?;
        held.history = accepted.history;
        let (coin, sent) = (accepted.coin, now.since_start);
        let said = self.said(number);
        let Some(talk) = self.talk(number) else { return Ok(()) };
        talk.round.legs.coin = Some(sent.saturating_sub(held.arrived.since_start));
        let within = patience.openings_of(talk.round.challenge(), held.part.lanes().len());
        let openings_within_ms = within.as_millis() as u64;
        let line = line_of(&FromValidator::Coin { coin, openings_within_ms });
        out.push(Action::Send(numbered(line, said)));
        talk.step = Step::Openings { held, coin, sent, until: sent.saturating_add(within) };
        self.read_lines(now, out)
    }
}
