//! What computes each kind of work on this machine's devices.

pub mod fold;
pub mod memory_residency;
