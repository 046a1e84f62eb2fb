//! Challenges and results as they are made: issuing, executing and what goes
//! to and from files.
//!
//! This is where the clock and the operating system's random generator are
//! read. It has no rules of its own: what is valid is decided in `protocol`.

pub mod files;
pub mod issue;
