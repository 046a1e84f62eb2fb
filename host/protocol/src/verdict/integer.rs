//! The rate of integer products, in a verdict.
//!
//! Deliberately lacks: the arithmetic. [`crate::work::integer_product::shown`] has it.

use super::{Fact, Grade, fact};
use crate::bound::Bound;
use crate::quantity::at_least;
use crate::verified::Verified;
use crate::work::Unit;
use crate::work::integer_product::shown::{NotShown, Run};
use schemars::JsonSchema;
use serde::Serialize;

/// What a run shows of int8 products. A figure that is absent is not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IntegerShown {
    /// int8 operations a second that each lane did at least, in the mean of the lanes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops_per_s: Option<u64>,
}

/// What is said: the figure, the fact, or what is not shown.
pub(super) struct Said {
    pub(super) shown: IntegerShown,
    pub(super) facts: Vec<Fact>,
    pub(super) not_shown: Option<String>,
}

/// What a verified run shows of int8 products, if that is its kind of work.
pub(super) fn said(verified: &Verified, bound: Bound) -> Option<Said> {
    let work = verified.challenge().work().integer_product()?;
    let (iterations, is_live) = (verified.challenge().iterations(), verified.coin().is_live());
    let (live_elapsed, omitted_share) = (verified.elapsed(), bound.left_out());
    let run = Run { work, iterations, live_elapsed, omitted_share };
    let mut said = Said { shown: IntegerShown::default(), facts: Vec::new(), not_shown: None };
    let why = match run.ops_per_s() {
        _ if !bound.is_below_one() => {
            "the samples are too few to rule out that a share of the work was left out".to_owned()
        }
        Ok(rate) if is_live => {
            said.shown.ops_per_s = Some(rate);
            said.rate(Grade::Measured, rate, verified.lanes());
            return Some(said);
        }
        // Outside a live session every duration counts as claimed.
        Ok(rate) => {
            said.rate(Grade::Claimed, rate, verified.lanes());
            NotShown::NotLive.to_string()
        }
        Err(why) => why.to_string(),
    };
    said.not_shown = Some(format!("the int8 rate: nothing is shown of it, as {why}"));
    Some(said)
}

impl Said {
    fn rate(&mut self, grade: Grade, ops_per_s: u64, lanes: u32) {
        let text = |rate: f64| at_least(rate, Unit::Operations.per_second());
        let each = text(ops_per_s as f64);
        let text = match lanes {
            1 => format!("at least {each} of int8 products"),
            _ => format!(
                "at least {} of int8 products by {lanes} lanes together, {each} each in the mean",
                text(f64::from(lanes) * ops_per_s as f64)
            ),
        };
        self.facts.push(fact(grade, "rate", text));
    }
}
