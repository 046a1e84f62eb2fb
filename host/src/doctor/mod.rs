//! What of this machine attest can use, what is wrong with it, and how to mend it.
//!
//! ```text
//! gpus      driver, NVML, kernel module, device files, each GPU, findings
//! system    CPU, memory, limits of processes and descriptors, shared memory, clock, container
//! records   the ledger
//! ```
//!
//! Guarantees: every check ends in one line of what was found and, unless all is well, one of
//! what to do; a source that is absent is a fact and no failure; nothing is changed (a ledger
//! on a server gets its tables if it has none).
//! Deliberately lacks: computed work (`attest selftest`) and any judgement of a miner. What
//! developers of kernels need is looked for by `cargo xtask doctor`.

mod gpus;
mod records;
mod system;

pub use gpus::gpus;
pub use records::{ledger_at, no_ledger};
pub use system::system;

use crate::error_text::what_happened;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Display;

/// Version of the JSON form of a [`Report`].
pub const DOCTOR_SCHEMA: u32 = 1;

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All is well.
    Ok,
    /// Worth knowing: something that attest can do without, or do more slowly.
    Note,
    /// Something has to be mended.
    Wrong,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// What was looked at: a stable name, several checks may share it.
    pub name: &'static str,
    /// What it came to.
    pub state: State,
    /// What was found, in a line.
    pub found: String,
    /// What to do; absent if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// All checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// [`DOCTOR_SCHEMA`].
    pub schema: u32,
    /// Whether no check found anything wrong.
    pub healthy: bool,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

impl Report {
    /// Of these checks.
    pub fn of(checks: Vec<Check>) -> Self {
        let healthy = checks.iter().all(|check| check.state != State::Wrong);
        Self { schema: DOCTOR_SCHEMA, healthy, checks }
    }

    /// How many checks came to this.
    pub fn count(&self, state: State) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), advice: None }
    }

    fn note(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Note, found: found.into(), advice: Some(advice.into()) }
    }

    fn wrong(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Wrong, found: found.into(), advice: Some(advice.into()) }
    }

    /// Of an error: its first line, and the second as advice.
    fn of_error(name: &'static str, state: State, error: &impl Display) -> Self {
        let text = error.to_string();
        let advice = text.split_once('\n').map(|(_, advice)| advice.replace('\n', "; "));
        Self { name, state, found: what_happened(&text), advice }
    }
}
