//! Kinds of work: how an iteration turns a state into leaves.

pub mod fp64_product;
pub mod memory_residency;
