//! One lane's thread: segments, the chain, its heartbeat.

use super::barrier::{Barrier, BarrierTimes};
use super::checkpointer::{Checkpointer, KeptLane};
use super::counters;
use super::resume::ResumedLane;
use super::{Finished, LaneExecution, nanoseconds_since};
use crate::executor::{
    Assignment, ExecError, Executor, IterationOutput, LaneFacts, Segment, SharedMemory, SmTiles,
    SoloSync,
};
use crate::protocol::chain;
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Digest;
use crate::protocol::names::{Root, State};
use crate::protocol::work::Work;
use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the challenge asks of each lane.
#[derive(Clone, Copy)]
pub(super) struct Orders {
    challenge: Digest,
    work: Work,
    iterations: u32,
    sync_interval: u32,
    /// What earlier processes did, and how long it took them.
    through: u32,
    before: Duration,
}

impl Orders {
    pub(super) fn of(challenge: &Challenge, through: u32, before: Duration) -> Self {
        Self {
            through,
            before,
            challenge: challenge.digest(),
            work: challenge.work(),
            iterations: challenge.iterations(),
            sync_interval: challenge.sync_interval(),
        }
    }
}

/// What all lanes and the watchdog see.
pub(super) struct Shared {
    orders: Orders,
    barrier: Barrier,
    pub(super) stop: Arc<AtomicBool>,
    aborted: AtomicBool,
    pub(super) heartbeats: Vec<Heartbeat>,
    checkpointer: Option<Arc<Checkpointer>>,
    start: Instant,
    /// s(g,0) of every lane.
    seeds: Arc<[State]>,
    /// What each lane lends the others of its memory.
    memory: Mutex<Vec<Option<SharedMemory>>>,
}

impl Shared {
    pub(super) fn new(
        orders: Orders,
        barrier: Barrier,
        seeds: Arc<[State]>,
        stop: Arc<AtomicBool>,
        checkpointer: Option<Arc<Checkpointer>>,
    ) -> Self {
        let heartbeat =
            || Heartbeat { done: AtomicU32::new(orders.through), ..Heartbeat::default() };
        let heartbeats = seeds.iter().map(|_| heartbeat()).collect();
        let memory = Mutex::new(vec![None; seeds.len()]);
        let (aborted, start) = (AtomicBool::new(false), Instant::now());
        Self { orders, barrier, stop, aborted, heartbeats, checkpointer, start, seeds, memory }
    }

    /// Ends the run for every lane, within an iteration.
    pub(super) fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
        self.barrier.abort();
    }

    fn lend(&self, lane: usize, memory: Option<SharedMemory>) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)[lane] = memory;
    }

    fn lent(&self) -> Vec<Option<SharedMemory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nanoseconds since the common start.
    pub(super) fn now(&self) -> u64 {
        nanoseconds_since(self.start)
    }

    fn is_over(&self) -> bool {
        self.aborted.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }
}

/// A lane's heartbeat, written by its thread, read by the watchdog.
#[derive(Default)]
pub(super) struct Heartbeat {
    done: AtomicU32,
    /// The iteration under way; 0 while the executor is set up.
    iteration: AtomicU32,
    /// When the lane last showed itself, or [`WAITING`].
    last_ns: AtomicU64,
    longest_gap_ns: AtomicU64,
}

/// In `last_ns`: the lane waits for others, its silence means nothing.
const WAITING: u64 = u64::MAX;

impl Heartbeat {
    /// Iterations done.
    pub(super) fn done(&self) -> u32 {
        self.done.load(Ordering::Relaxed)
    }

    /// The iteration under way; 0 while the executor is set up.
    pub(super) fn iteration(&self) -> u32 {
        self.iteration.load(Ordering::Relaxed)
    }

    /// The longest silence that ended with an iteration.
    pub(super) fn longest_gap(&self) -> Duration {
        Duration::from_nanos(self.longest_gap_ns.load(Ordering::Relaxed))
    }

    /// How long the lane has been silent while it should compute.
    pub(super) fn silence(&self, now_ns: u64) -> Option<Duration> {
        let last = self.last_ns.load(Ordering::Relaxed);
        (last != WAITING).then(|| Duration::from_nanos(now_ns.saturating_sub(last)))
    }

    fn begin_iteration(&self, iteration: u32, now_ns: u64) {
        self.iteration.store(iteration, Ordering::Relaxed);
        self.last_ns.store(now_ns, Ordering::Relaxed);
    }

    fn end_iteration(&self, iteration: u32, now_ns: u64) {
        let gap = now_ns.saturating_sub(self.last_ns.load(Ordering::Relaxed));
        self.longest_gap_ns.fetch_max(gap, Ordering::Relaxed);
        self.done.store(iteration, Ordering::Relaxed);
        self.begin_iteration(iteration + 1, now_ns);
    }

    fn wait(&self) {
        self.last_ns.store(WAITING, Ordering::Relaxed);
    }

    /// The lane waits for nobody any more.
    fn show(&self, now_ns: u64) {
        self.last_ns.store(now_ns, Ordering::Relaxed);
    }
}

/// Why a lane ended early.
pub(super) enum Failure {
    /// Another lane failed, or the stop flag was set.
    Aborted,
    /// Its executor failed.
    Executor(ExecError),
    /// Its executor panicked or broke its contract.
    Broken(String),
}

/// Runs all of a lane's iterations, whatever the executor does short of hanging.
pub(super) fn run(
    lane: usize,
    mut executor: Box<dyn Executor>,
    before: ResumedLane,
    shared: &Shared,
) -> Result<Finished, Failure> {
    // The executor is dropped after a panic, and everything else here is
    // discarded, so no broken invariant is seen.
    let body = AssertUnwindSafe(|| {
        let facts = executor.facts().clone();
        Lane::new(lane, shared, facts, before).run(&mut *executor)
    });
    let ended = catch_unwind(body)
        .unwrap_or_else(|panic| Err(Failure::Broken(panicked(&*panic))))
        .inspect_err(|_| {
            // Its executor is dropped next. That may hang, and a lane that still
            // seemed to wait for others would never be found silent.
            shared.heartbeats[lane].show(shared.now());
        });
    ended.map(|execution| (executor, execution))
}

/// A panic in words.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}

struct Lane<'a> {
    lane: usize,
    shared: &'a Shared,
    heartbeat: &'a Heartbeat,
    /// Whether other lanes have to be met at sync points.
    lanes: Lanes,
    /// Tiles per SM of earlier processes.
    counted_before: Option<SmTiles>,
    /// The last iteration that was kept.
    kept_through: u32,
    done: LaneExecution,
    /// Tile roots of the iterations so far, but for those that the executor still owes:
    /// at a sync point others may wait for this lane, and growing a vector by them takes
    /// longer than the barrier.
    tile_roots: Arc<Mutex<Vec<Digest>>>,
}

/// How many lanes the run has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lanes {
    Single,
    Several,
}

impl<'a> Lane<'a> {
    fn new(lane: usize, shared: &'a Shared, facts: LaneFacts, before: ResumedLane) -> Self {
        let single = shared.heartbeats.len() == 1;
        let done = LaneExecution {
            facts,
            roots: before.roots,
            tile_roots: Vec::new(),
            states: before.states,
            sm_tiles: SmTiles::NotApplicable,
            sm_activity: None,
            elapsed: Duration::ZERO,
            start: None,
            barriers: Vec::new(),
            end: None,
            device: None,
        };
        let lanes = if single { Lanes::Single } else { Lanes::Several };
        let (heartbeat, kept_through) = (&shared.heartbeats[lane], shared.orders.through);
        Self {
            lane,
            shared,
            heartbeat,
            lanes,
            counted_before: before.sm_tiles,
            kept_through,
            done,
            tile_roots: Arc::new(Mutex::new(before.tile_roots)),
        }
    }

    fn run(mut self, executor: &mut dyn Executor) -> Result<LaneExecution, Failure> {
        let Orders { work, iterations, sync_interval, challenge, through, .. } = self.shared.orders;
        self.heartbeat.begin_iteration(0, self.shared.now());
        let seeds = Arc::clone(&self.shared.seeds);
        let assignment = Assignment { work, lane: self.lane as u32, seeds };
        executor.begin(&assignment).map_err(Failure::Executor)?;
        if self.lanes == Lanes::Several {
            let tile_roots = Arc::clone(&self.tile_roots);
            executor.defer_tile_roots(Box::new(move |late| locked(&tile_roots).extend(late)));
        }
        self.shared.lend(self.lane, executor.share());
        self.done.start = self.gather(through)?;
        executor.connect(&self.shared.lent()).map_err(Failure::Executor)?;
        let (mut first, begun) = (through + 1, Instant::now());
        while first <= iterations {
            let last = self.segment_end(first, begun);
            let solo_sync = (self.lanes == Lanes::Single)
                .then_some(SoloSync { challenge, interval: sync_interval });
            let segment = Segment {
                first_iteration: first,
                iterations: last - first + 1,
                start: *self.done.states.last().expect("starts with the seed"),
                solo_sync,
            };
            self.run_segment(executor, &segment)?;
            first = last + 1;
        }
        self.done.elapsed = self.elapsed();
        if !iterations.is_multiple_of(sync_interval) {
            self.done.end = self.gather(iterations)?;
        }
        self.settle(executor, iterations)?;
        self.done.tile_roots = std::mem::take(&mut *locked(&self.tile_roots));
        self.done.sm_tiles = self.counted(executor, iterations)?;
        match &self.done.sm_tiles {
            SmTiles::Unavailable(why) => {
                let (lane, model) = (self.lane, &self.done.facts.model);
                tracing::warn!("lane {lane} ({model}): SM monitoring unavailable: {why}");
            }
            _ => self.done.sm_activity = executor.sm_activity(),
        }
        self.done.device = executor.timing();
        // Kernels may have been replaced on the way. Who it is stays.
        let uuid = self.done.facts.uuid;
        self.done.facts = LaneFacts { uuid, ..executor.facts().clone() };
        // Whatever the others do, nothing more is expected of this lane.
        self.heartbeat.wait();
        Ok(self.done)
    }

    /// Where a segment ends that starts with iteration `first`: at the next sync
    /// point or the run's end; if nobody has to be met, further on.
    fn segment_end(&self, first: u32, begun: Instant) -> u32 {
        let Orders { iterations, sync_interval, through, .. } = self.shared.orders;
        let next = (first - 1).saturating_add(sync_interval - (first - 1) % sync_interval);
        let end = match (self.lanes, &self.shared.checkpointer) {
            (Lanes::Several, _) => next,
            (Lanes::Single, None) => iterations,
            // As many whole intervals as pass between two sync points kept.
            (Lanes::Single, Some(checkpointer)) => {
                let done = u128::from(first - 1 - through);
                let fit =
                    checkpointer.interval().as_nanos() * done / begun.elapsed().as_nanos().max(1);
                let more = u32::try_from(fit).unwrap_or(u32::MAX) / sync_interval;
                next.saturating_add(more.saturating_sub(1).saturating_mul(sync_interval))
            }
        };
        end.min(iterations)
    }

    /// How long the run has taken, earlier processes included.
    fn elapsed(&self) -> Duration {
        self.shared.orders.before + Duration::from_nanos(self.shared.now())
    }

    /// Tiles per SM of all iterations up to `through`.
    fn counted(&self, executor: &mut dyn Executor, through: u32) -> Result<SmTiles, Failure> {
        let now = executor.sm_tiles().map_err(Failure::Executor)?;
        let counts = counters::together(self.counted_before.as_ref(), now);
        let tiles = u64::from(through) * self.shared.orders.work.tiles();
        Ok(counters::believed(counts, &self.done.facts, tiles))
    }

    fn run_segment(
        &mut self,
        executor: &mut dyn Executor,
        segment: &Segment,
    ) -> Result<(), Failure> {
        let last = segment.first_iteration + segment.iterations - 1;
        let mut next = segment.first_iteration;
        let mut broken = None;
        self.heartbeat.begin_iteration(next, self.shared.now());
        let mut sink = |output: IterationOutput<'_>| {
            if output.iteration != next || next > last {
                broken = Some(format!("iteration {} came instead of {next}", output.iteration));
                return ControlFlow::Break(());
            }
            let (got, expected) = (output.tile_roots.len() as u64, self.shared.orders.work.tiles());
            // What comes late is counted when it is settled.
            let may_be_late = self.lanes == Lanes::Several;
            if got != expected && !(got == 0 && may_be_late) {
                broken = Some(format!("{got} tile roots came instead of {expected}"));
                return ControlFlow::Break(());
            }
            next += 1;
            self.take(&output);
            if self.shared.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let result = executor.run(segment, &mut sink);
        if let Some(cause) = broken {
            return Err(Failure::Broken(cause));
        }
        match result {
            Err(ExecError::Stopped) if self.shared.is_over() => return Err(Failure::Aborted),
            Err(error) => return Err(Failure::Executor(error)),
            Ok(()) => {}
        }
        if next <= last {
            return Err(Failure::Broken(format!("the segment ended before iteration {next}")));
        }
        self.close_segment(executor, last)
    }

    /// Keeps an iteration's output and steps the chain if no other lane's
    /// root is needed.
    fn take(&mut self, output: &IterationOutput<'_>) {
        let now = self.shared.now();
        let i = output.iteration;
        self.done.roots.push(output.root);
        locked(&self.tile_roots).extend_from_slice(output.tile_roots);
        let Orders { challenge, sync_interval, .. } = self.shared.orders;
        let sync = i.is_multiple_of(sync_interval);
        match self.lanes {
            Lanes::Single => {
                let digest = sync.then(|| chain::sync_digest(&challenge, i, &[output.root]));
                self.step(i, digest.as_ref());
            }
            Lanes::Several if !sync => self.step(i, None),
            // Arrived at the sync point; the step follows the barrier.
            Lanes::Several => {
                let times = BarrierTimes { iteration: i, arrived_ns: now, released_ns: now };
                self.done.barriers.push(times);
            }
        }
        self.heartbeat.end_iteration(i, now);
    }

    /// At a sync point: meets the others, and keeps it if that is due.
    fn close_segment(&mut self, executor: &mut dyn Executor, last: u32) -> Result<(), Failure> {
        if !last.is_multiple_of(self.shared.orders.sync_interval) {
            return Ok(());
        }
        let due =
            || self.shared.checkpointer.as_ref().is_some_and(|checkpointer| checkpointer.due());
        let keep = match self.lanes {
            Lanes::Single => due(),
            Lanes::Several => {
                self.heartbeat.wait();
                let root = *self.done.roots.last().expect("a segment has an iteration");
                let met = self.shared.barrier.meet(self.lane, last, root, due);
                let met = met.ok_or(Failure::Aborted)?;
                let now = self.shared.now();
                self.heartbeat.begin_iteration(last + 1, now);
                if let Some(times) = self.done.barriers.last_mut() {
                    times.released_ns = now;
                }
                self.step(last, Some(&met.digest));
                met.keep
            }
        };
        if keep { self.keep(executor, last) } else { Ok(()) }
    }

    /// Waits for the others, after iteration `done`, with nothing to exchange.
    fn gather(&self, done: u32) -> Result<Option<BarrierTimes>, Failure> {
        if self.lanes == Lanes::Single {
            return Ok(None);
        }
        let arrived_ns = self.shared.now();
        self.heartbeat.wait();
        let nothing = Root::default();
        let met = self.shared.barrier.meet(self.lane, done, nothing, || false);
        met.ok_or(Failure::Aborted)?;
        let released_ns = self.shared.now();
        self.heartbeat.begin_iteration(done + 1, released_ns);
        Ok(Some(BarrierTimes { iteration: done, arrived_ns, released_ns }))
    }

    /// Hands out everything since the last sync point that was kept.
    fn keep(&mut self, executor: &mut dyn Executor, last: u32) -> Result<(), Failure> {
        let Some(checkpointer) = &self.shared.checkpointer else { return Ok(()) };
        self.settle(executor, last)?;
        let from = self.kept_through as usize;
        let tiles = self.shared.orders.work.tiles() as usize;
        let part = KeptLane {
            state: *self.done.states.last().expect("starts with the seed"),
            roots: self.done.roots[from..].to_vec(),
            tile_roots: locked(&self.tile_roots)[from * tiles..].to_vec(),
            sm_tiles: self.counted(executor, last)?,
        };
        checkpointer.bring(self.lane, (self.kept_through + 1, last), self.elapsed(), part);
        self.kept_through = last;
        Ok(())
    }

    /// Collects the tile roots that are late: after iteration `last` all are there.
    fn settle(&self, executor: &mut dyn Executor, last: u32) -> Result<(), Failure> {
        executor.settle();
        let got = locked(&self.tile_roots).len() as u64;
        let expected = u64::from(last) * self.shared.orders.work.tiles();
        if got == expected {
            return Ok(());
        }
        Err(Failure::Broken(format!("{got} tile roots came instead of {expected}")))
    }

    fn step(&mut self, iteration: u32, sync: Option<&Digest>) {
        let (state, root) = (self.done.states.last(), self.done.roots.last());
        let (state, root) = (state.expect("starts with the seed"), root.expect("just pushed"));
        self.done.states.push(chain::step(state, iteration, root, sync));
    }
}

fn locked(tile_roots: &Mutex<Vec<Digest>>) -> MutexGuard<'_, Vec<Digest>> {
    tile_roots.lock().unwrap_or_else(PoisonError::into_inner)
}
