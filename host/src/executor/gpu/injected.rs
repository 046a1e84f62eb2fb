//! Failures that a test wants, in the place of the device's own. Pure.
//!
//! Guarantees: each comes once, and only after those before it.

use crate::executor::Segment;
use std::collections::VecDeque;

/// A failure that a test wants. `code` is what the driver is made to have returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedFailure {
    /// An iteration is not launched.
    Launch {
        /// Which.
        iteration: u32,
        /// The driver's result.
        code: u32,
    },
    /// The exactness check is not launched.
    Check {
        /// The driver's result.
        code: u32,
    },
    /// A variant that took over does not launch the run's first iteration again.
    Comparison {
        /// The driver's result.
        code: u32,
    },
    /// A variant that took over finds another root for the run's first iteration.
    OtherRoot,
    /// The SM counters start with a tile that nobody computed.
    Miscount,
}

/// Failures to come, in this order.
#[derive(Clone, Debug, Default)]
pub struct InjectedFailures(VecDeque<InjectedFailure>);

impl<const N: usize> From<[InjectedFailure; N]> for InjectedFailures {
    fn from(failures: [InjectedFailure; N]) -> Self {
        Self(failures.into())
    }
}

impl InjectedFailures {
    /// The result of launching `rest`, if it is to fail; if a later
    /// iteration is to, `rest` ends before it.
    pub(super) fn at_launch(&mut self, rest: &mut Segment) -> Option<u32> {
        let &InjectedFailure::Launch { iteration, code } = self.0.front()? else { return None };
        let before = iteration.checked_sub(rest.first_iteration)?;
        if before > 0 {
            rest.iterations = rest.iterations.min(before);
            return None;
        }
        self.0.pop_front();
        Some(code)
    }

    /// The result of the exactness check, if it is to fail.
    pub(super) fn at_check(&mut self) -> Option<u32> {
        let &InjectedFailure::Check { code } = self.0.front()? else { return None };
        self.0.pop_front();
        Some(code)
    }

    /// The result of a comparison, if it is to fail.
    pub(super) fn at_comparison(&mut self) -> Option<u32> {
        let &InjectedFailure::Comparison { code } = self.0.front()? else { return None };
        self.0.pop_front();
        Some(code)
    }

    /// Whether `wanted`, which has no result, is to happen now.
    pub(super) fn is_due(&mut self, wanted: InjectedFailure) -> bool {
        let due = self.0.front() == Some(&wanted);
        if due {
            self.0.pop_front();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::names::State;

    fn rest(first_iteration: u32) -> Segment {
        let start = State::default();
        Segment { first_iteration, iterations: 10, start, solo_sync: None }
    }

    #[test]
    fn each_comes_once_and_in_its_turn() {
        let mut failures = InjectedFailures::from([
            InjectedFailure::Launch { iteration: 5, code: 701 },
            InjectedFailure::Check { code: 209 },
            InjectedFailure::Comparison { code: 1 },
            InjectedFailure::OtherRoot,
        ]);
        // The check before the launch that fails is none of these.
        assert_eq!(failures.at_check(), None);
        let mut segment = rest(1);
        assert_eq!((failures.at_launch(&mut segment), segment.iterations), (None, 4));
        let mut segment = rest(5);
        assert_eq!((failures.at_launch(&mut segment), segment.iterations), (Some(701), 10));
        assert_eq!(failures.at_launch(&mut segment), None);
        assert_eq!(failures.at_comparison(), None, "the check comes first");
        assert_eq!((failures.at_check(), failures.at_check()), (Some(209), None));
        assert!(!failures.is_due(InjectedFailure::OtherRoot));
        assert_eq!((failures.at_comparison(), failures.at_comparison()), (Some(1), None));
        assert!(!failures.is_due(InjectedFailure::Miscount));
        assert!(failures.is_due(InjectedFailure::OtherRoot));
        assert!(!failures.is_due(InjectedFailure::OtherRoot));
    }
}
