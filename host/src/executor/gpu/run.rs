//! A segment on a device, through failures of its kernels.
//!
//! Guarantees: every variant that is left is tried before a kernel's failure ends
//! the lane; if another variant takes over, the first iteration of the run
//! is computed again by it and has to have the same root; numbers of counters
//! that cannot be trusted are given up, with the reason.

use super::executor::GpuExecutor;
use super::injected::InjectedFailure;
use super::kernels::Kernels;
use super::lane::Counting;
use super::recovery::{Place, until_one_serves};
use super::variant::Variant;
use crate::error_text::what_happened;
use crate::executor::{ExecError, Executor as _, Segment, Sink, SmTiles};
use crate::protocol::names::{Root, State};
use crate::protocol::work::Work;
use cuda_driver::Failure;
use std::ops::ControlFlow;

/// The first iteration since `begin`, to compare other kernels with.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstIteration {
    iteration: u32,
    start: State,
    root: Root,
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
            let result = match self.options.injected.at_launch(&mut rest) {
                Some(code) => Err(self.injected("launching a kernel", code)),
                None => self.run_rest(&rest, &mut place, sink),
            };
            match result {
                Ok(()) if trial => self.check_counters()?,
                Ok(()) => {}
                Err(error) => {
                    // They are on the host, and go with the lane.
                    self.settle();
                    self.replace_kernels(error, &place)?;
                }
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
        let lane = self.lane.as_mut().expect("a run follows a begin");
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

    /// After the first iteration: goes on without counters if they do not
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

    /// Lets the next variant go on that launches and agrees; the error of the
    /// last one if none is left or none would help.
    fn replace_kernels(&mut self, error: ExecError, place: &Place) -> Result<(), ExecError> {
        let (before, at) = (self.kernels.variant, place.next());
        let Some(work) = self.lane.as_ref().map(|lane| lane.plan.work) else { return Err(error) };
        // Other lanes read the arena that would be given up.
        if self.share_arena().is_some() {
            return Err(error);
        }
        let when = format!("in iteration {at}");
        self.replace(error, &when, &mut |this| this.take_over(work, at, before))
    }

    /// Loads the next variant and tries it, until one serves. `when` is said about
    /// those that give way.
    pub(super) fn replace(
        &mut self,
        error: ExecError,
        when: &str,
        attempt: &mut dyn FnMut(&mut Self) -> Result<(), ExecError>,
    ) -> Result<(), ExecError> {
        let all = self.candidates();
        until_one_serves(self.kernels.variant, error, &all, |left, variant, error| {
            let note = format!("kernels {variant} gave way {when}: {}", what_happened(error));
            tracing::warn!("{}: {note}", self.gpu.label());
            // Graphs and buffers of the old kernels, before the kernels.
            self.give_up_lane();
            let tried = self.load_next(left, note).and_then(|()| attempt(self));
            (self.kernels.variant, tried)
        })
    }

    fn load_next(&mut self, left: &[Variant], note: String) -> Result<(), ExecError> {
        let mut loaded = Kernels::load(&self.gpu, left)?;
        let before = std::mem::take(&mut self.kernels.notes);
        loaded.notes = [before, vec![note], loaded.notes].concat();
        self.kernels = loaded;
        Ok(())
    }

    /// Makes these kernels ready to go on with iteration `at`.
    fn take_over(&mut self, work: Work, at: u32, before: Variant) -> Result<(), ExecError> {
        self.check_kernels()?;
        self.make_lane(work)?;
        self.fill_arena()?;
        if let Some(first) = self.first {
            self.uncounted
                .get_or_insert_with(|| format!("the kernels were replaced in iteration {at}"));
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
        if let Some(code) = self.options.injected.at_comparison() {
            return Err(self.injected("launching a kernel", code));
        }
        let lane = self.lane.as_mut().expect("just made");
        let again = Segment {
            first_iteration: first.iteration,
            iterations: 1,
            start: first.start,
            solo_sync: None,
        };
        let mut root = Root::default();
        lane.run(&self.gpu, &self.kernels, &again, &mut |output| {
            root = output.root;
            ControlFlow::Continue(())
        })?;
        if self.options.injected.is_due(InjectedFailure::OtherRoot) {
            root.0[7] ^= 1;
        }
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

    /// A failure that a test wants.
    pub(super) fn injected(&self, what: &str, code: u32) -> ExecError {
        let failure = Failure { function: "cuLaunchKernel", code };
        self.gpu.error(&format!("{what} (injected)"), failure)
    }
}
