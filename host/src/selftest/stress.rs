//! Hours of the same known work on every device: is each bit of each iteration
//! right, all the time?
//!
//! ```text
//! turn     every lane is at one load at a time; loads take turns
//! rounds   products: iterations 1 … N of one fixed chain, again and again
//! sweeps   memory: one sweep over an arena of known contents, again and again
//! Answers, Sweeps   what the lanes found first; whatever comes later is compared with it
//! checker  the CPU recomputes both beside the lanes
//! judge    two finds differ: the tile, and which side the CPU says is wrong; of an arena,
//!          the word that its block has when it is read back
//! ```
//!
//! Guarantees: each iteration of each lane is compared, to the bit, with what
//! the other lanes and earlier rounds found, and a prefix of it with the CPU; a
//! difference is judged by recomputing its tile on the CPU, never by majority, until
//! [`FAULTS_MAX`] faults of a load are known.
//! A lane that hangs is named and not waited for.
//! Deliberately lacks: speed figures beyond a rate, and any repair.

mod answers;
mod checker;
mod fault;
mod lane;
mod sweeps;

use super::Health;
use crate::executor::{Executor, abandoned};
use crate::protocol::chain;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::names::State;
use crate::protocol::work::Work;
use crate::protocol::work::memory_residency::BLOCK_BYTES;
use crate::work::memory_residency::cpu::MemoryCpu;
use answers::Answers;
use fault::FaultLog;
pub use fault::{FAULTS_MAX, Fault, WrongWord, WrongWords, word_in_hex};
pub use lane::LaneLoad;
use lane::{LaneState, run_lane};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use sweeps::Sweeps;

/// Longest turn of a load, if there are several, and of one fill.
const TURN_MAX: Duration = Duration::from_secs(60);

/// Turns of each load that there is time for at least: a bit that can't change is wrong in
/// every second arena.
const TURNS_MIN: u32 = 4;

/// A lane to be tested.
pub struct StressSubject {
    /// What it is called: "GPU 0 (NVIDIA H200)".
    pub name: String,
    /// What computes.
    pub executor: Box<dyn Executor>,
    /// N of the arena that is swept, if memory is a load; a multiple of 512.
    pub arena_blocks: u64,
}

/// What keeps the lanes busy.
#[derive(Clone, Debug)]
pub enum Load {
    /// Products, of FP64 or integers.
    Products(ProductLoad),
    /// Sweeps over an arena of each lane's own size.
    Sweeps,
}

/// A chain of products.
#[derive(Clone, Debug)]
pub struct ProductLoad {
    /// Of an iteration.
    pub work: Work,
    /// N: iterations of a round. Their tile roots are kept.
    pub round_iterations: u32,
    /// This many of them are recomputed on the CPU, whole, beside the lanes.
    pub known_iterations: u32,
}

impl Load {
    /// Rounds of at most 64 MiB of tile roots, two iterations of which the CPU recomputes.
    ///
    /// # Panics
    /// If `work` is not of products.
    pub fn products(work: Work) -> Self {
        assert!(work.memory_residency().is_none(), "arenas are swept");
        let round_iterations = ((64 << 20) / (32 * work.tiles())).clamp(2, 1000) as u32;
        Self::Products(ProductLoad { work, round_iterations, known_iterations: 2 })
    }

    /// As `--kinds` calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Products(products) if products.work.integer_product().is_some() => "integer",
            Self::Products(_) => "fp64",
            Self::Sweeps => "memory",
        }
    }

    /// How many iterations' tile roots are in memory at once, with `lanes` lanes: those
    /// of a round, one in each executor's hands, and three in the checker's.
    pub fn digest_sets(&self, lanes: usize) -> u64 {
        let kept = match self {
            Self::Products(products) => u64::from(products.round_iterations),
            Self::Sweeps => lanes as u64,
        };
        kept + lanes as u64 + 3
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct StressOptions {
    /// How long new iterations are started.
    pub duration: Duration,
    /// What to do, in turns.
    pub loads: Vec<Load>,
    /// How long a load is kept up, and an arena's contents: longer if not every lane has
    /// done anything by then, or the CPU has not recomputed an arena.
    pub turn: Duration,
    /// What recomputes arenas.
    pub memory: MemoryCpu,
    /// A lane that is silent for so long has hung.
    pub patience: Duration,
    /// Ends the run early.
    pub stop: Arc<AtomicBool>,
}

impl StressOptions {
    /// Turns of a minute, or of a quarter of each load's share of the time; patience two
    /// minutes longer than an iteration takes at 10⁸ multiply-adds of FP64, or 10⁹ of
    /// integers, or a fill at 10⁸ bytes, a second. No arena has more than `arena_blocks`
    /// blocks.
    pub fn new(duration: Duration, loads: Vec<Load>, arena_blocks: u64) -> Self {
        let slow = |load: &Load| match load {
            Load::Products(products) => {
                let rate = if products.work.integer_product().is_some() { 10 } else { 1 };
                products.work.cost().amount / 2 / rate
            }
            Load::Sweeps => arena_blocks.saturating_mul(BLOCK_BYTES),
        };
        let slowest = loads.iter().map(slow).max().unwrap_or(0);
        let turn = TURN_MAX.min(duration / (TURNS_MIN * loads.len().max(1) as u32));
        Self {
            duration,
            loads,
            turn,
            memory: MemoryCpu::new(),
            patience: Duration::from_secs(120_u64.saturating_add(slowest / 100_000_000)),
            stop: Arc::default(),
        }
    }
}

/// A lane now or at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct StressLane {
    /// What it is called: "GPU 0 (NVIDIA H200)".
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// What it has done of each load, in the options' order.
    pub loads: Vec<LaneLoad>,
    /// What ended it early: the driver's error, a panic, silence.
    pub failure: Option<String>,
}

impl StressLane {
    /// Iterations of all loads.
    pub fn iterations(&self) -> u64 {
        self.loads.iter().map(|load| load.iterations).sum()
    }
}

/// What is known of a load's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// As `--kinds` calls it.
    pub kind: &'static str,
    /// Iterations that were compared with another computation of theirs: another
    /// lane's, an earlier round's, or the CPU's.
    pub compared: u64,
    /// Iterations of the chain that the CPU has recomputed whole; of sweeps, fills of
    /// arenas of one size of which it has recomputed every block.
    pub known: u64,
    /// Fills of arenas, those of one size and turn counted once; 0 for products.
    pub fills: u64,
}

/// How it came out.
#[derive(Clone, Debug, PartialEq)]
pub struct StressReport {
    /// In the order given.
    pub lanes: Vec<StressLane>,
    /// In the options' order.
    pub loads: Vec<LoadReport>,
    /// The first faults found, at most [`FAULTS_MAX`] of each load.
    pub faults: Vec<Fault>,
    /// Differences after the last of them. Nobody has asked which side was wrong.
    pub unjudged: u64,
    /// How long it ran.
    pub elapsed: Duration,
}

impl StressReport {
    /// What it comes to. [`Health::NothingChecked`]: nothing failed, and the time was
    /// too short for anything of some load to be compared.
    pub fn health(&self) -> Health {
        let has_failed = self.lanes.iter().any(|lane| lane.failure.is_some());
        let is_idle = |lane: &StressLane| lane.iterations() == 0;
        let lacks_a_load = |lane: &StressLane| lane.loads.iter().any(|load| load.iterations == 0);
        match () {
            () if has_failed || !self.faults.is_empty() => Health::Faulty,
            () if self.loads.iter().any(|load| load.compared == 0) => Health::NothingChecked,
            () if self.lanes.iter().any(is_idle) => Health::Faulty,
            () if self.lanes.iter().any(lacks_a_load) => Health::NothingChecked,
            () => Health::Healthy,
        }
    }

    /// No wrong bit, no lane that failed or did nothing, and something of each load was
    /// compared.
    pub fn is_healthy(&self) -> bool {
        self.health() == Health::Healthy
    }
}

/// Runs the loads on `subjects` until the time is over; `reference` makes
/// another means of computing products, the CPU's. `on_look` is called five times a second.
///
/// # Errors
/// The system gives no thread: nothing is known of any device.
///
/// # Panics
/// If there is no load.
pub fn stress(
    subjects: Vec<StressSubject>,
    reference: &dyn Fn() -> Box<dyn Executor>,
    options: &StressOptions,
    on_look: &mut dyn FnMut(&[StressLane]),
) -> io::Result<StressReport> {
    assert!(!options.loads.is_empty(), "there is something to do");
    let start = Instant::now();
    let named = |subject: &StressSubject| (subject.name.clone(), subject.executor.facts().uuid);
    let names: Vec<(String, Uuid)> = subjects.iter().map(named).collect();
    let lanes = names.iter().zip(&subjects).map(|(name, subject)| {
        LaneState::new(start, name.clone(), &options.loads, subject.arena_blocks)
    });
    let answers = options.loads.iter().map(|load| {
        let log = FaultLog::new(load.kind(), names.clone());
        match load {
            Load::Products(products) => LoadAnswers::Products(Mutex::new(Answers::new(
                products.work,
                seed(),
                log,
                reference(),
            ))),
            Load::Sweeps => LoadAnswers::Sweeps(Mutex::new(Sweeps::new(options.memory, log))),
        }
    });
    let shared = Arc::new(Shared {
        options: options.clone(),
        over: AtomicBool::new(false),
        turn: AtomicU64::new(1),
        rounds: names.iter().map(|_| AtomicU64::new(0)).collect(),
        lanes: lanes.collect(),
        answers: answers.collect(),
    });
    let mut checker = Some(checker::spawn(&shared, reference())?);
    let spawn = |(lane, subject): (usize, StressSubject)| {
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("lane {lane}"));
        let thread = thread.spawn(move || run_lane(lane, subject.executor, &own));
        // Those that have begun end by themselves.
        thread.inspect_err(|_| shared.over.store(true, Ordering::Relaxed))
    };
    let threads: Vec<JoinHandle<()>> =
        subjects.into_iter().enumerate().map(spawn).collect::<io::Result<_>>()?;
    let is_done = |lane: usize| threads[lane].is_finished();
    let looks =
        |shared: &Shared| -> Vec<StressLane> { shared.lanes.iter().map(LaneState::look).collect() };
    let mut turn_start = start;
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
        let in_turn = turn_start.elapsed();
        if in_turn >= options.turn
            && (shared.is_settled() || in_turn > options.turn + options.patience)
        {
            shared.turn.fetch_add(1, Ordering::Relaxed);
            turn_start = Instant::now();
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
    Ok(shared.report(looks(&shared), start.elapsed()))
}

/// What lanes, checker and caller see.
struct Shared {
    options: StressOptions,
    over: AtomicBool,
    /// The turn that it is, from 1.
    turn: AtomicU64,
    /// Of each lane, rounds of products that it has begun.
    rounds: Vec<AtomicU64>,
    lanes: Vec<LaneState>,
    /// Of each load.
    answers: Vec<LoadAnswers>,
}

/// What is known of a load.
enum LoadAnswers {
    Products(Mutex<Answers>),
    Sweeps(Mutex<Sweeps>),
}

/// Every lane starts here, whatever its UUID is: the chain of lane 0 of no
/// challenge on no device.
fn seed() -> State {
    chain::lane_seed(&Digest::of(&[b"attest selftest --stress"]), 0, &Uuid::default())
}

/// What a thread that panicked held is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Whether it is still turn `turn`.
    fn is_turn(&self, turn: u64) -> bool {
        !self.is_over() && self.turn() == turn
    }

    /// Whose turn it is.
    fn load_of(&self, turn: u64) -> usize {
        ((turn - 1) % self.options.loads.len() as u64) as usize
    }

    /// The number of a lane's next round, from 1.
    fn next_round(&self, lane: usize) -> u64 {
        self.rounds[lane].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether this turn has done what it is for: nothing else would be gained by it.
    fn is_settled(&self) -> bool {
        let turn = self.turn();
        let load = self.load_of(turn);
        let lives = |lane: &usize| !self.lanes[*lane].has_failed();
        let lanes: Vec<usize> = (0..self.lanes.len()).filter(lives).collect();
        match &self.answers[load] {
            LoadAnswers::Products(_) => {
                // One load alone needs no turns: its rounds go on.
                self.options.loads.len() > 1
                    && lanes.iter().all(|&lane| self.lanes[lane].has_had(load, turn))
            }
            LoadAnswers::Sweeps(sweeps) => lock(sweeps).is_settled(turn, &lanes),
        }
    }

    fn report(&self, lanes: Vec<StressLane>, elapsed: Duration) -> StressReport {
        let (mut loads, mut faults, mut unjudged) = (Vec::new(), Vec::new(), 0);
        for (load, answers) in self.options.loads.iter().zip(&self.answers) {
            let kind = load.kind();
            let mut take = |log: &FaultLog| {
                faults.extend_from_slice(log.faults());
                unjudged += log.unjudged();
            };
            loads.push(match answers {
                LoadAnswers::Products(answers) => {
                    let answers = lock(answers);
                    take(answers.log());
                    let known = answers.known().into();
                    LoadReport { kind, compared: answers.compared(), known, fills: 0 }
                }
                LoadAnswers::Sweeps(sweeps) => {
                    let sweeps = lock(sweeps);
                    take(sweeps.log());
                    let (fills, known) = sweeps.fills();
                    LoadReport { kind, compared: sweeps.compared(), known, fills }
                }
            });
        }
        StressReport { lanes, loads, faults, unjudged, elapsed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::work::fp64_product::Fp64Product;

    #[test]
    fn patience_grows_with_the_work_of_an_iteration() {
        let patience = |load: Load, arena_blocks| {
            StressOptions::new(Duration::ZERO, vec![load], arena_blocks).patience.as_secs()
        };
        let products = |dim, products| Load::products(Fp64Product { dim, products }.into());
        assert_eq!(patience(products(128, 1), 1 << 28), 120);
        // 2¹² products of 2³⁶ multiply-adds.
        assert_eq!(patience(products(4096, 4096), 0), 120 + (1 << 48) / 100_000_000);
        // 1.1 TB.
        assert_eq!(patience(Load::Sweeps, 1 << 28), 120 + (1 << 40) / 100_000_000);
    }
}
