//! What may happen to the validator's machine, in any order.

use super::*;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

/// What may happen.
#[derive(Clone, Debug)]
pub enum Step {
    /// Whatever brings the session on; of several things one.
    Onward(u8),
    /// A line out of turn.
    Line(Kind),
    /// Bytes of no sense.
    Bytes(Vec<u8>),
    /// As many bytes as this.
    Flood(usize),
    /// Time passes, ms.
    Wait(u64),
    Closed,
    /// This side gives up.
    Interrupted,
    /// Somebody's work is done, asked for or not; `bool`: well.
    Done(Work, bool),
    /// The judging of a round, or what else is under way, panics.
    Panics(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hello,
    Pong,
    Busy,
    Failed,
    /// Of the round of this number.
    Commitment(usize),
    /// Of the round of this number.
    Openings(usize),
    Half,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Issue,
    // Of the rounds of these numbers.
    Read(usize),
    Accept(usize),
    Judge(usize),
    Settle(usize),
    Conclude,
}

impl Work {
    pub fn is_of_talk(self) -> bool {
        matches!(self, Self::Issue | Self::Read(_) | Self::Accept(_))
    }
}

/// Rounds of the sessions of these tests.
pub const ROUNDS: usize = 3;

/// What sessions are planned with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One round after the other.
    InTurn,
    /// The first one is the host's, beside the second.
    Beside,
}

impl Plan {
    pub fn rounds(self) -> Arc<[RoundPlan]> {
        let mut rounds = vec![RoundPlan::alone(RoundKind::Fp64, tiny()); ROUNDS];
        if self == Self::Beside {
            (rounds[0].on, rounds[0].beside) = (RoundOn::Host, true);
        }
        rounds.into()
    }

    /// The turn that a round belongs to.
    pub fn turn(self, round: usize) -> usize {
        if self == Self::Beside { round.saturating_sub(1) } else { round }
    }
}

pub struct Anything;

impl ReferenceStateMachine for Anything {
    type State = Plan;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Plan> {
        prop_oneof![Just(Plan::InTurn), Just(Plan::Beside)].boxed()
    }

    fn transitions(_: &Plan) -> BoxedStrategy<Step> {
        let kind = prop_oneof![
            Just(Kind::Hello),
            Just(Kind::Pong),
            Just(Kind::Busy),
            Just(Kind::Failed),
            (0..ROUNDS).prop_map(Kind::Commitment),
            (0..ROUNDS).prop_map(Kind::Openings),
            Just(Kind::Half),
        ];
        let work = prop_oneof![
            Just(Work::Issue),
            (0..ROUNDS).prop_map(Work::Read),
            (0..ROUNDS).prop_map(Work::Accept),
            (0..ROUNDS).prop_map(Work::Judge),
            (0..ROUNDS).prop_map(Work::Settle),
            Just(Work::Conclude),
        ];
        prop_oneof![
            60 => any::<u8>().prop_map(Step::Onward),
            2 => kind.prop_map(Step::Line),
            1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Step::Bytes),
            1 => (0..3 * UNAWAITED_BYTES_MAX).prop_map(Step::Flood),
            2 => (0..70_000_u64).prop_map(Step::Wait),
            1 => Just(Step::Closed),
            1 => Just(Step::Interrupted),
            4 => (work, any::<bool>()).prop_map(|(work, well)| Step::Done(work, well)),
            1 => any::<bool>().prop_map(Step::Panics),
        ]
        .boxed()
    }

    fn apply(plan: Plan, _: &Step) -> Plan {
        plan
    }
}
