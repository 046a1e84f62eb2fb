//! One lane's thread: segments, the chain, signs of life.

use super::meeting::{BarrierTimes, Meeting};
use super::{Finished, LaneExecution, nanoseconds_since};
use crate::executor::{ExecError, Executor, IterationOutput, Segment, SoloSync};
use crate::protocol::chain;
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::Digest;
use crate::protocol::plan::Shape;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the challenge asks of each lane.
#[derive(Clone, Copy)]
pub(super) struct Work {
    challenge: Digest,
    shape: Shape,
    iterations: u32,
    sync_interval: u32,
}

impl Work {
    pub(super) fn of(challenge: &Challenge) -> Self {
        Self {
            challenge: challenge.digest(),
            shape: challenge.shape(),
            iterations: challenge.iterations(),
            sync_interval: challenge.sync_interval(),
        }
    }
}

/// What all lanes and the watchdog see.
pub(super) struct Shared {
    work: Work,
    meeting: Meeting,
    pub(super) stop: Arc<AtomicBool>,
    aborted: AtomicBool,
    pub(super) signs: Vec<Signs>,
    start: Instant,
}

impl Shared {
    pub(super) fn new(work: Work, meeting: Meeting, lanes: usize, stop: Arc<AtomicBool>) -> Self {
        let signs = (0..lanes).map(|_| Signs::default()).collect();
        Self { work, meeting, stop, aborted: AtomicBool::new(false), signs, start: Instant::now() }
    }

    /// Ends the run for every lane, within an iteration.
    pub(super) fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
        self.meeting.abort();
    }

    /// Nanoseconds since the common start.
    pub(super) fn now(&self) -> u64 {
        nanoseconds_since(self.start)
    }

    fn is_over(&self) -> bool {
        self.aborted.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }
}

/// A lane's signs of life, written by its thread, read by the watchdog.
#[derive(Default)]
pub(super) struct Signs {
    done: AtomicU32,
    /// The iteration under way; 0 while the executor is set up.
    iteration: AtomicU32,
    /// When the lane last showed itself, or [`WAITING`].
    last_ns: AtomicU64,
    longest_gap_ns: AtomicU64,
}

/// In `last_ns`: the lane waits for others, its silence means nothing.
const WAITING: u64 = u64::MAX;

impl Signs {
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
    shared: &Shared,
) -> Result<Finished, Failure> {
    // The executor is dropped after a panic, and everything else here is
    // discarded, so no broken invariant is seen.
    let body = AssertUnwindSafe(|| Lane::new(lane, shared, executor.as_ref()).run(&mut *executor));
    match catch_unwind(body) {
        Ok(result) => result.map(|execution| (executor, execution)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Failure::Broken(format!("panicked: {}", text.as_deref().unwrap_or("no message"))))
        }
    }
}

struct Lane<'a> {
    lane: usize,
    shared: &'a Shared,
    signs: &'a Signs,
    /// Whether other lanes have to be met at sync points.
    company: Company,
    done: LaneExecution,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    Others,
}

impl<'a> Lane<'a> {
    fn new(lane: usize, shared: &'a Shared, executor: &dyn Executor) -> Self {
        let facts = executor.facts().clone();
        let seed = chain::lane_seed(&shared.work.challenge, lane as u32, &facts.uuid);
        let alone = shared.signs.len() == 1;
        let done = LaneExecution {
            facts,
            roots: Vec::new(),
            tile_roots: Vec::new(),
            states: vec![seed],
            sm_tiles: crate::executor::SmTiles::NotApplicable,
            sm_activity: None,
            elapsed: Duration::ZERO,
            barriers: Vec::new(),
        };
        let company = if alone { Company::Alone } else { Company::Others };
        Self { lane, shared, signs: &shared.signs[lane], company, done }
    }

    fn run(mut self, executor: &mut dyn Executor) -> Result<LaneExecution, Failure> {
        let Work { shape, iterations, sync_interval, challenge } = self.shared.work;
        self.signs.begin_iteration(0, self.shared.now());
        executor.begin(shape).map_err(Failure::Executor)?;
        let mut first = 1;
        while first <= iterations {
            // The segment ends with the next sync point or the run.
            let last = match self.company {
                Company::Alone => iterations,
                Company::Others => (first - 1)
                    .saturating_add(sync_interval - (first - 1) % sync_interval)
                    .min(iterations),
            };
            let solo_sync = (self.company == Company::Alone)
                .then_some(SoloSync { challenge, interval: sync_interval });
            let segment = Segment {
                shape,
                first_iteration: first,
                iterations: last - first + 1,
                start: *self.done.states.last().expect("starts with the seed"),
                solo_sync,
            };
            self.run_segment(executor, &segment)?;
            first = last + 1;
        }
        self.done.elapsed = Duration::from_nanos(self.shared.now());
        self.done.sm_tiles = executor.sm_tiles().map_err(Failure::Executor)?;
        self.done.sm_activity = executor.sm_activity();
        // Whatever the others do, nothing more is expected of this lane.
        self.signs.wait();
        Ok(self.done)
    }

    fn run_segment(
        &mut self,
        executor: &mut dyn Executor,
        segment: &Segment,
    ) -> Result<(), Failure> {
        let last = segment.first_iteration + segment.iterations - 1;
        let mut next = segment.first_iteration;
        let mut broken = None;
        self.signs.begin_iteration(next, self.shared.now());
        let mut sink = |output: IterationOutput<'_>| {
            if output.iteration != next || next > last {
                broken = Some(format!("iteration {} came instead of {next}", output.iteration));
                return ControlFlow::Break(());
            }
            let (got, expected) = (output.tile_roots.len() as u64, segment.shape.tiles());
            if got != expected {
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
        self.close_segment(last)
    }

    /// Keeps an iteration's output and steps the chain where no other lane's
    /// root is needed.
    fn take(&mut self, output: &IterationOutput<'_>) {
        let now = self.shared.now();
        let i = output.iteration;
        self.done.roots.push(output.root);
        self.done.tile_roots.extend_from_slice(output.tile_roots);
        let Work { challenge, sync_interval, .. } = self.shared.work;
        let sync = i.is_multiple_of(sync_interval);
        match self.company {
            Company::Alone => {
                let digest = sync.then(|| chain::sync_digest(&challenge, i, &[output.root]));
                self.step(i, digest.as_ref());
            }
            Company::Others if !sync => self.step(i, None),
            // Arrived at the sync point; the step follows the meeting.
            Company::Others => {
                let times = BarrierTimes { iteration: i, arrived_ns: now, released_ns: now };
                self.done.barriers.push(times);
            }
        }
        self.signs.end_iteration(i, now);
    }

    /// Meets the others if the segment ended at a sync point.
    fn close_segment(&mut self, last: u32) -> Result<(), Failure> {
        let meets =
            self.company == Company::Others && last.is_multiple_of(self.shared.work.sync_interval);
        if !meets {
            return Ok(());
        }
        self.signs.wait();
        let root = *self.done.roots.last().expect("a segment has an iteration");
        let digest = self.shared.meeting.meet(self.lane, last, root).ok_or(Failure::Aborted)?;
        let now = self.shared.now();
        self.signs.begin_iteration(last + 1, now);
        if let Some(times) = self.done.barriers.last_mut() {
            times.released_ns = now;
        }
        self.step(last, Some(&digest));
        Ok(())
    }

    fn step(&mut self, iteration: u32, sync: Option<&Digest>) {
        let (state, root) = (self.done.states.last(), self.done.roots.last());
        let (state, root) = (state.expect("starts with the seed"), root.expect("just pushed"));
        self.done.states.push(chain::step(state, iteration, root, sync));
    }
}
