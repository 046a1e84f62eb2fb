//! Where a lane's time goes, by events on its stream: the phases of an iteration
//! now and then, and how long the stream ran dry between segments.
//!
//! An iteration that is timed is launched kernel by kernel instead of by a
//! graph, once a second at most: a few microseconds of it.

use super::Lane;
use crate::executor::gpu::driver::{Gpu, Timing};
use crate::executor::gpu::error::from_cust;
use crate::executor::gpu::kernels::Kernels;
use crate::executor::gpu::launch::StepRule;
use crate::executor::{DeviceTiming, ExecError, IdleTime};
use cuda_driver::Failure;
use cust::event::Event;
use std::time::{Duration, Instant};

/// Least time between two iterations that are timed.
const INTERVAL: Duration = Duration::from_secs(1);
/// Most chunks of an iteration that is timed: two events each.
const CHUNKS_MAX: u32 = 64;

/// What was timed since the last reset.
#[derive(Debug)]
pub(super) struct Stopwatch {
    /// Before the first kernel, after each `fill`, after each product, after
    /// the step.
    marks: Vec<Event>,
    /// First iteration of the batch with the iteration that is being timed.
    pending: Option<u32>,
    due: Instant,
    /// Sums of the timed iterations, ms: fill, product, tree and step.
    phases_ms: [f64; 3],
    sampled: u32,
    start: Event,
    ends: [Event; 2],
    /// Which of `ends` is the last segment's, once there was one.
    last_end: Option<usize>,
    /// First iteration of the segment under way.
    first: u32,
    in_segments_ms: f64,
    /// After which iteration the stream ran dry, and for how long.
    idle: Vec<IdleTime>,
}

impl Stopwatch {
    pub(super) fn new(gpu: &Gpu, chunks: u32) -> Result<Self, Failure> {
        let event = || gpu.event(Timing::Measured);
        let count = if chunks <= CHUNKS_MAX { 2 * chunks + 2 } else { 0 };
        Ok(Self {
            marks: (0..count).map(|_| event()).collect::<Result<_, _>>()?,
            pending: None,
            due: Instant::now(),
            phases_ms: [0.0; 3],
            sampled: 0,
            start: event()?,
            ends: [event()?, event()?],
            last_end: None,
            first: 1,
            in_segments_ms: 0.0,
            idle: Vec::new(),
        })
    }

    /// Forgets what was timed.
    pub(super) fn reset(&mut self) {
        (self.pending, self.last_end, self.due) = (None, None, Instant::now());
        (self.phases_ms, self.sampled) = ([0.0; 3], 0);
        self.in_segments_ms = 0.0;
        self.idle.clear();
    }

    /// Whether the next iteration is to be timed.
    pub(super) fn is_due(&self) -> bool {
        !self.marks.is_empty() && self.pending.is_none() && Instant::now() >= self.due
    }

    /// A segment starts here, with iteration `first`.
    pub(super) fn start_segment(&mut self, gpu: &Gpu, first: u32) -> Result<(), Failure> {
        // Of a segment that failed.
        self.pending = None;
        self.first = first;
        gpu.record(&self.start)
    }

    /// Its last kernel is enqueued.
    pub(super) fn end_segment(&mut self, gpu: &Gpu) -> Result<(), Failure> {
        gpu.record(&self.ends[self.this_end()])
    }

    /// Everything of the segment is done, or will be in a moment.
    pub(super) fn close_segment(&mut self, gpu: &Gpu) -> Result<(), Failure> {
        let this = self.this_end();
        self.ends[this].synchronize().map_err(from_cust)?;
        gpu.supervisor().completed(gpu.supervisor().enqueued());
        self.in_segments_ms += elapsed_ms(&self.start, &self.ends[this])?;
        if let Some(last) = self.last_end {
            let ns = ns(elapsed_ms(&self.ends[last], &self.start)?);
            self.idle.push(IdleTime { after_iteration: self.first - 1, ns });
        }
        self.last_end = Some(this);
        Ok(())
    }

    fn this_end(&self) -> usize {
        self.last_end.map_or(0, |last| 1 - last)
    }

    /// Reads the marks once the batch that starts with `first` is done.
    pub(super) fn collect(&mut self, first: u32) -> Result<(), Failure> {
        if self.pending != Some(first) {
            return Ok(());
        }
        self.pending = None;
        let last = self.marks.len() - 1;
        for (at, pair) in self.marks.windows(2).enumerate() {
            let phase = if at + 1 == last { 2 } else { at % 2 };
            self.phases_ms[phase] += elapsed_ms(&pair[0], &pair[1])?;
        }
        self.sampled += 1;
        Ok(())
    }

    pub(super) fn timing(&self) -> DeviceTiming {
        let mean = |ms: f64| ns(ms / f64::from(self.sampled.max(1)));
        let [fill_ns, product_ns, tree_and_step_ns] = self.phases_ms.map(mean);
        DeviceTiming {
            sampled_iterations: self.sampled,
            fill_ns,
            product_ns,
            tree_and_step_ns,
            in_segments_ns: ns(self.in_segments_ms),
            idle: self.idle.clone(),
        }
    }
}

impl Lane {
    /// Enqueues one iteration, as [`Lane::iteration`], with marks between its
    /// phases. `batch` is the first iteration of its batch.
    pub(super) fn timed_iteration(
        &mut self,
        gpu: &Gpu,
        kernels: &Kernels,
        rule: StepRule,
        batch: u32,
    ) -> Result<(), ExecError> {
        let marks = &self.stopwatch.marks;
        let mark = |at: usize| {
            gpu.record(&marks[at]).map_err(|failure| gpu.error("timing an iteration", failure))
        };
        mark(0)?;
        self.leaves(gpu, kernels, &mut |part| mark(part))?;
        self.tree_and_step(gpu, kernels, rule)?;
        mark(marks.len() - 1)?;
        self.stopwatch.pending = Some(batch);
        self.stopwatch.due = Instant::now() + INTERVAL;
        Ok(())
    }
}

fn ns(ms: f64) -> u64 {
    (ms * 1e6).round() as u64
}

/// From one event to another, both of which have happened.
fn elapsed_ms(from: &Event, to: &Event) -> Result<f64, Failure> {
    to.elapsed_time_f32(from).map(f64::from).map_err(from_cust)
}
