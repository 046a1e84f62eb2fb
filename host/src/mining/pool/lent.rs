//! An executor on loan: it computes as itself, and comes back when it is dropped.

use super::{Place, Slots, lock, speed};
use crate::executor::{
    Assignment, Collect, DeviceTiming, ExecError, Executor, LaneFacts, Segment, SharedMemory, Sink,
    SmActivity, SmTiles, TileRequest,
};
use crate::protocol::digest::Digest;
use crate::protocol::work::{Cost, Unit};

/// Whose slot waits for it.
pub(super) struct Lent {
    /// `None` only while it is dropped.
    executor: Option<Box<dyn Executor>>,
    at: usize,
    loan: u64,
    slots: Slots,
    /// False from a failure on, and during a call: one that panics does not come back.
    is_sound: bool,
    /// It hung: its device stays busy until the process ends.
    has_hung: bool,
    /// FP64 operations a second, the most that a run showed.
    rate: f64,
    /// Of an iteration of the last begin.
    cost: Cost,
}

impl Lent {
    pub(super) fn new(executor: Box<dyn Executor>, at: usize, loan: u64, slots: Slots) -> Self {
        Self {
            executor: Some(executor),
            at,
            loan,
            slots,
            is_sound: true,
            has_hung: false,
            rate: 0.0,
            cost: Cost { amount: 0, unit: Unit::Flop },
        }
    }

    fn inner(&self) -> &dyn Executor {
        self.executor.as_deref().expect("there until it is dropped")
    }

    fn call<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Executor) -> Result<T, ExecError>,
    ) -> Result<T, ExecError> {
        let was_sound = std::mem::replace(&mut self.is_sound, false);
        let done = work(self.executor.as_deref_mut().expect("there until it is dropped"));
        // Stopping, and memory that was not there, leave a device as it was.
        let is_well = matches!(done, Ok(_) | Err(ExecError::Stopped | ExecError::Memory { .. }));
        self.is_sound = was_sound && is_well;
        self.has_hung |= matches!(done, Err(ExecError::Hung { .. }));
        done
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(executor) = self.executor.take() else { return };
        let (executor, place) = if self.is_sound {
            (None, Place::Ready(executor))
        } else {
            (Some(executor), if self.has_hung { Place::Gone } else { Place::Lost })
        };
        // It may never be gone, if a driver hangs; until it is, it is out.
        drop(executor);
        let mut slots = lock(&self.slots);
        let slot = &mut slots[self.at];
        if !slot.is_out(self.loan) {
            // Given up meanwhile. Not dropped under the lock: that may hang.
            drop(slots);
            return drop(place);
        }
        if let Place::Ready(executor) = &place {
            // Kernels may have been replaced on the way.
            slot.facts = executor.facts().clone();
            slot.rate = slot.rate.max(self.rate);
        }
        slot.place = place;
    }
}

impl Executor for Lent {
    fn facts(&self) -> &LaneFacts {
        self.inner().facts()
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        self.cost = assignment.work.cost();
        self.call(|executor| executor.begin(assignment))
    }

    fn share(&mut self) -> Option<SharedMemory> {
        self.executor.as_mut().and_then(|executor| executor.share())
    }

    fn connect(&mut self, lanes: &[Option<SharedMemory>]) -> Result<(), ExecError> {
        self.call(|executor| executor.connect(lanes))
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let mut pace = speed::Stopwatch::start(self.cost);
        let ended = self.call(|executor| {
            executor.run(segment, &mut |output| {
                pace.iteration();
                sink(output)
            })
        });
        if self.cost.unit == Unit::Flop {
            self.rate = self.rate.max(pace.rate().unwrap_or(0.0));
        }
        ended
    }

    fn defer_tile_roots(&mut self, collect: Collect) {
        if let Some(executor) = &mut self.executor {
            executor.defer_tile_roots(collect);
        }
    }

    fn settle(&mut self) {
        if let Some(executor) = &mut self.executor {
            executor.settle();
        }
    }

    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        self.call(|executor| executor.leaf_hashes(assignment, tiles))
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        self.call(|executor| executor.sm_tiles())
    }

    fn timing(&self) -> Option<DeviceTiming> {
        self.inner().timing()
    }

    fn sm_activity(&self) -> Option<SmActivity> {
        self.inner().sm_activity()
    }

    fn rest(&mut self) {
        if let Some(executor) = &mut self.executor {
            executor.rest();
        }
    }
}
