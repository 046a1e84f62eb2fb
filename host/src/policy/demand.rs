//! What a policy's rounds demand of each model of the table: the rate that the limit of a
//! challenge comes to, beside what an honest card is expected to do.
//!
//! Guarantees: the work and the limit are those that [`Policy::round`] gives to the round's
//! challenge for the fewest lanes.
//! Deliberately lacks: measurements. An honest card's speed is the assumption that
//! sizing makes, too.

use super::size::SizeError;
use super::{Policy, Round, RoundOn};
use crate::appraisal::models::{self, Model};
use crate::protocol::work::Work;

/// The demand on one model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// The model.
    pub model: &'static Model,
    /// The work of an iteration.
    pub work: Work,
    /// Iterations of the run.
    pub iterations: u64,
    /// How long an honest card is expected to take, and how long it may take (slack × floor,
    /// start-up and round trip), s; `None` of links, which have no limit.
    pub times: Option<(f64, f64)>,
}

impl Demand {
    /// The least rate that keeps the limit, of what the work's cost counts, a second, of each
    /// lane.
    pub fn rate(&self) -> Option<f64> {
        let (_, allowed_s) = self.times?;
        Some(self.work.cost().amount as f64 * self.iterations as f64 / allowed_s)
    }

    /// That rate beside an honest card's, 0 … 1: the share of its time that an honest
    /// card must spend on the work.
    pub fn share(&self) -> Option<f64> {
        self.times.map(|(honest_s, allowed_s)| honest_s / allowed_s)
    }
}

impl Policy {
    /// The demand of a round on every model that the policy allows, in the table's order; an
    /// error for those for which it cannot be sized. A host's round has none: there is no
    /// table of CPUs.
    pub fn demands(&self, round: &Round) -> Vec<(&'static Model, Result<Demand, SizeError>)> {
        if round.on == RoundOn::Host {
            return Vec::new();
        }
        let of = |model: &'static Model| match self.demand(round, model) {
            Err(SizeError::ModelNotAllowed { .. }) => None,
            demand => Some((model, demand)),
        };
        models::all().iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::issue::{Request, issue};
    use crate::policy::{RoundKind, Target};

    #[test]
    fn the_default_policy_demands_what_its_challenges_demand() {
        let policy = Policy::default();
        for (index, round) in policy.rounds.iter().enumerate() {
            let demands = policy.demands(round);
            assert_eq!(demands.len(), models::all().len());
            for (model, demand) in demands {
                let demand = demand.unwrap_or_else(|error| panic!("{}: {error}", model.name));
                let target = Target { model: &model.name, seconds: None, round_trip: None };
                let lanes = if round.kind == RoundKind::Links { 2 } else { 1 };
                let base = Request { gpu_count: Some(lanes), ..Request::default() };
                let plan = policy.round(index, &target, base).unwrap();
                let challenge = issue(&plan.request).unwrap();
                assert_eq!(challenge.work(), demand.work, "{}", model.name);
                assert_eq!(u64::from(challenge.iterations()), demand.iterations);
                let Some((honest_s, allowed_s)) = demand.times else {
                    assert_eq!((round.kind, demand.rate()), (RoundKind::Links, None));
                    continue;
                };
                assert_eq!(challenge.limit_ms(), (1e3 * allowed_s).ceil() as u64);
                // No honest card is refused that is 3 % slower than expected, and none has
                // time for the work of two.
                assert!(1.03 * honest_s < allowed_s && allowed_s < 2.0 * honest_s);
                assert!(demand.share() == Some(honest_s / allowed_s), "{}", model.name);
            }
        }
    }

    #[test]
    fn an_h200_must_do_forty_seven_teraflops() {
        let policy = Policy::default();
        let ten_seconds = Round { seconds: 10.0, ..Round::of(RoundKind::Fp64) };
        let mut demands = policy.demands(&ten_seconds).into_iter();
        let (_, demand) = demands.find(|(model, _)| model.name == "NVIDIA H200").expect("allowed");
        let demand = demand.expect("sized");
        // 246 iterations of 2.199e12 operations within 1.45 floors of 7.350 s, 0.3 s and
        // 0.5 s; an honest H200 does 54.2 TFLOP/s.
        assert!((47.1e12..47.3e12).contains(&demand.rate().unwrap()), "{demand:?}");
        assert!((0.86..0.88).contains(&demand.share().unwrap()), "{demand:?}");
    }

    #[test]
    fn models_that_are_not_allowed_are_left_out_and_a_tight_slack_is_told() {
        let mut policy = Policy::default();
        policy.devices.models = vec!["H200".to_owned()];
        policy.time.slack = 1.0;
        let demands = policy.demands(&Round::of(RoundKind::Fp64));
        assert_eq!(demands.len(), 1);
        assert!(matches!(demands[0].1, Err(SizeError::Slack { .. })), "{:?}", demands[0].1);
        let host = Round { on: RoundOn::Host, ..Round::of(RoundKind::Fp64) };
        assert_eq!(policy.demands(&host), []);
    }
}
