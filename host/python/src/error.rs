//! Errors as Python's exceptions: a class, a stable code, what happened, what to try.
//!
//! The classes are Python's (`attest/_errors.py`), so that they can be pickled and
//! documented there.

use attest::judging::BeforeIssue;
use attest::ledger::LedgerError;
use attest::mining::issue::IssueError;
use attest::mining::kind::KindError;
use attest::policy::{PolicyError, SizeError};
use attest::protocol::bound::ShareError;
use attest::protocol::challenge::ChallengeError;
use pyo3::prelude::*;
use pyo3::types::PyModule;
use std::fmt::Display;

/// An exception of the package, before it is raised.
#[derive(Debug)]
pub struct Fault {
    /// The class in `attest._errors`.
    class: &'static str,
    code: &'static str,
    /// Two lines: what happened, what to try.
    text: String,
}

impl Fault {
    /// Of a call's arguments, or of what they name.
    pub fn input(code: &'static str, text: impl Display) -> Self {
        Self { class: "InputError", code, text: text.to_string() }
    }

    /// Of a challenge.
    pub fn challenge(code: &'static str, text: impl Display) -> Self {
        Self { class: "ChallengeError", code, text: text.to_string() }
    }
}

impl From<ChallengeError> for Fault {
    fn from(error: ChallengeError) -> Self {
        Self::challenge(error.code(), error)
    }
}

impl From<KindError> for Fault {
    fn from(error: KindError) -> Self {
        match error {
            KindError::Unknown(error) => error.into(),
            _ => Self::challenge("challenge-kind", error),
        }
    }
}

impl From<IssueError> for Fault {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Invalid(error) => error.into(),
            IssueError::Kind(error) => error.into(),
            IssueError::Time => Self::challenge("challenge-time", error),
            IssueError::Random(_) => Self::input("no-random-bytes", error),
        }
    }
}

impl From<SizeError> for Fault {
    fn from(error: SizeError) -> Self {
        match error {
            SizeError::Invalid(error) => error.into(),
            SizeError::Kind(error) => error.into(),
            _ => Self::challenge("challenge-not-sized", error),
        }
    }
}

impl From<PolicyError> for Fault {
    fn from(error: PolicyError) -> Self {
        Self { class: "PolicyError", code: "policy-invalid", text: error.to_string() }
    }
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        Self { class: "LedgerError", code: error.code(), text: error.to_string() }
    }
}

impl From<BeforeIssue> for Fault {
    fn from(error: BeforeIssue) -> Self {
        Self::input("arrival-before-issue", error)
    }
}

impl From<ShareError> for Fault {
    fn from(error: ShareError) -> Self {
        Self::input("omitted-share", error)
    }
}

impl From<attest::files::ReadError> for Fault {
    fn from(error: attest::files::ReadError) -> Self {
        Self::input("file-unreadable", error)
    }
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        Python::attach(|py| {
            let (what, advice) = fault.text.split_once('\n').unwrap_or((&fault.text, ""));
            let raised = PyModule::import(py, "attest._errors")
                .and_then(|module| module.getattr(fault.class))
                .and_then(|class| class.call1((fault.code, what, advice)));
            raised.map_or_else(|error| error, Self::from_value)
        })
    }
}
