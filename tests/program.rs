//! The program as its users call it.

mod cli;
mod common;
mod fake_nvml;
mod identities;
