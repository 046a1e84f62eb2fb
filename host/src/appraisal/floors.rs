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

pub(crate) fn of_model(work: Work, iterations: u32, model: &Model) -> Option<f64> {
    let amount = work.cost().amount as f64 * f64::from(iterations);
    match work {
        Work::Fp64Product(_) => Some(amount / model.floor_flops()),
        // Links between lanes have no floor; of an arena all but what caches may hold is
        // read from memory by every sweep but the first, which may be part of the fill.
        Work::MemoryResidency(work) if work.reads_peers() => None,
        Work::IntegerProduct(_) => Some(amount / model.floor_int8_ops()),
        Work::MemoryResidency(work) => {
            let bytes = work.uncached_bytes() as f64 * f64::from(iterations.saturating_sub(1));
            Some(bytes / model.floor_bytes_per_s())
        }
    }
}

/// As [`seconds`], for what an honest run does and with what: FP64 products by the model's
/// own units, at the clock that it keeps under load; int8 products at the share of the peak
/// that its power allows; arenas with their fill and the first sweep, and no byte of them
/// from caches. What an honest run can be held to.
pub fn native_seconds(work: Work, iterations: u32, model: &Model) -> Option<f64> {
    let amount = work.cost().amount as f64 * f64::from(iterations);
    match work {
        Work::Fp64Product(_) => Some(amount / model.native_floor_flops()),
        Work::IntegerProduct(_) => Some(amount / model.native_floor_int8_ops()),
        Work::MemoryResidency(work) if work.reads_peers() => None,
        Work::MemoryResidency(work) => {
            let swept = work.sweep_bytes() as f64 * f64::from(iterations);
            Some((work.fill_bytes() as f64 + swept) / model.floor_bytes_per_s())
        }
    }
}

/// It is what circumstances take.
const _: FloorTable = seconds;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::work::integer_product::IntegerProduct;
    use crate::protocol::work::memory_residency::MemoryResidency;

    #[test]
    fn integer_products_have_floors_up_to_their_largest() {
        let h200 = models::find("NVIDIA H200").unwrap();
        let close = |got: Option<f64>, expected: f64| (got.unwrap() / expected - 1.0).abs() < 1e-12;
        let work = Work::from(IntegerProduct { dim: 16_384, products: 2 });
        // 2 · 2 · 16384³ · 100 operations, 4096 multiply-adds an SM and clock.
        let (operations, peak) = (4.0 * 2_f64.powi(42) * 100.0, 132.0 * 1980e6 * 8192.0);
        assert!(close(of_model(work, 100, h200), operations / (1.1 * peak)));
        assert!(close(native_seconds(work, 100, h200), operations / (1.25 * 0.65 * peak)));
        let largest = Work::from(IntegerProduct { dim: 65_536, products: 4096 });
        assert!(close(of_model(largest, 1_000_000, h200), 2_f64.powi(61) * 1e6 / (1.1 * peak)));
    }

    #[test]
    fn an_honest_run_has_time_for_its_fill_and_the_protocols_floor_does_not_count_it() {
        let h200 = models::find("NVIDIA H200").unwrap();
        let work = |peer_blocks| {
            Work::from(MemoryResidency { arena_blocks: 1 << 24, half_passes: 12, peer_blocks })
        };
        let close = |got: Option<f64>, expected: f64| (got.unwrap() / expected - 1.0).abs() < 1e-12;
        let arena = 68_719_476_736.0;
        // First words, 12 half-passes that move three halves each, 100 sweeps.
        assert!(close(native_seconds(work(0), 100, h200), 119.0 * arena / 5.28e12));
        assert!(close(of_model(work(0), 100, h200), 99.0 * (arena - 268_435_456.0) / 5.28e12));
        assert_eq!(native_seconds(work(256), 100, h200), None);
        assert_eq!(of_model(work(256), 100, h200), None);
    }
}
