//! Challenges and results as they are made and kept: issuing, choosing
//! executors, answering, checkpoints.
//!
//! Unlike `protocol` it reads the clock and the operating system's random generator.
//!
//! Guarantees: a challenge that is issued is valid, its nonce and seed random if
//! none were asked for; a run that goes on from a checkpoint has the roots of an
//! unbroken one.
//! Deliberately lacks: rules of its own. What is valid is decided in `protocol`.

pub mod checkpoint;
pub mod committed;
mod device_reports;
pub mod devices;
pub mod executors;
pub mod issue;
pub mod kind;
mod machine_report;
pub mod mine;
pub mod pool;
