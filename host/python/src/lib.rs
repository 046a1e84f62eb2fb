//! The native half of the Python package `attest`: issuing challenges, verifying
//! results, policies, ledgers.
//!
//! Guarantees: while work is verified and while a ledger waits, other Python threads
//! run; each exception has a stable code; a process that was forked after a verification
//! can verify, too.
//! Deliberately lacks: rules of its own, and GPUs. What is decided is decided by the
//! crate `attest`, as for the program; results are recomputed on the CPU.

mod challenge;
mod error;
mod ledger;
mod policy;
mod pool;
mod verdict;

use pyo3::prelude::*;
use pyo3::types::PyModule;

/// JSON as Python's own `json` reads it.
fn loads<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    PyModule::import(py, "json")?.call_method1("loads", (json,))
}

/// The module `attest._attest`.
#[pymodule(gil_used = false)]
mod _attest {
    #[pymodule_export]
    use super::challenge::{PyChallenge, challenge, inspect};
    #[pymodule_export]
    use super::ledger::PyLedger;
    #[pymodule_export]
    use super::policy::PyPolicy;
    #[pymodule_export]
    use super::verdict::{PyVerdict, verify};
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "as Python writes it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
