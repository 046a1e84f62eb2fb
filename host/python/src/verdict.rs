//! `attest.verify` and `attest.Verdict`.

use crate::challenge::TokenOrChallenge;
use crate::error::Fault;
use crate::ledger::PyLedger;
use crate::policy::PyPolicy;
use crate::{loads, pool};
use attest::executor::cpu::CpuVerifier;
use attest::judging::{AsIssuer, End, HandedIn, Known, Terms};
use attest::protocol::bound::OmittedShare;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::result::{ReadError, ResultDoc};
use attest::protocol::verdict::{Outcome, Verdict, Work};
use attest::protocol::verified::Extent;
use attest::protocol::verify::{Failure, Means, RecomputeIteration, verify_with};
use attest::session::clock::unix_ms;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a verification has shown.
#[pyclass(frozen, name = "Verdict", module = "attest")]
pub struct PyVerdict {
    verdict: Verdict,
    notes: Vec<String>,
}

#[pymethods]
impl PyVerdict {
    /// `verified`, `rejected` or `could-not-run`.
    #[getter]
    fn outcome(&self) -> &'static str {
        match self.verdict.outcome {
            Outcome::Verified => "verified",
            Outcome::Rejected => "rejected",
            Outcome::CouldNotRun => "could-not-run",
        }
    }

    /// Whether every check passed, those of the policy included.
    #[getter]
    fn verified(&self) -> bool {
        self.verdict.outcome == Outcome::Verified
    }

    /// Whether the samples were enough to prove the work.
    #[getter]
    fn proven(&self) -> bool {
        self.verdict.work == Work::Proven
    }

    /// The stable code of a rejection.
    #[getter]
    fn code(&self) -> Option<&'static str> {
        self.verdict.code
    }

    /// What was expected and found, or why it could not run.
    #[getter]
    fn detail(&self) -> Option<&str> {
        self.verdict.detail.as_deref()
    }

    /// What the ledger has to say beside it.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// As `attest verify --json` prints it.
    fn to_json(&self) -> String {
        serde_json::to_string(&self.verdict).expect("a verdict has string keys")
    }

    /// The same as a dictionary.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &self.to_json())
    }

    /// As `attest verify` prints it.
    fn __str__(&self) -> String {
        self.verdict.render_text()
    }

    /// For people.
    fn __repr__(&self) -> String {
        let code = self.verdict.code.map(|code| format!(" {code}")).unwrap_or_default();
        format!("<attest.Verdict {}{code}>", self.outcome())
    }
}

/// A result: its bytes, or the file that has them.
#[derive(FromPyObject)]
pub enum ResultSource {
    /// JSON.
    Bytes(PyBackedBytes),
    /// A file of JSON.
    File(PathBuf),
}

impl ResultSource {
    /// Opens it for reading; nothing is read yet.
    ///
    /// # Errors
    /// No such file.
    pub fn open(&self) -> Result<Box<dyn Read + '_>, Fault> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(&**bytes),
            Self::File(path) => {
                Box::new(File::open(path).map_err(|error| unreadable(path, &error))?)
            }
        })
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let name = attest::files::shown_path(path);
    Fault::input("file-unreadable", format!("cannot read {name}: {error}\nCheck the path."))
}

/// Verifies a result; `arrived_unix_s` is unknown if absent.
#[expect(clippy::too_many_arguments, reason = "they are the keywords of the Python function")]
#[pyfunction]
#[pyo3(signature = (result, challenge, *, policy, ledger, arrived_unix_s, elapsed_s, omitted_share, full))]
pub fn verify(
    py: Python<'_>,
    result: ResultSource,
    challenge: TokenOrChallenge<'_>,
    policy: Option<&Bound<'_, PyPolicy>>,
    ledger: Option<&Bound<'_, PyLedger>>,
    arrived_unix_s: Option<i64>,
    elapsed_s: Option<f64>,
    omitted_share: Option<f64>,
    full: bool,
) -> PyResult<PyVerdict> {
    let (policy, ledger) = (policy.map(Bound::get), ledger.map(Bound::get));
    let challenge = challenge.resolve()?;
    py.detach(|| {
        let terms = Terms {
            policy: policy.map(|policy| &policy.inner),
            omitted_share: omitted_share.map(OmittedShare::new).transpose()?,
            ..Terms::default()
        };
        let elapsed = elapsed_s.map(duration).transpose()?;
        let asked = Asked { challenge: &challenge, terms, ledger, arrived_unix_s, elapsed, full };
        pool::of_this_process()?.install(|| asked.verdict(&result))
    })
    .map_err(PyErr::from)
}

fn duration(seconds: f64) -> Result<Duration, Fault> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        let text = format!("elapsed is {seconds}, which is no duration\nGive seconds, 0 or more.");
        Fault::input("elapsed", text)
    })
}

struct Asked<'a> {
    challenge: &'a Challenge,
    terms: Terms<'a>,
    ledger: Option<&'a PyLedger>,
    arrived_unix_s: Option<i64>,
    elapsed: Option<Duration>,
    full: bool,
}

impl Asked<'_> {
    fn verdict(&self, source: &ResultSource) -> Result<PyVerdict, Fault> {
        let result = match source {
            // It is in memory already.
            ResultSource::Bytes(bytes) => {
                ResultDoc::from_bytes(bytes, self.challenge).map_err(ReadError::from)
            }
            ResultSource::File(_) => ResultDoc::read(source.open()?, self.challenge),
        };
        let without_notes = |verdict| Ok(PyVerdict { verdict, notes: Vec::new() });
        let result = match result {
            Ok(result) => result,
            Err(ReadError::Io(error)) => {
                let text = format!("cannot read the result: {error}\nCheck the file.");
                return Err(Fault::input("file-unreadable", text));
            }
            Err(form) => {
                return without_notes(
                    self.terms.verdict(&Err(Failure::from(form)), Known::default()),
                );
            }
        };
        let handed_in = HandedIn {
            challenge: self.challenge,
            result: &result,
            arrival_unix_s: self.arrived_unix_s,
            elapsed: self.elapsed,
            receipt: None,
        };
        let means = |circumstances: &Circumstances<'_>| Ok(self.recomputed(&result, circumstances));
        match self.ledger {
            None => without_notes(self.terms.of_stranger::<Fault>(&handed_in, means)?),
            Some(ledger) => {
                let issuer =
                    AsIssuer { ledger: &*ledger.inner, terms: self.terms, now_unix_ms: unix_ms() };
                let judged = issuer.judge::<Fault>(&handed_in, means)?;
                Ok(PyVerdict { verdict: judged.verdict, notes: judged.notes })
            }
        }
    }

    fn recomputed(&self, result: &ResultDoc, circumstances: &Circumstances<'_>) -> End {
        let (leaves, mut iterations) = (CpuVerifier::new(), CpuVerifier::new());
        let whole = self
            .full
            .then_some((Extent::EveryIteration, &mut iterations as &mut dyn RecomputeIteration));
        let means = Means { recompute: &leaves, whole, progress: &mut |_| () };
        verify_with(self.challenge, result, circumstances, means)
    }
}
