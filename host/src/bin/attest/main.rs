//! The `attest` program.
fn main() {}
