//! Memory residency on this machine's devices.

pub mod cpu;
pub mod gpu;
