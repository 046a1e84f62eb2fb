//! The time floors of docs/protocol.md: what a model needs at least for a kind of work.
//!
//! Guarantees: no floor for a model that is not in the table.

use super::models;
use crate::protocol::circumstances::FloorTable;
use crate::protocol::work::Work;

/// The shortest time, s, in which a GPU of the model can do so many iterations: the
/// amount of work over the rate of the model's fastest way, 10 % taken.
pub fn seconds(work: Work, iterations: u32, model: &str) -> Option<f64> {
    let model = models::find(model)?;
    let amount = work.cost().amount as f64 * f64::from(iterations);
    match work {
        Work::Fp64Product(_) => Some(amount / model.floor_flops()),
    }
}

/// It is what circumstances take.
const _: FloorTable = seconds;
