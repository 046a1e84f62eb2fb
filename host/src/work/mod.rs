//! Kinds of work on machines: what executors and verifiers compute for each kind that
//! [`crate::protocol::work`] describes.
//!
//! Guarantees: a kind touches its own folder; what all kinds share (lanes, sync points,
//! openings, contexts, readback) is in [`crate::executor`].
//! Deliberately lacks: rules. What a leaf is stands in the protocol, and the oracle is
//! [`mod@crate::reference`].

mod blocks;
pub mod fold;
pub mod fp64_product;
mod hash;
pub mod integer_product;
mod lines;
pub mod memory_residency;
mod shared_out;
mod stream;
