//! The protocol of docs/protocol.md, pure: what a challenge, an evidence
//! document and a result are, which samples follow from a commitment, and what
//! a validator checks.
//!
//! Guarantees: no GPU, clock, file, thread, environment or print in here; every
//! size and count is bounded before anything is allocated for it.
//! Deliberately lacks: any means of computing the work. Executors and the
//! oracle bring it through [`verify::Recompute`].
#![forbid(unsafe_code)]

pub mod bound;
pub mod chain;
pub mod challenge;
pub mod circumstances;
pub mod device_report;
pub mod digest;
pub mod error_text;
pub mod evidence;
pub mod json;
pub mod judgement;
pub mod machine_report;
pub mod merkle;
pub mod names;
pub mod parts;
pub mod quantity;
mod read;
pub mod receipt;
pub mod rejection;
mod reported;
pub mod result;
pub mod sample;
pub mod signature;
pub mod time;
pub mod verdict;
pub mod verified;
pub mod verify;
pub mod work;
