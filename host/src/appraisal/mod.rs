//! What a validator knows of GPU models, the least time that they need, and whether claims can be true of them.
//!
//! Guarantees: pure; every number of the table has its source.
//! Deliberately lacks: what a claim that cannot be true is worth. That is
//! [`crate::policy`]'s.

pub mod floors;
pub mod models;
pub mod plausible;
