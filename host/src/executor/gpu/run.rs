//! A segment on a device, through failures of its kernels.
//!
//! Guarantees: where another variant takes over, the first iteration of the run
//! is computed again by it and has to have the same root; numbers of counters
//! that cannot be trusted are given up, with the reason.

use super::executor::GpuExecutor;
use super::kernels::Kernels;
use super::lane::Counting;
use super::recovery::{AfterFailure, Place, after_failure, code_of};
use super::variant::Variant;
use crate::error_text::what_happened;
use crate::executor::{ExecError, Segment, Sink, SmTiles};
use crate::protocol::digest::Digest;
use cuda_driver::Failure;
use std::ops::ControlFlow;

/// The first iteration since `begin`, to compare other kernels with.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstIteration {
    iteration: u32,
    start: Digest,
    root: Digest,
}

/// A failure that a test wants, in the place of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedFailure {
    /// The iteration that does not get launched, once.
    pub iteration: u32,
    /// What the driver is made to have returned.
    pub code: u32,
}

impl GpuExecutor {
    /// [`Executor::run`](crate::executor::Executor::run), in a context that is
    /// current.
    pub(super) fn run_through(
        &mut self,
        segment: &Segment,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let mut place = Place::at_start(segment);
        while let Some(mut rest) = place.rest(segment) {
            // The first iteration by itself, to see whether counters work.
            let trial = self.first.is_none() && self.options.counting == Counting::PerSm;
            if trial {
                rest.iterations = 1;
            }
            let result = match self.injected_into(&mut rest) {
                Some(error) => Err(error),
                None => self.run_rest(&rest, &mut place, sink),
            };
            match result {
                Ok(()) if trial => self.check_counters()?,
                Ok(()) => {}
                Err(error) => self.replace_kernels(error, &place)?,
            }
        }
        Ok(())
    }

    fn run_rest(
        &mut self,
        rest: &Segment,
        place: &mut Place,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let lane = self.lane.as_mut().filter(|lane| lane.plan.shape == rest.shape);
        let lane = lane.expect("run follows a begin with the same shape");
        let first = &mut self.first;
        lane.run(&self.gpu, &self.kernels, rest, &mut |output| {
            first.get_or_insert(FirstIteration {
                iteration: output.iteration,
                start: place.state(),
                root: output.root,
            });
            place.pass(output.iteration, &output.root);
            sink(output)
        })
    }

    /// After the first iteration: goes on without counters where they do not
    /// count.
    fn check_counters(&mut self) -> Result<(), ExecError> {
        let lane = self.lane.as_mut().expect("an iteration was run");
        if let SmTiles::Unavailable(why) = lane.sm_tiles(&self.gpu)? {
            tracing::warn!("{}: SM monitoring unavailable: {why}", self.gpu.label());
            lane.stop_counting();
            self.uncounted = Some(why);
        }
        Ok(())
    }

    /// Loads the next variant and compares it; the error that led here where
    /// none is left or none would help.
    fn replace_kernels(&mut self, error: ExecError, place: &Place) -> Result<(), ExecError> {
        let all = self.candidates();
        let before = self.kernels.variant;
        let next = code_of(&error).map(|code| after_failure(code, &before, &all));
        let Some(AfterFailure::Retry(left)) = next else { return Err(error) };
        let reason = what_happened(&error);
        let note = format!("kernels {before} gave way in iteration {}: {reason}", place.next());
        tracing::warn!("{}: {note}", self.gpu.label());
        let Some(shape) = self.lane.as_ref().map(|lane| lane.plan.shape) else { return Err(error) };
        // Graphs and buffers of the old kernels, before the kernels.
        self.openings = None;
        self.lane = None;
        let mut notes = std::mem::take(&mut self.kernels.notes);
        notes.push(note);
        let mut loaded = Kernels::load(&self.gpu, &left)?;
        notes.append(&mut loaded.notes);
        loaded.notes = notes;
        self.kernels = loaded;
        let exactness = self.check_exactness()?;
        self.describe(&exactness);
        self.make_lane(shape)?;
        if let Some(first) = self.first {
            self.uncounted.get_or_insert_with(|| {
                format!("the kernels were replaced in iteration {}", place.next())
            });
            self.compare(&first, before)?;
        }
        let lane = self.lane.as_mut().expect("just made");
        if self.uncounted.is_some() {
            lane.stop_counting();
        }
        lane.clear_counters(&self.gpu)
    }

    /// The first iteration again, by the kernels of now.
    fn compare(&mut self, first: &FirstIteration, before: Variant) -> Result<(), ExecError> {
        let lane = self.lane.as_mut().expect("just made");
        let again = Segment {
            shape: lane.plan.shape,
            first_iteration: first.iteration,
            iterations: 1,
            start: first.start,
            solo_sync: None,
        };
        let mut root = Digest::default();
        lane.run(&self.gpu, &self.kernels, &again, &mut |output| {
            root = output.root;
            ControlFlow::Continue(())
        })?;
        if root == first.root {
            tracing::info!("{}: {} has the same root", self.gpu.label(), self.kernels.variant);
            return Ok(());
        }
        Err(ExecError::Device {
            what: format!("comparing {} with {before}", self.kernels.variant),
            device: self.gpu.label().to_owned(),
            cause: format!("iteration {}: root {root} after {}", first.iteration, first.root),
            advice: "don't use this device before attest selftest calls it healthy".to_owned(),
        })
    }

    /// The failure that a test wants here, or a segment that ends before it.
    fn injected_into(&mut self, rest: &mut Segment) -> Option<ExecError> {
        let wanted = self.options.injected?;
        let before = wanted.iteration.checked_sub(rest.first_iteration)?;
        if before > 0 {
            rest.iterations = rest.iterations.min(before);
            return None;
        }
        self.options.injected = None;
        let failure = Failure { function: "cuLaunchKernel", code: wanted.code };
        Some(self.gpu.error("launching a kernel (injected)", failure))
    }
}
