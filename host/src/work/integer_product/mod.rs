//! Integer products on machines.

pub mod cpu;
pub(crate) mod gpu;
