//! What happens when something breaks, each fault put in by a wrapper around
//! the CPU executor; docs/recovery.md says what should.

mod checkpoint;
mod initialise;
mod kill;
mod lanes;
mod logs;
mod pool;
mod stress;
mod stress_memory;
mod wrapper;

use attest::executor::Executor;
use attest::mining::issue::{Request, issue};
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use wrapper::{Alive, Fault, Faulty};

/// A challenge that has not expired.
fn challenge(lanes: Option<u64>, iterations: u64, sync_interval: u64) -> Challenge {
    issue(&Request {
        matrix_dim: Some(128),
        num_matrices: Some(2),
        num_iterations: Some(iterations),
        sync_interval: Some(sync_interval),
        samples_per_iteration: Some(3),
        gpu_count: lanes,
        ..Request::default()
    })
    .expect("a valid challenge")
}

/// The same run again and again: seed and nonce are fixed.
fn fixed_challenge(iterations: u64, sync_interval: u64) -> Challenge {
    Challenge::issue(ChallengeSpec {
        work: crate::common::products(128, 2),
        num_iterations: iterations,
        sync_interval,
        samples_per_iteration: 3,
        expires_at: "2999-01-01T00:00:00Z".to_owned(),
        ..crate::common::spec()
    })
    .expect("a valid challenge")
}

/// One lane per fault, with UUIDs 1, 2, …
fn lanes_with(faults: &[Fault], alive: &Alive) -> Vec<Box<dyn Executor>> {
    let lane = |(uuid, &fault)| Box::new(Faulty::new(uuid, fault, alive)) as Box<dyn Executor>;
    (1..).zip(faults).map(lane).collect()
}
