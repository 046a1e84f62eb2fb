//! What a token or a result says, without any verification.
//!
//! Guarantees: what it says of a challenge is what the protocol makes of it; of a
//! result, lists are counted and not kept, and `verified` is false.
//! Deliberately lacks: judgement, and prose.

mod summary;

pub use summary::{LaneSummary, Summary};

use crate::protocol::challenge::Challenge;
use crate::protocol::verdict::RunCost;
use crate::protocol::work::{Cost, Work};
use serde_json::{Value, json};

/// Longest result that is inspected, in bytes. Larger ones exist; verify them.
pub const RESULT_BYTES_MAX: u64 = 256 << 20;

/// A challenge, with what follows from its fields: digest, samples, cost, bounds.
pub fn challenge(challenge: &Challenge) -> Value {
    let Cost { amount, unit } = challenge.work().cost();
    let mut shown = json!({
        "kind": "challenge",
        "digest": challenge.digest(),
        "challenge": challenge.spec(),
        "sampled_iterations": challenge.sampled_iterations(),
        "openings_per_lane_max": challenge.draws(),
        "lanes_max": challenge.max_lanes(),
        "result_bytes_max": challenge.result_bytes_max(),
        "cost_per_lane": RunCost {
            amount: (u128::from(amount) * u128::from(challenge.iterations())).to_string(),
            unit,
        },
    });
    if let Work::MemoryResidency(work) = challenge.work() {
        shown["arena_bytes_per_lane"] = json!(work.arena_bytes());
        shown["link_bytes_per_lane"] =
            json!((u128::from(work.link_bytes()) * u128::from(challenge.iterations())).to_string());
    }
    shown
}
