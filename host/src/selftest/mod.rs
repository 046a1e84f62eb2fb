//! Checks of this program by itself, for tests and for `attest selftest`.

mod replay;
pub mod vectors;
