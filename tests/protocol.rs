//! The rules: what is read, refused, recomputed, judged and said.

mod bad_input;
mod common;
mod memory_residency;
mod mutations;
mod omissions;
mod policy;
mod published;
mod rejections;
mod vectors;
mod verdicts;
