//! The commands, one file each: resolve what was typed, call the library,
//! render what came back.

pub mod bench;
mod bench_tables;
pub mod challenge;
pub mod completions;
pub mod demo;
pub mod detect;
pub mod inspect;
pub mod run;
mod run_timing;
pub mod selftest;
mod stress;
mod summary;
pub mod verify;
