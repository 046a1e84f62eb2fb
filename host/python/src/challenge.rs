//! `attest.challenge`, `attest.Challenge`, `attest.inspect`.

use crate::error::Fault;
use crate::ledger::PyLedger;
use crate::loads;
use crate::policy::PyPolicy;
use crate::verdict::ResultSource;
use attest::inspect as inspecting;
use attest::inspect::{RESULT_BYTES_MAX, Summary};
use attest::mining::issue::{self, Request};
use attest::policy::Target;
use attest::protocol::challenge::{Challenge, TOKEN_BYTES_MAX};
use attest::session::clock::unix_ms;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use std::io::{self, BufRead as _, BufReader, Read as _};

/// A challenge: what a validator asks for.
#[pyclass(frozen, name = "Challenge", module = "attest")]
pub struct PyChallenge {
    /// Within every bound of the protocol.
    pub inner: Challenge,
}

#[pymethods]
impl PyChallenge {
    /// Reads and checks a token.
    #[new]
    fn new(token: &str) -> PyResult<Self> {
        Ok(Self { inner: Challenge::from_token(token).map_err(Fault::from)? })
    }

    /// What the miner is sent.
    #[getter]
    fn token(&self) -> &str {
        self.inner.token()
    }

    /// What identifies it, 64 hex digits.
    #[getter]
    fn digest(&self) -> String {
        self.inner.digest().to_string()
    }

    /// Seconds since 1970 at which it was issued.
    #[getter]
    fn issued_at(&self) -> i64 {
        self.inner.issued_at_unix_s()
    }

    /// Seconds since 1970 at which it expires.
    #[getter]
    fn expires_at(&self) -> i64 {
        self.inner.expires_at_unix_s()
    }

    /// Seconds from sending it to holding the answer: the longest that is accepted.
    #[getter]
    fn time_limit(&self) -> f64 {
        self.inner.limit_ms() as f64 / 1000.0
    }

    /// Bytes that its result has at most.
    #[getter]
    fn result_bytes_max(&self) -> u64 {
        self.inner.result_bytes_max()
    }

    /// Its fields, by their names on the wire.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let json = serde_json::to_string(self.inner.spec()).expect("a challenge has string keys");
        loads(py, &json)
    }

    /// For people.
    fn __repr__(&self) -> String {
        format!("<attest.Challenge {} of {}>", self.inner.digest(), self.inner.work())
    }

    /// The token.
    fn __str__(&self) -> &str {
        self.inner.token()
    }
}

/// A challenge, or the token of one.
#[derive(FromPyObject)]
pub enum TokenOrChallenge<'py> {
    /// Checked already.
    Challenge(Bound<'py, PyChallenge>),
    /// To be checked.
    Token(PyBackedStr),
}

impl TokenOrChallenge<'_> {
    /// The challenge.
    ///
    /// # Errors
    /// An invalid token.
    pub fn resolve(&self) -> Result<Challenge, Fault> {
        Ok(match self {
            Self::Challenge(challenge) => challenge.get().inner.clone(),
            Self::Token(token) => Challenge::from_token(token)?,
        })
    }
}

/// Issues a challenge; `fields` is a JSON object of its fields.
#[expect(clippy::too_many_arguments, reason = "they are the keywords of the Python function")]
#[pyfunction]
#[pyo3(signature = (fields, *, valid_for_s, policy, model, seconds, round, ledger))]
pub fn challenge(
    py: Python<'_>,
    fields: &str,
    valid_for_s: Option<u64>,
    policy: Option<&Bound<'_, PyPolicy>>,
    model: Option<&str>,
    seconds: Option<f64>,
    round: Option<usize>,
    ledger: Option<&Bound<'_, PyLedger>>,
) -> PyResult<PyChallenge> {
    let (policy, ledger) = (policy.map(Bound::get), ledger.map(Bound::get));
    py.detach(|| -> Result<PyChallenge, Fault> {
        let typed: Request = serde_json::from_str(fields)
            .map_err(|error| Fault::challenge("challenge-malformed", not_a_request(&error)))?;
        let typed = Request { valid_for_s, ..typed };
        let request = match (policy, model) {
            (None, None) => typed,
            (Some(policy), Some(model)) => {
                let target = Target { model, seconds, round_trip: None };
                match round {
                    None => policy.inner.request(&target, typed)?,
                    Some(round) => policy.inner.round(round, &target, typed)?.request,
                }
            }
            _ => return Err(Fault::input("policy-without-model", POLICY_AND_MODEL)),
        };
        let inner = issue::issue(&request)?;
        if i128::from(inner.expires_at_unix_s()) * 1000 <= i128::from(unix_ms()) {
            let text = format!(
                "the challenge would have expired already, at {}\nGive a later expiry, or valid_for.",
                inner.spec().expires_at
            );
            return Err(Fault::challenge("challenge-expired", text));
        }
        // On record before anybody can answer it.
        if let Some(ledger) = ledger {
            ledger.inner.issue(&inner, inner.token(), unix_ms())?;
        }
        Ok(PyChallenge { inner })
    })
    .map_err(PyErr::from)
}

const POLICY_AND_MODEL: &str = "a challenge is sized by a policy for a model of GPU, and one of the two is missing\nGive policy and model, or neither.";

fn not_a_request(error: &serde_json::Error) -> String {
    format!("these are not fields of a challenge: {error}\ndocs/protocol.md lists the fields.")
}

/// What a token or a result says.
#[pyfunction]
pub fn inspect<'py>(py: Python<'py>, subject: ResultSource) -> PyResult<Bound<'py, PyAny>> {
    let json = py.detach(|| inspected(&subject)).map_err(PyErr::from)?;
    loads(py, &json)
}

fn inspected(subject: &ResultSource) -> Result<String, Fault> {
    let mut reader = BufReader::new(subject.open()?.take(RESULT_BYTES_MAX));
    let head = reader.fill_buf().map_err(unreadable)?;
    if !head.trim_ascii_start().starts_with(b"{") {
        let mut token = String::new();
        reader.take(TOKEN_BYTES_MAX as u64 + 2).read_to_string(&mut token).map_err(unreadable)?;
        return Ok(inspecting::challenge(&Challenge::from_token(&token)?).to_string());
    }
    let summary = Summary::read(&mut reader);
    if reader.get_ref().limit() == 0 {
        let text = "the result is longer than what is inspected\nVerify it instead.";
        return Err(Fault::input("result-too-long", text));
    }
    let summary = summary.map_err(|error| {
        let text =
            format!("this is not a result: {error}\nGive a token, or what `attest run` wrote.");
        Fault::input("not-a-result", text)
    })?;
    Ok(summary.to_json().to_string())
}

fn unreadable(error: io::Error) -> Fault {
    Fault::input(
        "file-unreadable",
        format!("cannot read it as text: {error}\nGive a token or a result."),
    )
}
