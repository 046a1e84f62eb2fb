//! From a batch on the host to the sink, and tile roots that wait there until the device
//! is busy again.
//!
//! Guarantees: what is late is collected once, in order, before the memory that holds it
//! is written again.
//! Deliberately lacks: the copy to the host, which is over before anything is late.

use super::spin_wait::Watch;
use super::{After, Batch, Lane};
use crate::executor::gpu::driver::Gpu;
use crate::executor::gpu::kernels::Kernels;
use crate::executor::gpu::words::{self, DIGEST_WORDS};
use crate::executor::{Collect, ExecError, IterationOutput, Sink};
use crate::protocol::names::Root;
use std::ops::Range;
use std::time::Instant;

/// What is late of a lane, and for whom.
#[derive(Default)]
pub(super) struct Late {
    collect: Option<Collect>,
    /// The buffer, and its words.
    held: Option<(usize, Range<usize>)>,
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Late").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Late {
    /// Whether a segment's last tile roots may wait: another buffer has to be there for
    /// the next segment.
    pub(super) fn is_wanted(&self, readbacks: usize) -> bool {
        self.collect.is_some() && readbacks > 1
    }

    /// Which buffer has tile roots that wait.
    pub(super) fn readback(&self) -> Option<usize> {
        self.held.as_ref().map(|(readback, _)| *readback)
    }

    /// Leaves these words of a buffer there.
    pub(super) fn hold(&mut self, readback: usize, words: Range<usize>) {
        debug_assert!(self.held.is_none(), "what was late is settled first");
        self.held = Some((readback, words));
    }
}

impl Lane {
    /// Waits for a batch and gives its iterations to the sink.
    pub(super) fn deliver(
        &mut self,
        gpu: &Gpu,
        kernels: &Kernels,
        batch: &Batch,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let watch =
            self.spin_wait.watch(batch.iterations).filter(|_| batch.after == After::SyncPoint);
        let buffers = self.readbacks.len();
        let readback = &mut self.readbacks[batch.readback];
        let seen = watch.map_or(Ok(true), |Watch { from, until }| readback.look(from, until));
        let waited = seen.and_then(|seen| {
            let words = readback.wait()?;
            let now = Instant::now();
            if seen {
                self.spin_wait.ended(now, batch.iterations)
            } else {
                self.spin_wait.missed(now)
            }
            Ok(words)
        });
        let words = waited.map_err(|failure| {
            let last = batch.first + batch.iterations - 1;
            let which = kernels.of_leaves(self.plan.work);
            let what = format!(
                "running iterations {} to {last} ({which}, merkle, chain_step)",
                batch.first
            );
            gpu.error(&what, failure)
        })?;
        let timed = self.stopwatch.collect(batch.first);
        timed.map_err(|failure| gpu.error("timing an iteration", failure))?;
        let (roots, tiles) = words.split_at(batch.iterations as usize * DIGEST_WORDS);
        let slot_words = self.plan.work.tiles() as usize * DIGEST_WORDS;
        let last = batch.iterations as usize - 1;
        let defers = batch.after == After::SyncPoint && self.late.is_wanted(buffers);
        let outputs = words::to_digests(roots).zip(tiles.chunks_exact(slot_words)).enumerate();
        for (iteration, (at, (root, slot))) in (batch.first..).zip(outputs) {
            self.tile_digests.clear();
            if defers && at == last {
                let from = roots.len() + at * slot_words;
                self.late.hold(batch.readback, from..from + slot_words);
            } else {
                self.tile_digests.extend(words::to_digests(slot));
            }
            let tile_roots = &self.tile_digests;
            if sink(IterationOutput { iteration, root: Root(root.0), tile_roots }).is_break() {
                return Err(ExecError::Stopped);
            }
        }
        Ok(())
    }

    /// From here on, tile roots at the end of segments come late, to `collect`.
    pub(in crate::executor::gpu) fn defer_tile_roots(&mut self, collect: Collect) {
        self.settle();
        self.late.collect = Some(collect);
    }

    /// From here on, all tile roots come with their iterations; what is late is of a run
    /// that nobody asks about any more.
    pub(in crate::executor::gpu) fn give_at_once(&mut self) {
        self.late = Late::default();
    }

    /// Collects what is late. Gives the buffer that is free after that.
    pub(in crate::executor::gpu) fn settle(&mut self) -> Option<usize> {
        let (readback, words) = self.late.held.take()?;
        let words = &self.readbacks[readback].words()[words];
        self.tile_digests.clear();
        self.tile_digests.extend(words::to_digests(words));
        if let Some(collect) = &mut self.late.collect {
            collect(&self.tile_digests);
        }
        Some(readback)
    }
}
