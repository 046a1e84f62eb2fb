//! What a validator knows of GPU models, the least time that they need, whether claims can be true of
//! them, which of them a session excludes, and what it would cost to fake one.
//!
//! Guarantees: pure; every number of the table has its source.
//! Deliberately lacks: what a claim that cannot be true is worth. That is
//! [`crate::policy`]'s.

pub mod exclusion;
pub mod floors;
pub mod models;
pub mod plausible;
pub mod price;
