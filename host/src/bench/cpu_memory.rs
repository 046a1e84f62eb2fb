//! Memory residency on this machine's cores: leaves from nothing, as a validator computes
//! them, and an arena in host memory, as a miner without a GPU has it.

use super::Effort;
use super::cpu::{digest, median_s};
use crate::executor::cpu::CpuVerifier;
use crate::executor::gpu::bench::median;
use crate::protocol::names::State;
use crate::protocol::verify::{LeafRequest, Recompute};
use crate::protocol::work::memory_residency::{HALF_PASSES_DEFAULT, MemoryResidency};
use crate::protocol::work::{IterationPlace, RunInputs};
use crate::work::memory_residency::cpu::{Arena, ArenaError, EmptyArena, LaneSweep, MemoryCpu};
use serde::Serialize;
use std::ops::ControlFlow;
use std::time::Instant;

/// Leaves of a result that asks for 2063 openings.
const LEAVES: u32 = 2063;
/// Blocks of the arena whose leaves are recomputed, 137 GB: none of it is there.
const CLAIMED_BLOCKS: u64 = 1 << 25;

/// Memory residency on the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryOnHost {
    /// Half-passes of the fill (p).
    pub half_passes: u32,
    /// Number of leaves computed from nothing, each of an iteration of its own.
    pub leaves: u32,
    /// Bytes of the arena that they are leaves of.
    pub claimed_bytes: u64,
    /// How long they take, ms.
    pub leaves_ms: f64,
    /// An arena in host memory; absent if there was no room.
    pub arena: Option<ArenaTimes>,
    /// Why there was none.
    pub no_arena: Option<String>,
}

/// Speed of an arena in host memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ArenaTimes {
    /// Its bytes.
    pub bytes: u64,
    /// First words and all half-passes, ms.
    pub fill_ms: f64,
    /// Sweeps with fold, leaves and subtrees, 10⁹ bytes read a second.
    pub sweep_gb_s: f64,
}

/// Measures all of it: medians of `runs`.
pub(super) fn measure(effort: Effort, runs: u32) -> MemoryOnHost {
    let half_passes = HALF_PASSES_DEFAULT;
    let work = |arena_blocks: u64| MemoryResidency { arena_blocks, half_passes, peer_blocks: 0 };
    let claimed = work(CLAIMED_BLOCKS);
    let (seeds, requests) = ([state(0)], requests(claimed));
    let run = RunInputs { work: claimed.into(), seeds: &seeds };
    let verifier = CpuVerifier::new();
    let leaves_s = median_s(runs, || {
        let hashes = verifier.leaf_hashes(&run, &requests);
        assert_eq!(hashes.map(|hashes| hashes.len()).ok(), Some(requests.len()));
    });
    // 67 MB, to see that it works; 1.1 GB, more than caches hold.
    let blocks = match effort {
        Effort::Quick => 1 << 14,
        Effort::Full => 1 << 18,
    };
    let (arena, no_arena) = match arena(work(blocks), runs) {
        Ok(times) => (Some(times), None),
        Err(error) => (None, Some(error.to_string())),
    };
    MemoryOnHost {
        half_passes,
        leaves: LEAVES,
        claimed_bytes: claimed.arena_bytes(),
        leaves_ms: 1e3 * leaves_s,
        arena,
        no_arena,
    }
}

/// A state that differs from number to number.
fn state(number: u32) -> State {
    State(digest(number).0)
}

/// Leaves at random places, each of an iteration of its own.
fn requests(work: MemoryResidency) -> Vec<LeafRequest> {
    let request = |number: u32| {
        let state = state(number);
        let word = state.0.last_chunk().map_or(0, |word| u64::from_be_bytes(*word));
        let at = IterationPlace { lane: 0, iteration: number, state };
        LeafRequest { at, leaf: word % work.leaves() }
    };
    (1..=LEAVES).map(request).collect()
}

fn arena(work: MemoryResidency, runs: u32) -> Result<ArenaTimes, ArenaError> {
    let cpu = MemoryCpu::new();
    // Pages are touched for the first time in a fill that is not counted.
    let mut arena = filled(cpu, EmptyArena::allocate(work)?)?;
    let mut fill_s = Vec::new();
    for _ in 0..runs.max(1) {
        let (empty, start) = (arena.into_empty(), Instant::now());
        arena = filled(cpu, empty)?;
        fill_s.push(start.elapsed().as_secs_f64());
    }
    let sweep = LaneSweep { state: state(1), own: &arena, second: &arena };
    let sweep_s = median_s(runs, || assert_eq!(cpu.tile_roots(&sweep).len() as u64, work.tiles()));
    Ok(ArenaTimes {
        bytes: work.arena_bytes(),
        fill_ms: 1e3 * median(fill_s).unwrap_or(0.0),
        sweep_gb_s: work.sweep_bytes() as f64 / sweep_s / 1e9,
    })
}

fn filled(cpu: MemoryCpu, empty: EmptyArena) -> Result<Arena, ArenaError> {
    cpu.fill(empty, &state(0), &mut || ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn leaves_lie_all_over_the_arena_in_as_many_iterations() {
        let work =
            MemoryResidency { arena_blocks: CLAIMED_BLOCKS, half_passes: 12, peer_blocks: 0 };
        let requests = requests(work);
        assert_eq!(requests.len(), LEAVES as usize);
        let states: HashSet<_> = requests.iter().map(|request| request.at.state).collect();
        assert_eq!(states.len(), requests.len());
        assert!(requests.iter().all(|request| request.leaf < work.leaves()));
        assert!(requests.iter().any(|request| request.leaf > work.leaves() / 2));
    }

    #[test]
    fn an_arena_in_host_memory_has_its_times() {
        let work = MemoryResidency { arena_blocks: 512, half_passes: 2, peer_blocks: 0 };
        let times = arena(work, 1).unwrap();
        assert!(times.bytes == 2 << 20 && times.fill_ms > 0.0 && times.sweep_gb_s > 0.0);
    }
}
