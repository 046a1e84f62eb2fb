//! `attest.Ledger`: a validator's durable memory.

use crate::error::Fault;
use attest::ledger::{self, Ledger, Location};
use pyo3::prelude::*;
use std::sync::Arc;

/// A validator's record of its challenges and their outcomes.
#[pyclass(frozen, name = "Ledger", module = "attest")]
pub struct PyLedger {
    /// What does the work.
    pub inner: Arc<dyn Ledger>,
    location: String,
}

#[pymethods]
impl PyLedger {
    /// Opens the ledger in a file or at postgres://USER@HOST/DATABASE; a file that is
    /// not there is made.
    #[new]
    fn new(py: Python<'_>, location: &str) -> PyResult<Self> {
        py.detach(|| -> Result<Self, Fault> {
            let location = Location::parse(location)?;
            Ok(Self { inner: ledger::open(&location)?, location: location.to_string() })
        })
        .map_err(PyErr::from)
    }

    /// For people; without a password.
    fn __repr__(&self) -> String {
        format!("<attest.Ledger {:?}>", self.location)
    }
}
