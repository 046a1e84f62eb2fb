//! What a policy demands of each model of the table: the rate that the limit of a
//! challenge comes to, beside what an honest card is expected to do.
//!
//! Guarantees: the work and the limit are those that [`Policy::request`] gives to a
//! challenge of the policy's own duration, for the fewest lanes.
//! Deliberately lacks: measurements. An honest card's speed is the assumption that
//! sizing makes, too.

use super::Policy;
use super::size::{Products, SizeError, Target};
use crate::appraisal::models::{self, Model};
use crate::mining::issue::Request;
use crate::mining::kind::WorkKind;
use crate::protocol::work::Work;

/// The demand on one model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// The model.
    pub model: &'static Model,
    /// The products of an iteration.
    pub work: Work,
    /// Iterations of the run.
    pub iterations: u64,
    /// How long an honest card is expected to take, s.
    pub honest_s: f64,
    /// How long it may take: slack × floor, start-up and round trip, s.
    pub allowed_s: f64,
}

impl Demand {
    /// The least rate that keeps the limit, operations a second of each lane.
    pub fn rate(&self) -> f64 {
        self.work.cost().amount as f64 * self.iterations as f64 / self.allowed_s
    }

    /// That rate beside an honest card's, 0 … 1: the share of its time that an honest
    /// card must spend on the work.
    pub fn share(&self) -> f64 {
        self.honest_s / self.allowed_s
    }
}

impl Policy {
    /// The demand on every model that the policy allows, in the table's order, if products
    /// of a kind are asked for; an error for those for which it cannot size a challenge. Of
    /// work that is no products there are none.
    pub fn demands(&self, kind: WorkKind) -> Vec<(&'static Model, Result<Demand, SizeError>)> {
        let Some(products) = Products::of(kind) else { return Vec::new() };
        let of = |model: &'static Model| match self.demand(products, model) {
            Err(SizeError::ModelNotAllowed { .. }) => None,
            demand => Some((model, demand)),
        };
        models::MODELS.iter().filter_map(of).collect()
    }

    fn demand(&self, kind: Products, model: &'static Model) -> Result<Demand, SizeError> {
        let target = Target { model: model.name, seconds: None, round_trip: None };
        self.target_model(&target)?;
        let (seconds, lanes) = (self.time.duration_target_s, self.devices.gpu_count_min);
        let base = Request::default();
        let (speed, iterations) = self.products(kind, model, (seconds, None), lanes, &base)?;
        Ok(Demand {
            model,
            work: speed.work(),
            iterations,
            honest_s: speed.iteration_s() * iterations as f64,
            allowed_s: self.limit_s(speed.floor_s(iterations), None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::issue::issue;
    use crate::policy::codes::Action;

    #[test]
    fn the_default_policy_demands_what_its_challenges_demand() {
        let mut policy = Policy::default();
        policy.findings.set("fp64-alone", Action::Ignore);
        for kind in [WorkKind::Fp64Product, WorkKind::IntegerProduct] {
            let demands = policy.demands(kind);
            assert_eq!(demands.len(), models::MODELS.len());
            for (model, demand) in demands {
                let demand = demand.unwrap_or_else(|error| panic!("{}: {error}", model.name));
                let target = Target { model: model.name, seconds: None, round_trip: None };
                let challenge_type = Some(kind.challenge_type().to_owned());
                let base = Request { challenge_type, ..Request::default() };
                let challenge = issue(&policy.request(&target, base).unwrap()).unwrap();
                assert_eq!(challenge.work(), demand.work, "{}", model.name);
                assert_eq!(u64::from(challenge.iterations()), demand.iterations);
                assert_eq!(challenge.limit_ms(), (1e3 * demand.allowed_s).ceil() as u64);
                // No honest card is refused that is 3 % slower than expected, and none has
                // time for the work of two.
                assert!(1.03 * demand.honest_s < demand.allowed_s, "{}", model.name);
                let share = demand.share();
                assert!((0.7..0.97).contains(&share), "{}: {share}", model.name);
            }
        }
        assert_eq!(policy.demands(WorkKind::MemoryResidency), []);
    }

    #[test]
    fn an_h200_must_do_forty_seven_teraflops() {
        let policy = Policy::default();
        let find = |name| {
            policy.demands(WorkKind::Fp64Product).into_iter().find(|(model, _)| model.name == name)
        };
        let demand = find("NVIDIA H200").expect("allowed").1.expect("sized");
        // 246 iterations of 2.199e12 operations within 1.45 floors of 7.350 s, 0.3 s and
        // 0.5 s; an honest H200 does 54.2 TFLOP/s.
        assert!((47.1e12..47.3e12).contains(&demand.rate()), "{}", demand.rate());
        assert!((0.86..0.88).contains(&demand.share()), "{}", demand.share());
    }

    #[test]
    fn models_that_are_not_allowed_are_left_out_and_a_tight_slack_is_told() {
        let mut policy = Policy::default();
        policy.devices.models = vec!["H200".to_owned()];
        policy.time.slack = 1.0;
        let demands = policy.demands(WorkKind::Fp64Product);
        assert_eq!(demands.len(), 1);
        assert!(matches!(demands[0].1, Err(SizeError::Slack { .. })), "{:?}", demands[0].1);
    }
}
