//! Memory residency on a CUDA device: the arena, its sweeps, and what is read back of it.
//!
//! ```text
//! arena     the arena's memory, which other lanes may read     launch   kernels as functions
//! lane      a lane's arena: filling, sweeping                  peers    ways to other arenas
//! openings  leaf hashes of sampled tiles, from the arena
//! ```
//!
//! Guarantees: an arena has exactly the blocks that were asked for, or there is none and
//! the error has needed and free bytes; leaf hashes of openings are computed from the
//! arena as it lies there; memory that another lane reads outlives that lane's call.
//! Deliberately lacks: any means of computing a block without its arena.

mod arena;
mod lane;
mod launch;
mod openings;
mod peers;

pub(crate) use arena::SharedArena;
pub use lane::PeerAccess;
pub(crate) use lane::{ArenaLane, RingPlace};
pub(crate) use launch::{ArenaKernels, PeakMemory};
pub(crate) use openings::{ArenaOpenings, SampledTile};
