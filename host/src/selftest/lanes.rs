//! Executors for the lanes of a case: one that takes the lanes in turn, or, if lanes read
//! each other's memory, one a lane, connected as those of a run are.
//!
//! Deliberately lacks: threads. Lanes run one after another.

use crate::executor::{Assignment, ExecError, Executor};
use crate::protocol::names::State;
use crate::protocol::work::{RunInputs, Work};
use std::sync::Arc;

/// Opens a further executor of the kind that is checked.
type Open<'a> = dyn FnMut() -> Result<Box<dyn Executor>, ExecError> + 'a;

/// Executors of one kind, opened when they are first needed and kept from case to case.
pub struct LaneExecutors<'a> {
    open: Box<Open<'a>>,
    opened: Vec<Box<dyn Executor>>,
    begun: Option<Begun>,
}

/// What the executors were last begun with.
struct Begun {
    work: Work,
    seeds: Arc<[State]>,
    /// The lane that a lone executor has taken; of several, each has its own.
    lane: Option<u32>,
}

impl<'a> LaneExecutors<'a> {
    /// As many as are needed, each from `open`.
    pub fn new(open: impl FnMut() -> Result<Box<dyn Executor>, ExecError> + 'a) -> Self {
        Self { open: Box::new(open), opened: Vec::new(), begun: None }
    }

    /// The same with `first`, which is open.
    pub fn starting_with(
        first: Box<dyn Executor>,
        open: impl FnMut() -> Result<Box<dyn Executor>, ExecError> + 'a,
    ) -> Self {
        Self { opened: vec![first], ..Self::new(open) }
    }

    /// Begins a run: whatever was begun before is over.
    ///
    /// # Errors
    /// What opening, beginning and connecting executors end with.
    pub fn begin(&mut self, run: &RunInputs<'_>) -> Result<(), ExecError> {
        let shares = run.work.memory_residency().is_some_and(|work| work.reads_peers());
        let needed = if shares { run.seeds.len() } else { 1 };
        while self.opened.len() < needed {
            self.opened.push((self.open)()?);
        }
        // Memory for other work is given back before this run takes its own.
        if self.begun.as_ref().is_some_and(|begun| begun.work != run.work) {
            self.opened.iter_mut().for_each(|executor| executor.rest());
        }
        self.begun = Some(Begun { work: run.work, seeds: run.seeds.into(), lane: None });
        if shares {
            let lanes = &mut self.opened[..needed];
            for (lane, executor) in (0..).zip(lanes.iter_mut()) {
                executor.begin(&Assignment::of(run, lane))?;
            }
            let shared: Vec<_> = lanes.iter_mut().map(|executor| executor.share()).collect();
            lanes.iter_mut().try_for_each(|executor| executor.connect(&shared))?;
        }
        Ok(())
    }

    /// The executor of lane `lane` of the run that was begun, and what it was begun with.
    /// A lone one begins anew if it had another lane.
    ///
    /// # Errors
    /// What beginning ends with.
    ///
    /// # Panics
    /// If no run was begun, or it has no such lane.
    pub fn lane(&mut self, lane: u32) -> Result<(&mut dyn Executor, Assignment), ExecError> {
        let begun = self.begun.as_mut().expect("a run was begun");
        let assignment = Assignment { work: begun.work, lane, seeds: Arc::clone(&begun.seeds) };
        if begun.work.memory_residency().is_some_and(|work| work.reads_peers()) {
            return Ok((self.opened[lane as usize].as_mut(), assignment));
        }
        let executor = self.opened[0].as_mut();
        if begun.lane != Some(lane) {
            begun.lane = None;
            executor.begin(&assignment)?;
            let shared = executor.share();
            executor.connect(&[shared])?;
            begun.lane = Some(lane);
        }
        Ok((executor, assignment))
    }
}
