//! A verifier for a web page: checks that a result fits its challenge, and recomputes
//! opened leaves one at a time.
//!
//! ```text
//! report    the page's data ─▶ rounds whose form, chain, commitment and openings are right
//! leaves    one leaf's hash by scalar code, for each kind of work
//! exports   what the page's script calls: numbers, and JSON in one buffer
//! ```
//!
//! Guarantees: one thread, no clock, no network, no imports: the module can do nothing but
//! compute; what it checks before the leaves is [`attest_protocol::verify`]'s own code.
//! Deliberately lacks: time, ledgers and policy. It shows that the opened leaves are right
//! for this challenge, and nothing of when, by whom or on what they were computed.

mod exports;
pub mod leaves;
pub mod report;
