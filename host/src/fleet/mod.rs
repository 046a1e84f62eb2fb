//! A fleet: miners behind NATs and several validators, on NATS and one ledger
//! (docs/fleet.md).
//!
//! ```text
//! announcements ─▶ presence ─▶ plan ─▶ queue ─▶ work ─▶ dial ─▶ session
//!        agent ◀────────────── link (frame) ──────────────┘
//! ```
//!
//! Guarantees: a session is the one of [`crate::session`], over another transport; a task of
//! a campaign comes to one outcome, whichever validator dies meanwhile; what is the
//! infrastructure's fault is no miner's.
//! Deliberately lacks: a leader among validators, and any trust in what agents announce.

pub mod agent;
pub mod authorize;
pub mod connect;
pub mod dial;
pub mod frame;
pub mod link;
pub mod measured;
pub mod metrics;
pub mod names;
pub mod plan;
pub mod presence;
pub mod run;
pub mod schedule;
pub mod store;
pub mod suspects;
pub mod task;
mod together;
mod work;
