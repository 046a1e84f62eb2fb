//! attest: proves by computation which GPUs did how much work.
#![deny(unsafe_code)]

pub mod bench;
pub mod evidence;
pub mod executor;
pub mod protocol;
pub mod reference;
pub mod selftest;
pub mod session;
