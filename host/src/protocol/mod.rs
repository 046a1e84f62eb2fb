//! The protocol of docs/protocol.md, pure: no GPU, clock, file, thread or print.

pub mod chain;
pub mod challenge;
pub mod digest;
pub mod merkle;
pub mod plan;
pub mod sample;
pub mod transcript;
pub mod verdict;
pub mod verify;
