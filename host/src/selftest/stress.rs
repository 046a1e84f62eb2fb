//! Hours of the same known chain on every device: is each bit of each iteration
//! right, all the time?
//!
//! ```text
//! round    every lane computes iterations 1 … N of one fixed chain, again and again
//! Answers  what the lanes found first; every later root is compared with it
//! judge    two roots differ: the tile, and which side the CPU says is wrong
//! ```
//!
//! Guarantees: each iteration of each lane is compared, to the bit, with what
//! the other lanes and earlier rounds found, and a prefix of it with the CPU; a
//! difference is judged by recomputing its tile on the CPU, never by majority, until
//! [`FAULTS_MAX`] faults are known.
//! A lane that hangs is named and not waited for.
//! Deliberately lacks: speed figures beyond a rate, and any repair.

mod answers;
mod lane;

use super::Health;
use crate::executor::{Executor, abandoned};
use crate::protocol::chain;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::names::State;
use crate::protocol::work::fp64_product::Fp64Product;
use answers::Answers;
pub use answers::{FAULTS_MAX, Fault};
use lane::{LaneState, run_lane};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What to run.
#[derive(Clone, Debug)]
pub struct StressOptions {
    /// How long new rounds are started.
    pub duration: Duration,
    /// n and m.
    pub shape: Fp64Product,
    /// N: iterations of a round. Their tile roots are kept.
    pub round_iterations: u32,
    /// So many of them are recomputed on the CPU, whole, beside the lanes.
    pub known_iterations: u32,
    /// A lane that is silent for so long has hung.
    pub patience: Duration,
    /// Ends the run early.
    pub stop: Arc<AtomicBool>,
}

impl StressOptions {
    /// Rounds of at most 64 MiB of tile roots; patience two minutes longer than an
    /// iteration takes at 10⁸ multiply-adds a second.
    pub fn new(duration: Duration, shape: Fp64Product) -> Self {
        let fit = (64 << 20) / (32 * shape.tiles());
        Self {
            duration,
            shape,
            round_iterations: fit.clamp(2, 1000) as u32,
            known_iterations: 2,
            patience: Duration::from_secs(
                120_u64.saturating_add(shape.multiply_adds() / 100_000_000),
            ),
            stop: Arc::default(),
        }
    }

    /// How many iterations' tile roots are in memory at once, with `lanes` lanes: those
    /// of a round, one in each executor's hands, and three in the checker's.
    pub fn digest_sets(&self, lanes: usize) -> u64 {
        u64::from(self.round_iterations) + lanes as u64 + 3
    }
}

/// A lane now or at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct StressLane {
    /// What it is called: "GPU 0 (NVIDIA H200)".
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Iterations compared.
    pub iterations: u64,
    /// 10¹² operations a second since it began.
    pub tflops: f64,
    /// What ended it early: the driver's error, a panic, silence.
    pub failure: Option<String>,
}

/// How it came out.
#[derive(Clone, Debug, PartialEq)]
pub struct StressReport {
    /// In the order given.
    pub lanes: Vec<StressLane>,
    /// The first faults found, at most [`FAULTS_MAX`].
    pub faults: Vec<Fault>,
    /// Differences after the last of them. Nobody has asked which side was wrong.
    pub unjudged: u64,
    /// Iterations of the chain that the CPU has recomputed whole.
    pub known_iterations: u32,
    /// Iterations that were compared with another computation of theirs: another
    /// lane's, an earlier round's, or the CPU's.
    pub compared: u64,
    /// How long it ran.
    pub elapsed: Duration,
}

impl StressReport {
    /// What it comes to. [`Health::NothingChecked`]: nothing failed, and the time was
    /// too short for anything to be compared.
    pub fn health(&self) -> Health {
        let has_failed = self.lanes.iter().any(|lane| lane.failure.is_some());
        let is_idle = |lane: &StressLane| lane.iterations == 0;
        match () {
            () if has_failed || !self.faults.is_empty() => Health::Faulty,
            () if self.compared == 0 => Health::NothingChecked,
            () if self.lanes.iter().any(is_idle) => Health::Faulty,
            () => Health::Healthy,
        }
    }

    /// No wrong bit, no lane that failed or did nothing, and something was compared.
    pub fn is_healthy(&self) -> bool {
        self.health() == Health::Healthy
    }
}

/// Runs the chain on `executors` until the time is over; `reference` makes
/// another means of computing it, the CPU's. `on_look` is called five times a second.
///
/// # Errors
/// The system gives no thread: nothing is known of any device.
pub fn stress(
    executors: Vec<(String, Box<dyn Executor>)>,
    reference: &dyn Fn() -> Box<dyn Executor>,
    options: &StressOptions,
    on_look: &mut dyn FnMut(&[StressLane]),
) -> io::Result<StressReport> {
    let start = Instant::now();
    let names: Vec<(String, Uuid)> =
        executors.iter().map(|(name, executor)| (name.clone(), executor.facts().uuid)).collect();
    let shared = Arc::new(Shared {
        options: options.clone(),
        over: AtomicBool::new(false),
        answers: Mutex::new(Answers::new(options.shape, seed(), names.clone(), reference())),
        lanes: names.iter().map(|_| LaneState::new(start)).collect(),
    });
    let mut checker = Some(spawn_checker(&shared, reference())?);
    let spawn = |(lane, (_, executor)): (usize, (String, Box<dyn Executor>))| {
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("lane {lane}"));
        let thread = thread.spawn(move || run_lane(lane, executor, &own));
        // Those that have begun end by themselves.
        thread.inspect_err(|_| shared.over.store(true, Ordering::Relaxed))
    };
    let threads: Vec<JoinHandle<()>> =
        executors.into_iter().enumerate().map(spawn).collect::<io::Result<_>>()?;
    let is_done = |lane: usize| threads[lane].is_finished();
    let looks = |shared: &Shared| -> Vec<StressLane> {
        let look = |((name, uuid), state): (&(String, Uuid), &LaneState)| {
            state.look(name, *uuid, options.shape)
        };
        names.iter().zip(&shared.lanes).map(look).collect()
    };
    loop {
        let stopped = options.stop.load(Ordering::Relaxed);
        if stopped || start.elapsed() >= options.duration {
            shared.over.store(true, Ordering::Relaxed);
        }
        for lane in 0..threads.len() {
            let silent = shared.lanes[lane].silent();
            if !is_done(lane) && silent > options.patience {
                // It is left to its thread: nothing can be asked of it any more.
                abandoned::note();
                shared.lanes[lane].fail(format!("hung: silent for {} s", silent.as_secs()));
            }
        }
        on_look(&looks(&shared));
        let ended = |lane: usize| is_done(lane) || shared.lanes[lane].has_failed();
        if (0..threads.len()).all(ended) {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(200).min(options.duration));
    }
    shared.over.store(true, Ordering::Relaxed);
    // The CPU's part may take long; what it has by now is what is known.
    if checker.as_ref().is_some_and(JoinHandle::is_finished)
        && let Some(thread) = checker.take()
    {
        let _ = thread.join();
    }
    let answers = shared.answers();
    Ok(StressReport {
        lanes: looks(&shared),
        faults: answers.faults().to_vec(),
        unjudged: answers.unjudged(),
        known_iterations: answers.known(),
        compared: answers.compared(),
        elapsed: start.elapsed(),
    })
}

/// What lanes, checker and caller see.
struct Shared {
    options: StressOptions,
    over: AtomicBool,
    answers: Mutex<Answers>,
    lanes: Vec<LaneState>,
}

/// Every lane starts here, whatever its UUID is: the chain of lane 0 of no
/// challenge on no device.
fn seed() -> State {
    chain::lane_seed(&Digest::of(&[b"attest selftest --stress"]), 0, &Uuid::default())
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Recomputes the first iterations on the CPU, as soon as a lane has them. It
/// holds nobody up: it computes on copies.
fn spawn_checker(shared: &Arc<Shared>, mut cpu: Box<dyn Executor>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    let check = move || {
        let most = shared.options.known_iterations.min(shared.options.round_iterations);
        let mut at = 1;
        while at <= most && !shared.is_over() {
            let found = shared.answers().found(at);
            let Some(found) = found else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            let Ok((root, tile_roots)) = found.again(shared.options.shape, cpu.as_mut()) else {
                return;
            };
            // If it was wrong it is found again, and checked again.
            if shared.answers().check(&found, root, &tile_roots) {
                at += 1;
            }
        }
    };
    std::thread::Builder::new().name("known answers".into()).spawn(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_the_work_of_an_iteration() {
        let patience = |dim, products| {
            StressOptions::new(Duration::ZERO, Fp64Product { dim, products }).patience.as_secs()
        };
        assert_eq!(patience(128, 1), 120);
        // 2¹² products of 2³⁶ multiply-adds.
        assert_eq!(patience(4096, 4096), 120 + (1 << 48) / 100_000_000);
    }
}
