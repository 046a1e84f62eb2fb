//! One lane of the stress test: rounds of the chain, and signs of life.

use super::answers::Output;
use super::{Shared, StressLane, seed};
use crate::error_text::what_happened;
use crate::executor::{ExecError, Executor, IterationOutput, Segment};
use crate::protocol::digest::Uuid;
use crate::protocol::work::fp64_product::Fp64Product;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What others see of a lane.
pub(super) struct LaneState {
    start: Instant,
    iterations: AtomicU64,
    /// When it last showed itself, ns since the start.
    sign_ns: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl LaneState {
    pub(super) fn new(start: Instant) -> Self {
        let (iterations, sign_ns) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { start, iterations, sign_ns, failure: Mutex::new(None) }
    }

    fn sign(&self) {
        self.sign_ns.store(self.start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// How long it has not shown itself.
    pub(super) fn silent(&self) -> Duration {
        let last = Duration::from_nanos(self.sign_ns.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }

    /// The first failure stays.
    pub(super) fn fail(&self, why: String) {
        self.failure().get_or_insert(why);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure().is_some()
    }

    fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look(&self, name: &str, uuid: Uuid, shape: Fp64Product) -> StressLane {
        let iterations = self.iterations.load(Ordering::Relaxed);
        let operations = 2.0 * shape.multiply_adds() as f64 * iterations as f64;
        // Up to its last iteration: if it has ended, time goes on.
        let seconds = self.sign_ns.load(Ordering::Relaxed) as f64 / 1e9;
        StressLane {
            name: name.to_owned(),
            uuid,
            iterations,
            tflops: if seconds > 0.0 { operations / seconds / 1e12 } else { 0.0 },
            failure: self.failure().clone(),
        }
    }
}

/// Rounds until the time is over or the lane fails.
pub(super) fn run_lane(lane: usize, mut executor: Box<dyn Executor>, shared: &Shared) {
    let state = &shared.lanes[lane];
    // The executor is dropped after a panic, and the answers are pushed whole.
    let work = AssertUnwindSafe(|| rounds(lane, executor.as_mut(), shared));
    match catch_unwind(work) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => state.fail(what_happened(error)),
        Err(_) => state.fail("its executor panicked".to_owned()),
    }
}

fn rounds(lane: usize, executor: &mut dyn Executor, shared: &Shared) -> Result<(), ExecError> {
    let state = &shared.lanes[lane];
    let shape = shared.options.shape;
    executor.begin(&shape.into())?;
    state.sign();
    let segment = Segment {
        first_iteration: 1,
        iterations: shared.options.round_iterations,
        start: seed(),
        solo_sync: None,
    };
    let mut round = 0;
    while !shared.is_over() {
        round += 1;
        let run = executor.run(&segment, &mut |output: IterationOutput<'_>| {
            let IterationOutput { iteration, root, tile_roots } = output;
            let output = Output { lane, round, iteration, root, tile_roots };
            let same = shared.answers().compare(output);
            state.iterations.fetch_add(1, Ordering::Relaxed);
            state.sign();
            if same && !shared.is_over() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        match run {
            Ok(()) | Err(ExecError::Stopped) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
