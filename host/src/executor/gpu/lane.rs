//! A lane's buffers on the device, and the loop that keeps its stream full.
//!
//! The host enqueues a batch (up to one ring of iterations), then the copy of
//! the ring, then an event; it keeps [`LaunchPlan::readbacks`] batches ahead
//! and sleeps on the oldest one's event, but is awake when a segment ends that others wait
//! for. The device never waits for the host: chain state and slot live in its memory.

mod deliver;
mod iteration;
mod means;
mod spin_wait;
mod stopwatch;

use super::counters;
use super::driver::{DeviceMemory, Gpu, Graph, Readback, Upload};
use super::error::{NO_SUCH_FUNCTION, OUT_OF_MEMORY};
use super::kernels::Kernels;
use super::launch::StepRule;
use super::memory_backoff::{MemoryOf, back_off};
use super::plan::{LaunchPlan, PlanInput};
use super::recovery::{Place, code_of};
use super::words::{self, CHAIN_WORDS, DIGEST_WORDS};
use crate::error_text::what_happened;
use crate::executor::host_memory::HostMemory;
use crate::executor::{DeviceTiming, ExecError, Segment, Sink, SmActivity, SmTiles};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::Work;
use crate::work::memory_residency::gpu::ArenaLane;
use cuda_driver::Failure;
use deliver::Late;
pub(super) use means::{Means, Workspace};
use spin_wait::SpinWait;
use std::collections::VecDeque;
use std::time::Instant;
use stopwatch::Stopwatch;

/// Everything that one kind of work of one size needs.
#[derive(Debug)]
pub(super) struct Lane {
    pub plan: LaunchPlan,
    pub means: Means,
    chain: DeviceMemory,
    tile_roots: DeviceMemory,
    roots: DeviceMemory,
    nodes: [DeviceMemory; 2],
    counters: DeviceMemory,
    counting: Counting,
    chain_upload: Upload,
    counters_upload: Upload,
    counters_readback: Readback,
    readbacks: Vec<Readback>,
    graph: Option<(StepRule, Graph)>,
    stopwatch: Stopwatch,
    spin_wait: SpinWait,
    /// Tile roots of the iteration that is delivered.
    tile_digests: Vec<Digest>,
    late: Late,
    /// Iterations enqueued since the counters were cleared.
    iterations: u64,
    /// The first iteration of the segment under way, and the state that it starts from.
    start: (u32, State),
    /// Of the counters that were read last, if they are to be trusted.
    pub activity: Option<SmActivity>,
}

/// Most page-locked memory that a lane asks for: an eighth of what the host has
/// available, as other lanes lock theirs at the same time.
fn host_bytes_max() -> u64 {
    HostMemory::read().map_or(u64::MAX, |memory| memory.available_bytes / 8)
}

/// The error if the host has no memory to lock, not even for the smallest ring.
fn no_host_memory(device: &str, plan: &LaunchPlan, failure: Failure) -> ExecError {
    ExecError::Driver {
        what: format!("locking {} bytes of host memory", plan.host_bytes()),
        device: device.to_owned(),
        code: failure.code,
        cause: failure.to_string(),
        advice: "free host memory, raise the container's memory limit, or use a smaller \
                 matrix_dim or num_matrices"
            .to_owned(),
    }
}

/// Whether product kernels count their tiles per SM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// As the evidence wants it.
    PerSm,
    /// No counters: to measure what they cost.
    Off,
}

/// Iterations whose results are on their way to the host.
struct Batch {
    first: u32,
    iterations: u32,
    readback: usize,
    after: After,
}

/// What follows a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// Another one, or nothing that anybody waits for.
    More,
    /// Other lanes are met, or whoever asked for the segment waits for it.
    SyncPoint,
}

impl Lane {
    /// Plans for the memory that is free and allocates. If another process
    /// takes memory in between, plans again with less.
    ///
    /// # Errors
    /// [`ExecError::Memory`] if not even one product fits, or the arena doesn't; the
    /// driver's if the host has no memory to lock for a ring of one slot.
    pub(super) fn new(gpu: &Gpu, input: PlanInput, counting: Counting) -> Result<Self, ExecError> {
        let work = input.work;
        let mut input = input;
        let short = |needed_bytes, free_bytes| ExecError::Memory {
            device: gpu.label().to_owned(),
            needed_bytes,
            free_bytes,
            advice: format!(
                "free device memory (see nvidia-smi for other processes), or use a smaller {}",
                match work {
                    Work::Fp64Product(_) | Work::IntegerProduct(_) => "matrix_dim",
                    Work::MemoryResidency(_) => "arena",
                }
            ),
        };
        loop {
            let plan = LaunchPlan::new(&input)
                .map_err(|least| short(least.needed_bytes, least.free_bytes))?;
            // What is locked beyond a cgroup's limit ends the process, not the call.
            if plan.host_bytes() > host_bytes_max()
                && let Some(smaller) = back_off(&input, &plan, MemoryOf::Host, input.free_bytes)
            {
                input = smaller;
                continue;
            }
            tracing::debug!("{}: launch plan\n{plan}", gpu.label());
            match Self::allocate(gpu, plan.clone(), counting) {
                Err((whose, failure)) if failure.code == OUT_OF_MEMORY => {
                    let free = gpu.free_bytes().unwrap_or(0);
                    let smaller = back_off(&input, &plan, whose, free);
                    input = smaller.ok_or_else(|| match whose {
                        MemoryOf::Device => short(plan.bytes.on_device(), free),
                        MemoryOf::Host => no_host_memory(gpu.label(), &plan, failure),
                    })?;
                    let what = match whose {
                        MemoryOf::Device => format!("memory; {free} bytes are free"),
                        MemoryOf::Host => "page-locked host memory".to_owned(),
                    };
                    tracing::warn!(
                        "{}: out of {what}: trying less than chunks of {} products and rings of \
                         {} slots",
                        gpu.label(),
                        plan.chunk_products,
                        plan.ring_slots,
                    );
                }
                other => {
                    return other.map_err(|(_, failure)| gpu.error("allocating memory", failure));
                }
            }
        }
    }

    fn allocate(
        gpu: &Gpu,
        plan: LaunchPlan,
        counting: Counting,
    ) -> Result<Self, (MemoryOf, Failure)> {
        let bytes = plan.bytes;
        let on_device = |failure| (MemoryOf::Device, failure);
        let on_host = |failure| (MemoryOf::Host, failure);
        let memory = |bytes: u64| DeviceMemory::new(gpu, bytes).map_err(on_device);
        let readback_words = (bytes.tile_roots + bytes.roots) / 4;
        let counter_words = bytes.counters / 4;
        let means = match plan.work {
            Work::Fp64Product(_) | Work::IntegerProduct(_) => {
                Workspace::new(gpu, bytes.operands, bytes.scratch).map(Means::Products)
            }
            Work::MemoryResidency(work) => ArenaLane::new(gpu, work).map(Means::Arena),
        };
        Ok(Self {
            means: means.map_err(on_device)?,
            chain: memory(4 * CHAIN_WORDS as u64)?,
            tile_roots: memory(bytes.tile_roots)?,
            roots: memory(bytes.roots)?,
            nodes: [memory(bytes.nodes_a)?, memory(bytes.nodes_b)?],
            counters: memory(bytes.counters)?,
            counting,
            chain_upload: Upload::new(gpu, CHAIN_WORDS as u64).map_err(on_host)?,
            counters_upload: Upload::new(gpu, counter_words).map_err(on_host)?,
            counters_readback: Readback::new(gpu, counter_words).map_err(on_host)?,
            readbacks: (0..plan.readbacks)
                .map(|_| Readback::new(gpu, readback_words))
                .collect::<Result<_, _>>()
                .map_err(on_host)?,
            graph: None,
            stopwatch: Stopwatch::new(gpu, plan.chunk_count()).map_err(on_device)?,
            spin_wait: SpinWait::new(),
            tile_digests: Vec::new(),
            late: Late::default(),
            iterations: 0,
            start: (1, State::default()),
            activity: None,
            plan,
        })
    }

    /// The next graph is recorded anew: addresses in it are of memory that is gone.
    pub(super) fn forget_graph(&mut self) {
        self.graph = None;
    }

    /// What openings of products may use between runs.
    pub(super) fn lent(&self) -> Option<&Workspace> {
        match &self.means {
            Means::Products(workspace) => Some(workspace),
            Means::Arena(_) => None,
        }
    }

    /// Counts tiles from here on, or does not.
    pub(super) fn count(&mut self, counting: Counting) {
        if self.counting != counting {
            // It has the counters' address in it, or none.
            self.graph = None;
            self.counting = counting;
        }
    }

    /// Goes on with kernels that count nothing.
    pub(super) fn stop_counting(&mut self) {
        self.count(Counting::Off);
    }

    /// Where the time went since the counters were cleared.
    pub(super) fn timing(&self) -> DeviceTiming {
        self.stopwatch.timing()
    }

    /// Clears the SM counters and the stopwatch.
    pub(super) fn clear_counters(&mut self, gpu: &Gpu) -> Result<(), ExecError> {
        let cleared = counters::cleared().repeat(self.plan.sm_count as usize);
        self.iterations = 0;
        self.stopwatch.reset();
        self.activity = None;
        self.set_counters(gpu, &cleared)
    }

    /// Puts a tile into cleared counters that nobody computed.
    pub(super) fn miscount(&mut self, gpu: &Gpu) -> Result<(), ExecError> {
        let mut wrong = counters::cleared().repeat(self.plan.sm_count as usize);
        wrong[0] = 1;
        self.set_counters(gpu, &wrong)
    }

    fn set_counters(&mut self, gpu: &Gpu, words: &[u32]) -> Result<(), ExecError> {
        self.counters_upload
            .send(gpu, &self.counters, words)
            .map_err(|failure| gpu.error("clearing the SM counters", failure))
    }

    /// Puts the chain at the start of `iteration`, in slot 0.
    pub(super) fn set_chain(
        &mut self,
        gpu: &Gpu,
        state: &State,
        iteration: u32,
    ) -> Result<(), ExecError> {
        let words = words::of_chain(state, iteration);
        self.chain_upload
            .send(gpu, &self.chain, &words)
            .map_err(|failure| gpu.error("setting the chain", failure))
    }

    /// Computes a segment. On any error the stream is idle when it returns.
    pub(super) fn run(
        &mut self,
        gpu: &Gpu,
        kernels: &Kernels,
        segment: &Segment,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let result = match &self.means {
            Means::Arena(arena) => {
                let held = arena.hold(gpu)?;
                let by_one = arena.needs_states();
                let result = if by_one {
                    self.run_by_one(gpu, kernels, segment, sink)
                } else {
                    self.run_batches(gpu, kernels, segment, sink)
                };
                if result.is_err() {
                    let _ = gpu.synchronise();
                }
                // Nothing on the stream reads them any more.
                drop(held);
                result
            }
            Means::Products(_) => self.run_batches(gpu, kernels, segment, sink),
        };
        if result.is_err() {
            // The error that is there already says more than this one could.
            let _ = gpu.synchronise();
        }
        result
    }

    /// An iteration at a time: the host takes the steps, and knows every state.
    fn run_by_one(
        &mut self,
        gpu: &Gpu,
        kernels: &Kernels,
        segment: &Segment,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let mut place = Place::at_start(segment);
        while let Some(rest) = place.rest(segment) {
            let one = Segment { iterations: 1, ..rest };
            self.run_batches(gpu, kernels, &one, &mut |output| {
                place.pass(output.iteration, &output.root);
                sink(output)
            })?;
        }
        Ok(())
    }

    fn run_batches(
        &mut self,
        gpu: &Gpu,
        kernels: &Kernels,
        segment: &Segment,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let rule = StepRule::of(segment);
        let timing = |failure: Failure| gpu.error("timing a segment", failure);
        self.set_chain(gpu, &segment.start, segment.first_iteration)?;
        self.start = (segment.first_iteration, segment.start);
        self.stopwatch.start_segment(gpu, segment.first_iteration).map_err(timing)?;
        self.spin_wait.begin(Instant::now());
        let mut enqueued = 0;
        let mut flying: VecDeque<Batch> = VecDeque::new();
        let held = self.late.readback();
        let mut free: Vec<usize> =
            (0..self.readbacks.len()).rev().filter(|at| Some(*at) != held).collect();
        loop {
            while enqueued < segment.iterations
                && let Some(readback) = free.pop()
            {
                let iterations = self.plan.ring_slots.min(segment.iterations - enqueued);
                let first = segment.first_iteration + enqueued;
                enqueued += iterations;
                let is_last = enqueued == segment.iterations;
                let meets = is_last && segment.solo_sync.is_none();
                let after = if meets { After::SyncPoint } else { After::More };
                let batch = Batch { first, iterations, readback, after };
                self.enqueue(gpu, kernels, rule, &batch)?;
                flying.push_back(batch);
                if is_last {
                    self.stopwatch.end_segment(gpu).map_err(timing)?;
                }
            }
            // While the device is busy; what the last batch left late stays so.
            if !flying.is_empty()
                && let Some(readback) = self.settle()
            {
                free.push(readback);
                continue;
            }
            let Some(batch) = flying.pop_front() else {
                return self.stopwatch.close_segment(gpu).map_err(timing);
            };
            self.deliver(gpu, kernels, &batch, sink)?;
            if self.late.readback() != Some(batch.readback) {
                free.push(batch.readback);
            }
        }
    }

    /// A batch starts at slot 0: a whole one ends where the ring wraps, and a
    /// shorter one is a segment's last.
    fn enqueue(
        &mut self,
        gpu: &Gpu,
        kernels: &Kernels,
        rule: StepRule,
        batch: &Batch,
    ) -> Result<(), ExecError> {
        let per_graph = self.plan.graph_iterations;
        let mut left = batch.iterations;
        if self.iterations > 0 && self.stopwatch.is_due() {
            self.timed_iteration(gpu, kernels, rule, batch.first)?;
            left -= 1;
        } else if per_graph > 1 && self.graph.is_none() {
            // Kernels may be loaded at their first launch, which a recording
            // does not allow.
            self.iteration(gpu, kernels, rule)?;
            left -= 1;
        }
        if per_graph > 1 && left >= per_graph {
            if self.graph.as_ref().is_none_or(|(known, _)| *known != rule) {
                let record = || (0..per_graph).try_for_each(|_| self.iteration(gpu, kernels, rule));
                let graph = match gpu.capture(record) {
                    Err(error) if code_of(&error) == Some(NO_SUCH_FUNCTION) => {
                        tracing::info!("{}: no graphs: {}", gpu.label(), what_happened(&error));
                        self.plan.graph_iterations = 1;
                        None
                    }
                    graph => Some((rule, graph?)),
                };
                self.graph = graph;
            }
            while left >= per_graph
                && let Some((_, graph)) = &self.graph
            {
                gpu.replay(graph).map_err(|failure| gpu.error("launching a graph", failure))?;
                left -= per_graph;
            }
        }
        for _ in 0..left {
            self.iteration(gpu, kernels, rule)?;
        }
        self.iterations += u64::from(batch.iterations);

        let iterations = u64::from(batch.iterations);
        let root_words = iterations * DIGEST_WORDS as u64;
        let readback = &mut self.readbacks[batch.readback];
        readback
            .copy(gpu, 0, &self.roots, root_words)
            .and_then(|()| {
                let tile_words = root_words * self.plan.work.tiles();
                readback.copy(gpu, root_words, &self.tile_roots, tile_words)
            })
            .and_then(|()| readback.mark(gpu))
            .map_err(|failure| gpu.error("copying roots to the host", failure))
    }

    /// Reads the SM counters; waits for the stream.
    pub(super) fn sm_tiles(&mut self, gpu: &Gpu) -> Result<SmTiles, ExecError> {
        if self.counting == Counting::Off {
            return Ok(SmTiles::Unavailable("counting was turned off".to_owned()));
        }
        let words = self.plan.bytes.counters / 4;
        let readback = &mut self.counters_readback;
        let read = readback
            .copy(gpu, 0, &self.counters, words)
            .and_then(|()| readback.mark(gpu))
            .and_then(|()| readback.wait());
        let read = read.map_err(|failure| gpu.error("reading the SM counters", failure))?;
        let counters = counters::from_words(read);
        let tiles = counters::checked(&counters, self.iterations * self.plan.work.tiles());
        let trusted = matches!(tiles, SmTiles::Counted(_));
        self.activity = trusted.then(|| counters::activity(&counters)).flatten();
        Ok(tiles)
    }
}
