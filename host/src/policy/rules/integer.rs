//! The rule about the rate of int8 products, as far as the run shows it and nobody claims it.

use super::Case;
use crate::protocol::work::Work;
use crate::protocol::work::integer_product::shown::Run;

/// Operations of 10¹².
const TERA: f64 = 1e12;

/// `integer-rate-low`.
pub(in crate::policy) fn integer_rate_low(case: &Case<'_>) -> Option<String> {
    let least_tops = case.policy.integer.int8_tops_min;
    if least_tops <= 0.0 {
        return None;
    }
    let expected = format!("expected at least {least_tops} TOPS of int8 products by each lane");
    match shown(case) {
        Err(why) => Some(format!("{expected}, nothing is shown: {why}")),
        // Rounded down, as the bound is.
        Ok(got) if (got as f64) < TERA * least_tops => Some(format!(
            "{expected}, at least {:.1} are shown in the mean",
            (got / 100_000_000_000) as f64 / 10.0
        )),
        Ok(_) => None,
    }
}

/// Operations a second of each lane in the mean; or why the run shows none.
fn shown(case: &Case<'_>) -> Result<u64, String> {
    let facts = case.facts;
    let Work::IntegerProduct(work) = facts.challenge.work() else {
        return Err("the challenge asks for another kind of work".to_owned());
    };
    let run = Run {
        work,
        iterations: facts.challenge.iterations(),
        live_elapsed: facts.elapsed.filter(|_| facts.live),
        omitted_share: 0.0,
    };
    run.sampled(case.policy.omitted_share()).ops_per_s().map_err(|why| why.to_string())
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, Example, lane};
    use crate::protocol::work::Work;
    use crate::protocol::work::integer_product::IntegerProduct;
    use std::time::Duration;

    /// 300 products of 16384³ in 2.1 s.
    fn products(case: &mut Example) {
        case.work = Some(Work::from(IntegerProduct { dim: 16_384, products: 3 }));
        // Rates are of another unit than the honest FP64 product's.
        lane(case).as_object_mut().unwrap().remove("achieved_flops");
    }

    pub(in crate::policy) const CASES: Cases = &[
        ("integer-rate-low", |case| case.policy.integer.int8_tops_min = 0.1),
        ("integer-rate-low", |case| {
            // 2 · 2^42 · 300 · 0.99 / 2.1 are 1244.0 TOPS.
            products(case);
            case.policy.integer.int8_tops_min = 1244.1;
        }),
        ("too-slow", |case| {
            // The floor is 2.64e15 / (1.25 · 0.65 · 2141e12) = 1.517 s.
            products(case);
            case.elapsed = Some(Duration::from_millis(2600));
        }),
    ];

    fn reasons(case: &Example) -> Vec<(&'static str, String)> {
        case.judge().reasons.into_iter().map(|reason| (reason.code, reason.text)).collect()
    }

    #[test]
    fn what_is_shown_meets_the_demand_and_texts_name_it() {
        let mut case = Example::honest();
        products(&mut case);
        case.policy.integer.int8_tops_min = 1244.0;
        assert_eq!(reasons(&case), []);
        case.policy.integer.int8_tops_min = 1245.0;
        assert_eq!(
            reasons(&case)[0].1,
            "expected at least 1245 TOPS of int8 products by each lane, at least 1244.0 are shown in the mean"
        );
        case.work = None;
        let text = reasons(&case).remove(0).1;
        assert!(text.ends_with("nothing is shown: the challenge asks for another kind of work"));
    }

    #[test]
    fn outside_a_live_session_nothing_is_shown() {
        let mut case = Example::honest();
        products(&mut case);
        case.policy.integer.int8_tops_min = 0.1;
        (case.live, case.policy.session.live_required) = (false, false);
        case.policy.soundness.escape_probability_max = 0.999;
        case.draws = 9000;
        let reasons = reasons(&case);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].1.ends_with("no live session measured the time"), "{reasons:?}");
    }
}
