//! A lane of a run on the host's cores: its arena, and those of other lanes that it reads.

use super::{Arena, ArenaError, EmptyArena, LaneSweep, MemoryCpu};
use crate::executor::cpu::{CpuWork, Simd};
use crate::executor::{Assignment, ExecError, SharedMemory, TileRequest};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::memory_residency::{LEAVES_PER_TILE, MemoryResidency};
use crate::protocol::work::{IterationPlace, Work};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Memory residency of one lane.
pub(crate) struct MemoryOnCpu {
    cpu: MemoryCpu,
    work: MemoryResidency,
    /// s(g,0) of every lane.
    seeds: Arc<[State]>,
    lane: u32,
    /// Of every lane the arena, if it is here.
    arenas: Vec<Option<Arc<Arena>>>,
}

impl MemoryOnCpu {
    /// Fills the lane's arena.
    ///
    /// # Errors
    /// [`ExecError::Memory`].
    pub(crate) fn begin(
        work: MemoryResidency,
        assignment: &Assignment,
        simd: Simd,
    ) -> Result<Self, ExecError> {
        let Assignment { lane, seeds, .. } = assignment.clone();
        let arenas = vec![None; seeds.len()];
        let mut begun = Self { cpu: MemoryCpu::on(simd), work, seeds, lane, arenas };
        begun.arena(lane)?;
        Ok(begun)
    }

    /// The arena of lane `lane`. One that no other executor shares is filled here: it
    /// follows from the lane's seed.
    fn arena(&mut self, lane: u32) -> Result<Arc<Arena>, ExecError> {
        if let Some(arena) = &self.arenas[lane as usize] {
            return Ok(Arc::clone(arena));
        }
        let seed = self.seeds[lane as usize];
        let empty = EmptyArena::allocate(self.work).map_err(of_memory)?;
        let arena = self.cpu.fill(empty, &seed, &mut || ControlFlow::Continue(()));
        let arena = Arc::new(arena.map_err(of_memory)?);
        self.arenas[lane as usize] = Some(Arc::clone(&arena));
        Ok(arena)
    }

    /// The arenas that an iteration reads.
    fn both(&mut self, at: &IterationPlace) -> Result<[Arc<Arena>; 2], ExecError> {
        let second = self.work.second_lane(at.lane, at.iteration, self.seeds.len() as u32);
        Ok([self.arena(at.lane)?, self.arena(second)?])
    }
}

impl CpuWork for MemoryOnCpu {
    fn tile_roots(&mut self, at: &IterationPlace) -> Result<Vec<Digest>, ExecError> {
        let [own, second] = self.both(at)?;
        Ok(self.cpu.tile_roots(&LaneSweep { state: at.state, own: &own, second: &second }))
    }

    fn leaf_hashes(&mut self, tiles: &[TileRequest]) -> Result<Vec<Vec<Digest>>, ExecError> {
        let mut hashes = Vec::with_capacity(tiles.len());
        for tile in tiles {
            let [own, second] = self.both(&tile.at)?;
            let sweep = LaneSweep { state: tile.at.state, own: &own, second: &second };
            let first = tile.first_leaf(Work::MemoryResidency(self.work));
            let leaves: Vec<u64> = (first..first + u64::from(LEAVES_PER_TILE)).collect();
            hashes.push(self.cpu.leaf_hashes(&sweep, &leaves));
        }
        Ok(hashes)
    }

    fn read_blocks(&self, first: u64, count: u64) -> Option<Vec<[u32; 4]>> {
        let own = self.arenas[self.lane as usize].as_ref()?;
        Some(own.words(first, count))
    }

    fn share(&self) -> Option<SharedMemory> {
        let own = self.arenas[self.lane as usize].clone().filter(|_| self.work.reads_peers());
        own.map(|arena| arena as SharedMemory)
    }

    fn connect(&mut self, lanes: &[Option<SharedMemory>]) {
        for (arena, shared) in self.arenas.iter_mut().zip(lanes) {
            if let (None, Some(shared)) = (&arena, shared) {
                *arena = Arc::clone(shared).downcast().ok();
            }
        }
    }
}

/// The executor's words for it.
fn of_memory(error: ArenaError) -> ExecError {
    let device = |bound_by: &dyn std::fmt::Display| format!("the memory {bound_by}");
    match error {
        ArenaError::TooLarge { needed_bytes, free_bytes, bound_by } => ExecError::Memory {
            device: device(&bound_by),
            needed_bytes,
            free_bytes,
            advice: "ask for a smaller arena, or free memory".to_owned(),
        },
        ArenaError::Refused { .. } | ArenaError::Stopped => ExecError::Device {
            what: "filling the arena".to_owned(),
            device: "the host".to_owned(),
            cause: error.to_string().lines().next().unwrap_or_default().to_owned(),
            advice: "raise the limit of address space (ulimit -v), or free memory".to_owned(),
        },
    }
}
