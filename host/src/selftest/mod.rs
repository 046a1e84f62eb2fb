//! Is this machine healthy: does every executor and every kernel variant
//! present give the oracle's bits?
//!
//! Guarantees: every subject goes through the same checker ([`check`]); one
//! differing bit is a difference; what is absent is a row that says so.
//! Deliberately lacks: a tolerance, and speed figures.

pub mod check;
mod replay;
pub mod vectors;

use crate::executor::Executor;
use crate::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier, Simd};
use crate::executor::gpu::{self, GpuExecutor, GpuOptions, Variant};
use crate::protocol::plan::Shape;
use crate::protocol::verify::{Recompute, RecomputeError, RecomputeIteration};
use crate::reference::Oracle;
use crate::session::recompute::ByExecutor;
use check::{Case, CheckError, Expected};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was checked.
    pub subject: String,
    /// On what.
    pub cases: String,
    /// What came out.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: Duration,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every bit as it must be.
    Same,
    /// Not on this machine, and why; not a fault.
    Absent(String),
    /// Differs, and where first.
    Differs(String),
    /// Could not be checked, and why; the machine is not healthy.
    Failed(String),
}

impl Outcome {
    /// Neither a difference nor a failure.
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Same | Self::Absent(_))
    }
}

impl From<Result<(), CheckError>> for Outcome {
    fn from(result: Result<(), CheckError>) -> Self {
        match result {
            Ok(()) => Self::Same,
            Err(CheckError::Differs(difference)) => Self::Differs(difference.to_string()),
            Err(error) => Self::Failed(error.to_string().replace('\n', "; ")),
        }
    }
}

/// Small enough for the scalar oracle: every boundary of tiles, products,
/// iterations and sync points once.
const ORACLE_CASES: [Case; 6] = [
    case(128, 1, 1, 1),
    case(128, 3, 5, 2),
    case(256, 2, 4, 3),
    case(384, 2, 3, 1),
    case(512, 1, 2, 2),
    case(1024, 1, 1, 1),
];

/// For GPUs, against the CPU executor, once that agrees with the oracle.
const GPU_CASES: [Case; 10] = [
    case(128, 1, 1, 1),
    case(128, 5, 9, 4),
    case(256, 3, 7, 3),
    case(384, 2, 5, 5),
    case(512, 4, 4, 1),
    case(640, 1, 3, 2),
    case(768, 3, 2, 2),
    case(896, 2, 2, 1),
    case(1024, 1, 4, 3),
    case(1024, 4, 2, 1),
];

const fn case(dim: u32, products: u32, iterations: u32, sync: u32) -> Case {
    Case { shape: Shape { dim, products }, iterations, sync }
}

/// Runs every check and tells `on_row` of each as it ends. Returns whether all
/// rows are healthy.
pub fn run(vector_files: &[PathBuf], on_row: &mut dyn FnMut(&Row)) -> bool {
    let mut healthy = true;
    let mut row = |subject: &str, cases: &str, check: &mut dyn FnMut() -> Outcome| {
        let start = Instant::now();
        let outcome = check();
        healthy &= outcome.is_healthy();
        let (subject, cases) = (subject.to_owned(), cases.to_owned());
        on_row(&Row { subject, cases, outcome, elapsed: start.elapsed() });
    };

    let oracle = Oracle::new();
    let mut expected = Vec::new();
    row("oracle", "walks the cases' chains", &mut || {
        let walked = ORACLE_CASES.iter().map(|case| {
            case.expect_from(|_, state| {
                Ok::<_, RecomputeError>(oracle.iteration_root(case.shape, state))
            })
        });
        match walked.collect() {
            Ok(walked) => {
                expected = walked;
                Outcome::Same
            }
            Err(RecomputeError(cause)) => Outcome::Failed(cause),
        }
    });
    check_cpu(&expected, &oracle, &mut row);
    check_gpus(&mut row);
    for path in vector_files {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        row(&name, "every field", &mut || vectors_outcome(path));
    }
    healthy
}

type OnCheck<'a> = &'a mut dyn FnMut(&str, &str, &mut dyn FnMut() -> Outcome);

/// "n=128…1024, 6 cases".
fn summary(cases: &[Case]) -> String {
    let dims = cases.iter().map(|case| case.shape.dim);
    let (low, high) = (dims.clone().min().unwrap_or(0), dims.max().unwrap_or(0));
    format!("n={low}…{high}, {} cases", cases.len())
}

fn check_cases(
    executor: &mut dyn Executor,
    cases: &[Case],
    expected: &[Expected],
    oracle: &dyn Recompute,
) -> Outcome {
    for (case, expected) in cases.iter().zip(expected) {
        let outcome = Outcome::from(check::executor(executor, case, expected, oracle));
        match outcome {
            Outcome::Same => {}
            Outcome::Differs(what) => return Outcome::Differs(format!("{case}: {what}")),
            Outcome::Failed(what) => return Outcome::Failed(format!("{case}: {what}")),
            absent @ Outcome::Absent(_) => return absent,
        }
    }
    Outcome::Same
}

fn check_cpu(expected: &[Expected], oracle: &Oracle, row: OnCheck<'_>) {
    let cases = &ORACLE_CASES[..expected.len()];
    for simd in [Simd::Scalar, Simd::Avx2, Simd::Avx512] {
        row(&format!("cpu {simd}"), &summary(cases), &mut || {
            match CpuExecutor::with_simd(simd, CpuOptions::default()) {
                Some(mut cpu) => check_cases(&mut cpu, cases, expected, oracle),
                None => Outcome::Absent("this CPU lacks it".to_owned()),
            }
        });
    }
    row("cpu verifier", &summary(cases), &mut || {
        let verifier = CpuVerifier::new();
        let check = |(case, expected)| check::recomputation(&verifier, case, expected, oracle);
        cases.iter().zip(expected).try_for_each(check).into()
    });
}

fn check_gpus(row: OnCheck<'_>) {
    let devices = match gpu::devices() {
        Ok(devices) => devices,
        Err(no_gpu) => {
            let why = no_gpu.to_string().lines().next().unwrap_or_default().to_owned();
            row("gpu", "", &mut || Outcome::Absent(why.clone()));
            return;
        }
    };
    let mut reference = ByExecutor::new(Box::new(CpuExecutor::new(CpuOptions::default())));
    let mut root_of = |case: &Case| {
        case.expect_from(|i, state| reference.iteration_root(case.shape, i, state))
    };
    let expected: Result<Vec<Expected>, _> = GPU_CASES.iter().map(&mut root_of).collect();
    let verifier = CpuVerifier::new();
    for device in devices {
        for variant in Variant::all_for(device.capability) {
            let subject = format!("{} {variant}", device.label());
            row(&subject, &summary(&GPU_CASES), &mut || {
                let options = GpuOptions { variant: Some(variant), ..GpuOptions::default() };
                match (&expected, GpuExecutor::open(device.index, options)) {
                    (Ok(expected), Ok(mut gpu)) => {
                        check_cases(&mut gpu, &GPU_CASES, expected, &verifier)
                    }
                    (Err(RecomputeError(cause)), _) => Outcome::Failed(cause.clone()),
                    (_, Err(error)) => Outcome::Failed(error.to_string().replace('\n', "; ")),
                }
            });
        }
    }
}
