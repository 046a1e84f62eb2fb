//! Memory residency: arenas that are swept.

pub mod gpu;
