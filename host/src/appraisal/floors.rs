//! The time floors of docs/protocol.md: what a model needs at least for a kind of work.
//!
//! Guarantees: no floor for a model that is not in the table.

use super::models::{self, Model};
use crate::protocol::circumstances::FloorTable;
use crate::protocol::work::Work;

/// The shortest time, s, in which a GPU of the model can do so many iterations: the
/// amount of work over the rate of the model's fastest way, 10 % taken.
pub fn seconds(work: Work, iterations: u32, model: &str) -> Option<f64> {
    of_model(work, iterations, models::find(model)?)
}

fn of_model(work: Work, iterations: u32, model: &Model) -> Option<f64> {
    let amount = work.cost().amount as f64 * f64::from(iterations);
    match work {
        Work::Fp64Product(_) => Some(amount / model.floor_flops()),
        // Links between lanes have no floor; of an arena all but what caches may hold is
        // read from memory by every sweep but the first, which may be part of the fill.
        Work::MemoryResidency(work) if work.reads_peers() => None,
        Work::MemoryResidency(work) => {
            let bytes = work.uncached_bytes() as f64 * f64::from(iterations.saturating_sub(1));
            Some(bytes / model.floor_bytes_per_s())
        }
    }
}

/// As [`seconds`], at the clock that a model keeps under load and by its own units for the
/// work: what an honest run can be held to.
pub fn native_seconds(work: Work, iterations: u32, model: &Model) -> Option<f64> {
    match work {
        Work::Fp64Product(_) => {
            let amount = work.cost().amount as f64 * f64::from(iterations);
            Some(amount / model.native_floor_flops())
        }
        Work::MemoryResidency(_) => of_model(work, iterations, model),
    }
}

/// It is what circumstances take.
const _: FloorTable = seconds;
