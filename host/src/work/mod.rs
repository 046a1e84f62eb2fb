//! What computes each kind of work on this machine's devices.

pub mod memory_residency;
