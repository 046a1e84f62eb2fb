//! One lane of the stress test: its turns at each load, and signs of life.

use super::answers::{self, Output};
use super::sweeps::{self, Swept};
use super::{Load, LoadAnswers, Shared, StressLane, lock, seed};
use crate::error_text::what_happened;
use crate::executor::{ExecError, Executor, IterationOutput, Segment};
use crate::protocol::digest::Uuid;
use crate::protocol::work::Work;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a lane has done of a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneLoad {
    /// Of each iteration.
    pub work: Work,
    /// Iterations that were computed.
    pub iterations: u64,
    /// Units of its cost a second, while the lane was at it.
    pub per_s: f64,
}

/// What others see of a lane.
pub(super) struct LaneState {
    name: String,
    uuid: Uuid,
    start: Instant,
    /// When it last showed itself, ns since the start.
    sign_ns: AtomicU64,
    loads: Vec<LoadState>,
    failure: Mutex<Option<String>>,
}

/// A load on a lane.
struct LoadState {
    work: Work,
    iterations: AtomicU64,
    /// That all of them took.
    ns: AtomicU64,
    /// The last turn in which there was one, from 1.
    turn: AtomicU64,
}

impl LaneState {
    pub(super) fn new(
        start: Instant,
        (name, uuid): (String, Uuid),
        loads: &[Load],
        arena_blocks: u64,
    ) -> Self {
        let load = |load: &Load| {
            let work = match load {
                Load::Products(products) => products.work,
                Load::Sweeps => sweeps::work_of(arena_blocks).into(),
            };
            let zero = || AtomicU64::new(0);
            LoadState { work, iterations: zero(), ns: zero(), turn: zero() }
        };
        let loads = loads.iter().map(load).collect();
        Self { name, uuid, start, sign_ns: AtomicU64::new(0), loads, failure: Mutex::new(None) }
    }

    /// Shows that it lives; gives the time since it last did, ns.
    fn sign(&self) -> u64 {
        let now = self.start.elapsed().as_nanos() as u64;
        now.saturating_sub(self.sign_ns.swap(now, Ordering::Relaxed))
    }

    /// An iteration of load `load` is done.
    fn count(&self, load: usize, turn: u64) {
        let took = self.sign();
        let load = &self.loads[load];
        load.ns.fetch_add(took, Ordering::Relaxed);
        load.iterations.fetch_add(1, Ordering::Relaxed);
        load.turn.store(turn, Ordering::Relaxed);
    }

    /// Whether it has done an iteration of `load` in turn `turn` or later.
    pub(super) fn has_had(&self, load: usize, turn: u64) -> bool {
        self.loads[load].turn.load(Ordering::Relaxed) >= turn
    }

    /// How long it has not shown itself.
    pub(super) fn silent(&self) -> Duration {
        let last = Duration::from_nanos(self.sign_ns.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }

    /// The first failure stays.
    pub(super) fn fail(&self, why: String) {
        lock(&self.failure).get_or_insert(why);
    }

    pub(super) fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    pub(super) fn look(&self) -> StressLane {
        let load = |load: &LoadState| {
            let iterations = load.iterations.load(Ordering::Relaxed);
            let amount = load.work.cost().amount as f64 * iterations as f64;
            let seconds = load.ns.load(Ordering::Relaxed) as f64 / 1e9;
            let per_s = if seconds > 0.0 { amount / seconds } else { 0.0 };
            LaneLoad { work: load.work, iterations, per_s }
        };
        StressLane {
            name: self.name.clone(),
            uuid: self.uuid,
            loads: self.loads.iter().map(load).collect(),
            failure: lock(&self.failure).clone(),
        }
    }
}

/// Turns until the time is over or the lane fails.
pub(super) fn run_lane(lane: usize, mut executor: Box<dyn Executor>, shared: &Shared) {
    let state = &shared.lanes[lane];
    // The executor is dropped after a panic, and the answers are pushed whole.
    let work = AssertUnwindSafe(|| turns(lane, executor.as_mut(), shared));
    match catch_unwind(work) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => state.fail(what_happened(error)),
        Err(_) => state.fail("its executor panicked".to_owned()),
    }
}

fn turns(lane: usize, executor: &mut dyn Executor, shared: &Shared) -> Result<(), ExecError> {
    while !shared.is_over() {
        let turn = shared.turn();
        let load = shared.load_of(turn);
        match &shared.answers[load] {
            LoadAnswers::Products(_) => rounds((lane, load, turn), executor, shared)?,
            LoadAnswers::Sweeps(_) => sweep((lane, load, turn), executor, shared)?,
        }
    }
    Ok(())
}

/// Rounds of the chain until the turn is over.
fn rounds(
    (lane, load, turn): (usize, usize, u64),
    executor: &mut dyn Executor,
    shared: &Shared,
) -> Result<(), ExecError> {
    let (Load::Products(products), LoadAnswers::Products(answers)) =
        (&shared.options.loads[load], &shared.answers[load])
    else {
        unreachable!("a load of products")
    };
    let state = &shared.lanes[lane];
    executor.begin(&answers::assignment(products.work))?;
    state.sign();
    let segment = Segment {
        first_iteration: 1,
        iterations: products.round_iterations,
        start: seed(),
        solo_sync: None,
    };
    while shared.is_turn(turn) {
        let round = shared.next_round(lane);
        let run = executor.run(&segment, &mut |output: IterationOutput<'_>| {
            let IterationOutput { iteration, root, tile_roots } = output;
            let output = Output { lane, round, iteration, root, tile_roots };
            let same = lock(answers).compare(output);
            state.count(load, turn);
            if same && shared.is_turn(turn) {
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

/// The same sweep until the turn is over; wrong tiles are read back at once.
fn sweep(
    (lane, load, turn): (usize, usize, u64),
    executor: &mut dyn Executor,
    shared: &Shared,
) -> Result<(), ExecError> {
    let LoadAnswers::Sweeps(answers) = &shared.answers[load] else {
        unreachable!("a load of sweeps")
    };
    let state = &shared.lanes[lane];
    let work = state.loads[load].work.memory_residency().expect("sweeps are over arenas");
    executor.begin(&sweeps::assignment(work, turn))?;
    let own = executor.share();
    executor.connect(&[own])?;
    lock(answers).join(turn, work);
    state.sign();
    let segment =
        Segment { first_iteration: 1, iterations: 1, start: sweeps::seed(turn), solo_sync: None };
    let cpu = shared.options.memory;
    let mut sweep = 0;
    loop {
        sweep += 1;
        let mut pins = Vec::new();
        executor.run(&segment, &mut |output: IterationOutput<'_>| {
            let IterationOutput { root, tile_roots, .. } = output;
            pins = lock(answers).compare(&Swept { lane, work, turn, sweep, root, tile_roots });
            state.count(load, turn);
            ControlFlow::Continue(())
        })?;
        let goes_on = shared.is_turn(turn);
        if !goes_on {
            // Found by others meanwhile: the next fill overwrites it.
            pins.extend(lock(answers).take_pins(turn, lane));
        }
        for pin in pins {
            if let Some(words) = sweeps::read_back(executor, cpu, work, turn, pin)? {
                lock(answers).pinned(pin, words);
            }
            state.sign();
        }
        if !goes_on {
            return Ok(());
        }
    }
}
