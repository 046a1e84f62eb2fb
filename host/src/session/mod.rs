//! Challenges and results as they are made and kept: issuing, choosing
//! executors, answering, checkpoints.
//!
//! This is where the clock and the operating system's random generator are
//! read. It has no rules of its own: what is valid is decided in `protocol`.

pub mod checkpoint;
pub mod committed;
pub mod devices;
pub mod executors;
pub mod issue;
pub mod mine;
