//! What [`GpuExecutor`] does for memory residency beyond what all kinds of work share:
//! filling the arena, reaching other lanes', reading sampled tiles back.

use super::executor::GpuExecutor;
use super::lane::Means;
use crate::executor::{Assignment, ExecError, SharedMemory, TileRequest};
use crate::protocol::digest::Digest;
use crate::work::memory_residency::gpu::{ArenaLane, ArenaOpenings, SampledTile, SharedArena};
use std::sync::Arc;

impl GpuExecutor {
    /// The lane's arena, if its kind of work has one.
    pub(super) fn arena(&self) -> Option<&ArenaLane> {
        match &self.lane.as_ref()?.means {
            Means::Arena(arena) => Some(arena),
            Means::Products(_) => None,
        }
    }

    /// Fills the arena for the assignment, if there is one, and waits for that.
    pub(super) fn fill_arena(&mut self) -> Result<(), ExecError> {
        let details = &mut self.facts.details;
        (details.arena_bytes, details.arena_fill_ns, details.peer_blocks) = (None, None, None);
        let lane = self.lane.as_mut().expect("made before");
        let (Means::Arena(arena), Some(assignment)) = (&mut lane.means, &self.assignment) else {
            return Ok(());
        };
        let kernels = self.kernels.arena(&self.gpu)?;
        let (sm_count, Assignment { lane, seeds, .. }) = (self.device.sm_count, assignment);
        let arena_bytes = assignment.work.memory_residency().map(|work| work.arena_bytes());
        let took = arena.fill(&self.gpu, kernels, sm_count, *lane, seeds)?;
        let details = &mut self.facts.details;
        details.arena_bytes = arena_bytes;
        details.arena_fill_ns = u64::try_from(took.as_nanos()).ok();
        Ok(())
    }

    /// The arena, if other lanes read it.
    pub(super) fn share_arena(&self) -> Option<SharedMemory> {
        self.arena()?.share().map(|arena| arena as SharedMemory)
    }

    /// Connects the arena with those of all lanes, if this work reads them.
    pub(super) fn connect_arenas(
        &mut self,
        lanes: &[Option<SharedMemory>],
    ) -> Result<(), ExecError> {
        if self.share_arena().is_none() {
            return Ok(());
        }
        let unreachable = |lane: usize| ExecError::Device {
            what: format!("reaching the arena of lane {lane}"),
            device: self.gpu.label().to_owned(),
            cause: "it is not in a GPU's memory".to_owned(),
            advice: "use GPUs for all lanes, or the CPU executor for all".to_owned(),
        };
        let arenas = lanes.iter().enumerate().map(|(lane, memory)| {
            let memory = memory.clone().ok_or_else(|| unreachable(lane))?;
            memory.downcast::<SharedArena>().map_err(|_| unreachable(lane))
        });
        let arenas: Vec<Arc<SharedArena>> = arenas.collect::<Result<_, _>>()?;
        let lane = self.lane.as_mut().expect("it has an arena");
        lane.forget_graph();
        let Means::Arena(arena) = &mut lane.means else { unreachable!("it has an arena") };
        arena.connect(&self.gpu, &arenas, self.options.peer_access)?;
        self.facts.details.peer_blocks = arena.peer_reads();
        Ok(())
    }

    /// The leaf hashes of each tile, from the arena of the run as it lies there.
    pub(super) fn read_tiles(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        let is_own = self.assignment.as_ref() == Some(assignment)
            && tiles.iter().all(|tile| tile.at.lane == assignment.lane);
        let (true, Some(Means::Arena(arena))) =
            (is_own, self.lane.as_ref().map(|lane| &lane.means))
        else {
            return Err(ExecError::Device {
                what: "reading sampled leaves from the arena".to_owned(),
                device: self.gpu.label().to_owned(),
                cause: "the arena of that run and lane is not there".to_owned(),
                advice: "verify on the CPU, which needs no arena".to_owned(),
            });
        };
        let sampled: Vec<SampledTile> = tiles
            .iter()
            .map(|&TileRequest { at, tile }| SampledTile {
                iteration: at.iteration,
                state: at.state,
                tile: u32::try_from(tile).expect("an iteration has at most 2²⁰ tiles"),
            })
            .collect();
        let made = match self.arena_openings.take() {
            Some(made) if made.serve(sampled.len()) => made,
            _ => ArenaOpenings::new(&self.gpu, sampled.len())?,
        };
        let openings = self.arena_openings.insert(made);
        let kernels = self.kernels.arena(&self.gpu)?;
        openings.leaf_hashes(&self.gpu, kernels, self.device.sm_count, arena, &sampled)
    }
}
