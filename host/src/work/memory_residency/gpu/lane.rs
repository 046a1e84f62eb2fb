//! A lane's arena: its filling, and the sweeps of its iterations.

use super::arena::SharedArena;
use super::launch::{self, ArenaKernels, PeakMemory, Second, Sweep, Tiles};
use super::peers::{Peers, Way, copy_second_blocks};
use crate::executor::ExecError;
use crate::executor::gpu::driver::{DeviceMemory, Gpu, Kernel, Readback, Timing};
use crate::executor::gpu::error::from_cust;
use crate::executor::gpu::words;
use crate::protocol::evidence::document::PeerBlocks;
use crate::protocol::names::State;
use crate::protocol::work::memory_residency::{BLOCK_BYTES, DRAW_SWEEP, MemoryResidency};
use cuda_driver::Failure;
use gpu_kernels::philox;
use std::sync::Arc;
use std::time::Duration;

/// The arena of a lane, and its way to others'.
#[derive(Debug)]
pub(crate) struct ArenaLane {
    pub(super) work: MemoryResidency,
    pub(super) arena: Arc<SharedArena>,
    /// g and G, once it was filled.
    place: Option<(u32, u32)>,
    peers: Option<Peers>,
}

/// Where a sweep's tile roots go.
#[derive(Clone, Copy)]
pub(crate) struct RingPlace<'a> {
    /// The lane's chain.
    pub chain: &'a DeviceMemory,
    /// Ring of tile roots.
    pub roots: &'a DeviceMemory,
    /// Slots that the chain may name.
    pub ring_slots: u32,
    /// Counters by SM id.
    pub counters: Option<&'a DeviceMemory>,
}

impl ArenaLane {
    /// Memory for the arena of `work`, all of it or none.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn new(gpu: &Gpu, work: MemoryResidency) -> Result<Self, Failure> {
        let arena = Arc::new(SharedArena::new(gpu, work)?);
        Ok(Self { work, arena, place: None, peers: None })
    }

    /// Fills the arena of lane `lane` of those that start from `seeds`, and waits for
    /// that. Other lanes' arenas are connected afterwards. Gives the time that it took by
    /// the device's clock.
    ///
    /// # Errors
    /// Device faults.
    pub(crate) fn fill(
        &mut self,
        gpu: &Gpu,
        kernels: &ArenaKernels,
        sm_count: u32,
        lane: u32,
        seeds: &[State],
    ) -> Result<Duration, ExecError> {
        (self.place, self.peers) = (None, None);
        let timing = |failure: Failure| gpu.error("filling the arena", failure);
        let events = || Ok((gpu.event(Timing::Measured)?, gpu.event(Timing::Measured)?));
        let (start, end) = events().map_err(timing)?;
        gpu.record(&start).map_err(timing)?;
        let seed = &seeds[lane as usize];
        let filled = launch::fill(gpu, kernels, sm_count, &self.arena, self.work.half_passes, seed);
        // Also after an error: what was enqueued still runs.
        let ended = gpu.record(&end).and_then(|()| gpu.synchronise());
        filled?;
        ended.map_err(timing)?;
        self.place = Some((lane, seeds.len() as u32));
        let took = end.elapsed(&start).map_err(|error| timing(from_cust(error)))?;
        Ok(took)
    }

    /// Enqueues one half-pass, to be measured: the arena is no run's after that.
    ///
    /// # Errors
    /// Device faults.
    pub(crate) fn half_pass(
        &self,
        gpu: &Gpu,
        kernels: &ArenaKernels,
        sm_count: u32,
        seed: &State,
    ) -> Result<(), ExecError> {
        launch::half_pass(gpu, kernels, sm_count, &self.arena, 1, seed)
    }

    /// Enqueues a ceiling of memory over the arena, which is no run's after that; gives
    /// the bytes that it moves. `out` has 16 bytes.
    ///
    /// # Errors
    /// Device faults.
    pub(crate) fn peak(
        &self,
        gpu: &Gpu,
        kernel: &Kernel,
        sm_count: u32,
        what: PeakMemory,
        out: &DeviceMemory,
    ) -> Result<u64, ExecError> {
        launch::peak_memory(gpu, kernel, sm_count, self.arena.memory(), what, out)
    }

    /// The arena, if other lanes read it.
    pub(crate) fn share(&self) -> Option<Arc<SharedArena>> {
        self.work.reads_peers().then(|| Arc::clone(&self.arena))
    }

    /// Connects it with the arenas of all lanes, in lane order, if this work reads them.
    ///
    /// # Errors
    /// Device faults.
    pub(crate) fn connect(
        &mut self,
        gpu: &Gpu,
        arenas: &[Arc<SharedArena>],
        peer_access: PeerAccess,
    ) -> Result<(), ExecError> {
        if self.work.reads_peers() {
            let (lane, _) = self.place();
            self.peers = None;
            self.peers = Some(Peers::connect(gpu, self.work, lane as usize, arenas, peer_access)?);
        }
        Ok(())
    }

    /// How other lanes' blocks get here, as the evidence has it; `None` if none do.
    pub(crate) fn peer_reads(&self) -> Option<PeerBlocks> {
        Some(self.peers.as_ref()?.way.name())
    }

    /// Whether an iteration is enqueued with the state that it starts from, so that the
    /// host has to know that first.
    pub(crate) fn needs_states(&self) -> bool {
        matches!(&self.peers, Some(Peers { way: Way::Copied(..), .. }))
    }

    /// Other lanes' arenas, kept from being freed while a call reads them.
    ///
    /// # Errors
    /// One that is gone.
    pub(crate) fn hold(&self, gpu: &Gpu) -> Result<Vec<Arc<SharedArena>>, ExecError> {
        self.peers.as_ref().map_or(Ok(Vec::new()), |peers| peers.hold(gpu))
    }

    /// g and G.
    ///
    /// # Panics
    /// If it was not filled: a bug of the caller.
    pub(super) fn place(&self) -> (u32, u32) {
        self.place.expect("an arena is filled before it is used")
    }

    /// The way to other arenas.
    ///
    /// # Panics
    /// If there is none: a bug of the caller.
    pub(super) fn way(&self) -> &Way {
        &self.peers.as_ref().expect("arenas are connected before they are read").way
    }

    /// Enqueues the sweep of an iteration into its slot of the ring. `start` is the
    /// iteration and the state that it starts from: not used unless
    /// [`ArenaLane::needs_states`].
    ///
    /// # Errors
    /// Device faults.
    pub(crate) fn sweep(
        &self,
        gpu: &Gpu,
        kernels: &ArenaKernels,
        sm_count: u32,
        ring: RingPlace<'_>,
        start: (u32, State),
    ) -> Result<(), ExecError> {
        let tiles = u32::try_from(self.work.tiles()).expect("at most 2²⁰ tiles");
        if !self.work.reads_peers() {
            return self.sweep_tiles(gpu, kernels, sm_count, ring, Second::Own, (0, tiles));
        }
        match self.way() {
            Way::Direct(table) => {
                let second = Second::Arenas(table);
                self.sweep_tiles(gpu, kernels, sm_count, ring, second, (0, tiles))
            }
            Way::Copied(room, room_tiles) => {
                let held = self.hold(gpu)?;
                let (lane, first_block) = self.second_of(start);
                let mut first = 0;
                while first < tiles {
                    let count = (tiles - first).min(*room_tiles);
                    let source = &held[lane as usize];
                    copy_second_blocks(gpu, source, first_block, (first, count), room, 0)?;
                    let second = Second::Copied(room);
                    self.sweep_tiles(gpu, kernels, sm_count, ring, second, (first, count))?;
                    first += count;
                }
                Ok(())
            }
        }
    }

    fn sweep_tiles(
        &self,
        gpu: &Gpu,
        kernels: &ArenaKernels,
        sm_count: u32,
        ring: RingPlace<'_>,
        second: Second<'_>,
        (first, count): (u32, u32),
    ) -> Result<(), ExecError> {
        let RingPlace { chain, roots, ring_slots, counters } = ring;
        let (lane, lanes) = self.place();
        let tiles = Tiles::Running { first, roots, ring_slots, counters };
        let (work, arena) = (self.work, &*self.arena);
        let sweep = Sweep { work, lane, lanes, arena, second, chain, tiles, count };
        launch::sweep(gpu, kernels, sm_count, &sweep)
    }

    /// The words of `count` blocks from block `first` on, as they lie there.
    ///
    /// # Errors
    /// Device faults.
    ///
    /// # Panics
    /// If the arena has no such blocks.
    pub(crate) fn read(
        &self,
        gpu: &Gpu,
        first: u64,
        count: u64,
    ) -> Result<Vec<[u32; 4]>, ExecError> {
        let of_blocks = |blocks: u64| blocks * BLOCK_BYTES / 4;
        let failed = |failure| gpu.error("reading blocks of the arena", failure);
        let mut readback = Readback::new(gpu, of_blocks(count)).map_err(failed)?;
        let from = (self.arena.memory(), of_blocks(first));
        readback.copy_part(gpu, 0, from, of_blocks(count)).map_err(failed)?;
        readback.mark(gpu).map_err(failed)?;
        Ok(readback.wait().map_err(failed)?.as_chunks::<4>().0.to_vec())
    }

    /// Which lane has the second blocks of an iteration that starts from a state, and
    /// which block there is leaf 0's.
    pub(super) fn second_of(&self, (iteration, state): (u32, State)) -> (u32, u64) {
        let (lane, lanes) = self.place();
        let [k0, k1, tweak, ..] = words::of_state(&state);
        let multiply = |a: u32, b: u32| {
            let product = u64::from(a) * u64::from(b);
            (product as u32, (product >> 32) as u32)
        };
        let [o0, o1, ..] = philox::block(multiply, [0, 0, DRAW_SWEEP, tweak], [k0, k1]);
        let first = self.work.sweep([o0, o1]).reads(0).second;
        (self.work.second_lane(lane, iteration, lanes), first)
    }
}

/// Whether devices may read each other's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerAccess {
    /// If the driver lets them; blocks are copied otherwise.
    #[default]
    IfPossible,
    /// Blocks are always copied.
    Never,
}
