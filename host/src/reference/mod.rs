//! The oracle: docs/protocol.md in scalar code, to be checked against it by eye.
//!
//! Guarantees: every number is computed the way the text says it, one element,
//! one fused multiply-add and one hash at a time; nothing is shared with the
//! kernels, the CPU executor, or the protocol module's own hashing and trees.
//! Deliberately lacks: speed. It serves tests and self-tests at dimensions of a
//! few hundred.

pub mod executor;
pub mod fold;
pub mod integer;
pub mod leaves;
pub mod memory;
pub mod miner;
pub mod oracle;
pub mod tree;

pub use executor::OracleExecutor;
pub use integer::IntegerOracle;
pub use leaves::Leaves;
pub use memory::MemoryOracle;
pub use miner::{Run, execute};
pub use oracle::Oracle;
