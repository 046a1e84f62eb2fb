//! The ways to other lanes' arenas: read where they are, or copied block by block.
//!
//! Guarantees: another lane's arena is held while a call of this lane uses it and no
//! longer; peer access that was not there before is given back.

use super::arena::{SharedArena, gone};
use super::lane::PeerAccess;
use crate::executor::ExecError;
use crate::executor::gpu::driver::{Access, ContextHandle, DeviceMemory, Gpu, Upload};
use crate::executor::gpu::error::OUT_OF_MEMORY;
use crate::protocol::evidence::document::PeerBlocks;
use crate::protocol::work::memory_residency::{BLOCK_BYTES, LEAVES_PER_TILE, MemoryResidency};
use cuda_driver::Failure;
use std::sync::{Arc, Weak};

/// Bytes of the second blocks of a tile.
pub(super) const TILE_BYTES: u64 = LEAVES_PER_TILE as u64 * BLOCK_BYTES;
/// Most tiles whose second blocks are copied at a time: 64 MiB.
const COPIED_TILES_MAX: u32 = 64;

/// Arenas of other lanes.
#[derive(Debug)]
pub(super) struct Peers {
    /// By lane; the own one, too.
    arenas: Vec<Weak<SharedArena>>,
    pub(super) way: Way,
    /// Contexts whose memory this one did not address before.
    enabled: Vec<ContextHandle>,
}

/// How their blocks get here.
#[derive(Debug)]
pub(super) enum Way {
    /// Kernels read them where they are: a table of all arenas' addresses.
    Direct(DeviceMemory),
    /// The driver copies them here first, through the host's memory: room for the
    /// second blocks of this many tiles.
    Copied(DeviceMemory, u32),
}

impl Way {
    /// As the evidence has it.
    pub(super) fn name(&self) -> PeerBlocks {
        match self {
            Self::Direct(_) => PeerBlocks::PeerAccess,
            Self::Copied(..) => PeerBlocks::StagedCopies,
        }
    }
}

impl Peers {
    /// Connects lane `lane` on `gpu`, whose context is current, with the arenas of all.
    ///
    /// # Errors
    /// Arenas of another size; device faults.
    pub(super) fn connect(
        gpu: &Gpu,
        work: MemoryResidency,
        lane: usize,
        arenas: &[Arc<SharedArena>],
        peer_access: PeerAccess,
    ) -> Result<Self, ExecError> {
        assert!(arenas.iter().all(|arena| arena.bytes() == work.arena_bytes()), "one size for all");
        let mut enabled = Vec::new();
        let mut reaches = |arena: &SharedArena| {
            let access = gpu.enable_access(arena.context());
            if access == Ok(Access::Given) {
                enabled.push(arena.context().clone());
            }
            access.is_ok()
        };
        let mut others = arenas.iter().enumerate().filter(|(at, _)| *at != lane);
        let direct =
            peer_access == PeerAccess::IfPossible && others.all(|(_, arena)| reaches(arena));
        let mut peers = Self {
            arenas: arenas.iter().map(Arc::downgrade).collect(),
            way: Way::Copied(DeviceMemory::new(gpu, 1).map_err(|f| allocating(gpu, f))?, 0),
            enabled,
        };
        if direct {
            let words: Vec<u32> = arenas
                .iter()
                .flat_map(|arena| [arena.address() as u32, (arena.address() >> 32) as u32])
                .collect();
            let table = DeviceMemory::new(gpu, 4 * words.len() as u64)
                .and_then(|table| {
                    Upload::new(gpu, words.len() as u64)?.send(gpu, &table, &words)?;
                    Ok(table)
                })
                .map_err(|failure| allocating(gpu, failure))?;
            peers.way = Way::Direct(table);
            return Ok(peers);
        }
        peers.disable();
        let mut tiles = COPIED_TILES_MAX.min(u32::try_from(work.tiles()).unwrap_or(u32::MAX));
        loop {
            match DeviceMemory::aligned(gpu, u64::from(tiles) * TILE_BYTES, BLOCK_BYTES) {
                Err(failure) if failure.code == OUT_OF_MEMORY && tiles > 1 => tiles /= 2,
                made => {
                    let room = made.map_err(|failure| allocating(gpu, failure))?;
                    peers.way = Way::Copied(room, tiles);
                    return Ok(peers);
                }
            }
        }
    }

    /// Gives back what access it took. The device's context is current.
    fn disable(&mut self) {
        self.enabled.drain(..).for_each(|context| context.disable_access());
    }

    /// The arenas, held.
    ///
    /// # Errors
    /// One of them is gone.
    pub(super) fn hold(&self, gpu: &Gpu) -> Result<Vec<Arc<SharedArena>>, ExecError> {
        let held = |(lane, arena): (usize, &Weak<SharedArena>)| {
            arena.upgrade().ok_or_else(|| gone(gpu, lane))
        };
        self.arenas.iter().enumerate().map(held).collect()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.disable();
    }
}

/// Enqueues a copy of the second blocks of `tiles` tiles from `first_tile` on into
/// `room`, at tile `at` of it; `first_block` is the block of leaf 0.
pub(super) fn copy_second_blocks(
    gpu: &Gpu,
    arena: &SharedArena,
    first_block: u64,
    (first_tile, tiles): (u32, u32),
    room: &DeviceMemory,
    at: u64,
) -> Result<(), ExecError> {
    let all = u64::from(arena.blocks());
    let mut left = u64::from(tiles) * u64::from(LEAVES_PER_TILE);
    let mut block = (first_block + u64::from(first_tile) * u64::from(LEAVES_PER_TILE)) % all;
    let mut to = at * TILE_BYTES;
    while left > 0 {
        let run = left.min(all - block);
        let from = (arena.context(), arena.memory(), block * BLOCK_BYTES);
        gpu.copy_from_peer(from, room, to, run * BLOCK_BYTES)
            .map_err(|failure| gpu.error("copying blocks from another lane", failure))?;
        (left, to) = (left - run, to + run * BLOCK_BYTES);
        block = (block + run) % all;
    }
    Ok(())
}

fn allocating(gpu: &Gpu, failure: Failure) -> ExecError {
    gpu.error("reaching the other lanes' arenas", failure)
}
