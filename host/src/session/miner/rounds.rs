//! Rounds: a challenge, work, a commitment, a coin, openings.
//!
//! Guarantees: rounds begin in order, each once; while one is under way no other begins, but
//! that of the devices beside one of the CPUs; a coin is for the round that it names, and
//! for the commitment of that.

use super::{Action, End, MinerSession, State, Step, Task, Who, allowed_by, margin};
use crate::protocol::challenge::Challenge;
use crate::protocol::names::Coin;
use crate::protocol::signature::EncodedKey;
use crate::session::clock::Now;
use crate::session::fault::{FaultCode, OwnFault};
use crate::session::message::ROUNDS_VERSION;
use crate::session::numbered::numbered;
use crate::session::refusal::{Refusal, RefusalCode, Unable};
use std::time::Duration;

impl MinerSession {
    /// Whether a challenge with this number may come now; version 1 has one, and no numbers.
    pub(super) fn is_next(&self, number: Option<usize>, on: Who) -> bool {
        let is_in_order = match self.version >= ROUNDS_VERSION {
            true => number == Some(self.next),
            false => self.next == 0,
        };
        is_in_order
            && match &self.tasks[..] {
                [] => true,
                [task] => on == Who::Devices && task.is_for_next(self.next),
                _ => false,
            }
    }

    pub(super) fn on_challenge(
        &mut self,
        now: Now,
        token: &str,
        on: Who,
        out: &mut Vec<Action>,
    ) -> Result<(), End> {
        let challenge = Box::new(self.accepted(token)?);
        let round = self.next;
        self.next += 1;
        let allowed = allowed_by(&challenge);
        let left = self.terms.session_max.saturating_sub(now.since_start);
        let limit = allowed.min(left);
        out.push(Action::Commit { round, challenge, on, limit });
        let mut task = Task { round, on, step: Step::Working, allowed, until: Duration::ZERO };
        task.work(Step::Working, allowed, now);
        self.tasks.push(task);
        self.go(State::Rounds, None);
        Ok(())
    }

    /// The round that awaits this coin.
    pub(super) fn awaits_coin(&self, number: Option<usize>) -> Option<usize> {
        let mut waiting = self.tasks.iter().filter(|task| task.step == Step::Coin);
        let task = waiting.find(|task| number.is_none_or(|number| number == task.round))?;
        Some(task.round)
    }

    pub(super) fn on_coin(
        &mut self,
        now: Now,
        round: usize,
        coin: Coin,
        openings_within_ms: u64,
        out: &mut Vec<Action>,
    ) {
        let Some(task) = self.tasks.iter_mut().find(|task| task.round == round) else { return };
        out.push(Action::Open { round, coin });
        task.work(Step::Opening, Duration::from_millis(openings_within_ms), now);
    }

    pub(super) fn on_committed(
        &mut self,
        now: Now,
        round: usize,
        line: Result<Vec<u8>, Unable>,
        out: &mut Vec<Action>,
    ) -> Result<(), End> {
        let (said, next) = (self.said(round), self.terms.patience.next);
        let Some(task) = self.task(round, Step::Working) else { return Ok(()) };
        task.step = Step::Coin;
        task.until = now.since_start.saturating_add(next);
        let line = line.map_err(|unable| match unable {
            Unable::Refused(refusal) => End::Refused(refusal),
            Unable::Own(own) => End::Own(own),
        })?;
        out.push(Action::Send(numbered(line, said)));
        Ok(())
    }

    pub(super) fn on_opened(
        &mut self,
        now: Now,
        round: usize,
        line: Result<Vec<u8>, OwnFault>,
        out: &mut Vec<Action>,
    ) -> Result<(), End> {
        if self.task(round, Step::Opening).is_none() {
            return Ok(());
        }
        self.tasks.retain(|task| task.round != round);
        out.push(Action::Send(numbered(line.map_err(End::Own)?, self.said(round))));
        if self.tasks.is_empty() {
            let verdict = now.since_start.saturating_add(self.terms.patience.verdict);
            self.go(State::Verdict, Some(verdict));
        }
        Ok(())
    }

    /// Ends the session if a round under way is out of time.
    pub(super) fn check_tasks(&self, since_start: Duration) -> Result<(), End> {
        let late = self.tasks.iter().filter(|task| since_start >= task.until);
        let Some(task) = late.min_by_key(|task| task.until) else { return Ok(()) };
        let allowed = task.allowed;
        let detail = match task.step {
            Step::Working => {
                format!("the challenge allows {allowed:?}, and the work is not done after it")
            }
            Step::Opening => {
                format!("the coin allows {allowed:?}, and the samples are not open after it")
            }
            Step::Coin => {
                let detail = format!("no coin by {:.1} s", task.until.as_secs_f64());
                return Err(self.fault(FaultCode::Stalled, detail));
            }
        };
        Err(End::Refused(Refusal::new(RefusalCode::TimeOver, detail)))
    }

    /// The round of this number, if it is at this step.
    fn task(&mut self, round: usize, step: Step) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.round == round && task.step == step)
    }

    /// The number of a round as its messages say it; version 1 says none.
    fn said(&self, round: usize) -> Option<usize> {
        (self.version >= ROUNDS_VERSION).then_some(round)
    }

    /// The challenge of `token`, if it is this validator's to ask and this miner's to
    /// answer.
    fn accepted(&self, token: &str) -> Result<Challenge, End> {
        let challenge =
            Challenge::from_token(token).map_err(|error| End::Own(OwnFault::of(&error)))?;
        let refused = |code, detail| Err(End::Refused(Refusal::new(code, detail)));
        let named =
            |key: Option<EncodedKey>| key.map_or("nobody".to_owned(), |key| key.to_string());
        let spec = challenge.spec();
        if let Some(peer) = self.terms.validator.map(|key| key.encoded())
            && spec.validator_id != Some(peer)
        {
            let (got, code) = (named(spec.validator_id), RefusalCode::OtherValidator);
            let detail = format!("the challenge names {got} as its validator, and this is {peer}");
            return refused(code, detail);
        }
        if spec.miner_id.is_some() && spec.miner_id != self.hello.miner_id {
            let got = named(spec.miner_id);
            let own = self.hello.miner_id.map_or("this miner has no key".to_owned(), |own| {
                format!("this is the key of {own}")
            });
            let detail = format!("the challenge may be answered by {got} only, and {own}");
            return refused(RefusalCode::OtherMiner, detail);
        }
        Ok(challenge)
    }
}

impl Task {
    /// Work begins that may take this long and a margin.
    fn work(&mut self, step: Step, allowed: Duration, now: Now) {
        self.step = step;
        self.allowed = allowed;
        self.until = now.since_start.saturating_add(allowed.saturating_add(margin(allowed)));
    }

    /// Whether it is the CPUs' part of a turn, and the devices' part of it comes next.
    fn is_for_next(&self, next: usize) -> bool {
        self.on == Who::Host { beside: true } && self.round + 1 == next
    }
}
