//! Prices, in a verdict: what the claimed devices cost, and the cheapest others that
//! could have done as much, by the validator's own list.
//!
//! Deliberately lacks: the list, and the search. They are the validator's own.

use super::Equivalent;
use schemars::JsonSchema;
use serde::Serialize;

/// The claim's price beside that of the cheapest devices that could have done what was shown.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PriceShown {
    /// As the list names it.
    pub currency: String,
    /// Of the claimed devices together, an hour.
    pub claimed_per_hour: f64,
    /// Of the cheapest devices, an hour.
    pub cheapest_per_hour: f64,
    /// These devices.
    pub cheapest: Vec<Equivalent>,
}

impl PriceShown {
    /// The cheapest price as a share of the claim's: what a liar would have had to spend.
    pub fn share(&self) -> f64 {
        self.cheapest_per_hour / self.claimed_per_hour
    }
}
