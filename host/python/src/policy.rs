//! `attest.Policy`: what a validator demands beyond the protocol.

use crate::error::Fault;
use crate::loads;
use attest::files::Source;
use attest::policy::{POLICY_BYTES_MAX, Policy};
use pyo3::prelude::*;
use std::path::PathBuf;

/// What a validator demands of a result beyond the protocol.
#[pyclass(frozen, name = "Policy", module = "attest")]
pub struct PyPolicy {
    /// As it was read.
    pub inner: Policy,
}

#[pymethods]
impl PyPolicy {
    /// Reads a policy from TOML; fields that are left out have their defaults.
    #[new]
    #[pyo3(signature = (toml = "", /))]
    fn new(toml: &str) -> PyResult<Self> {
        Ok(Self { inner: Policy::from_toml(toml, "the policy").map_err(Fault::from)? })
    }

    /// Reads a policy from a TOML file.
    #[staticmethod]
    fn from_file(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| -> Result<Self, Fault> {
            let source = Source::File(path);
            let text = source.read_text(POLICY_BYTES_MAX as u64)?;
            Ok(Self { inner: Policy::from_toml(&text, &source.name())? })
        })
        .map_err(PyErr::from)
    }

    /// The default policy as TOML, every field with its comment.
    #[staticmethod]
    fn template() -> String {
        Policy::template()
    }

    /// What verdicts call it.
    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    /// Policies that demand the same have the same digest.
    #[getter]
    fn digest(&self) -> String {
        self.inner.digest().to_string()
    }

    /// Every field's value.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let json = serde_json::to_string(&self.inner).expect("a policy has string keys");
        loads(py, &json)
    }

    /// For people.
    fn __repr__(&self) -> String {
        format!("<attest.Policy {:?} {}>", self.inner.name, self.inner.digest())
    }
}
