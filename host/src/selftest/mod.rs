//! Is this machine healthy: does every executor and every kernel variant
//! present give the oracle's bits?
//!
//! Guarantees: every subject goes through the same checker ([`check`]); one
//! differing bit is a difference; what is absent is a row that says so.
//! Deliberately lacks: a tolerance, and speed figures.

pub mod check;
mod replay;
pub mod stress;
pub mod vectors;

use crate::error_text::{in_one_line, what_happened};
use crate::evidence::present_gpus;
use crate::executor::Executor;
use crate::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier, Simd};
use crate::executor::gpu::{
    ExactnessCheck, GpuDevice, GpuExecutor, GpuOptions, PtxFile, Target, Variant,
};
use crate::protocol::digest::Uuid;
use crate::protocol::plan::Shape;
use crate::protocol::verify::{Recompute, RecomputeError, RecomputeIteration};
use crate::reference::{Oracle, OracleExecutor};
use crate::session::devices::GpuDemand;
use check::{Case, CheckError, Expected};
use gpu_kernels::abi::GEMM_FMA;
use rayon::prelude::*;
use std::cell::OnceCell;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use vectors::{VectorError, VectorFile};

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
            Err(error) => Self::Failed(in_one_line(error)),
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

/// For GPUs, against the CPU executor: whether that agrees with the oracle is told
/// by rows of its own, which [`Options::only`] may leave out.
const GPU_CASES: [Case; 11] = [
    case(128, 1, 1, 1),
    case(128, 5, 9, 4),
    case(128, 513, 2, 1), // more tiles than chain_step takes: a merkle launch
    case(256, 3, 7, 3),
    case(384, 2, 5, 5),
    case(512, 4, 4, 1),
    case(640, 1, 3, 2),
    case(768, 3, 2, 2),
    case(896, 2, 2, 1),
    case(1024, 1, 4, 3),
    case(1024, 4, 2, 1),
];

/// What independent programs say of small challenges; see tests/vectors.
const EMBEDDED_VECTORS: [&[u8]; 4] = [
    include_bytes!("../../../tests/vectors/draws.json"),
    include_bytes!("../../../tests/vectors/odd-tree-384.json"),
    include_bytes!("../../../tests/vectors/one-product.json"),
    include_bytes!("../../../tests/vectors/two-lanes-counters.json"),
];

const fn case(dim: u32, products: u32, iterations: u32, sync: u32) -> Case {
    Case { shape: Shape { dim, products }, iterations, sync }
}

/// What to check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Vector files to check besides executors and variants.
    pub vector_files: Vec<VectorFile>,
    /// PTX files whose kernels are checked like the embedded ones, on every GPU.
    pub ptx_files: Vec<PtxFile>,
    /// Only subjects whose name contains this text, in capitals or not.
    pub only: Option<String>,
    /// Which GPUs are to be checked.
    pub gpus: GpuDemand,
}

/// What all rows say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Something was checked, and every row is healthy.
    Healthy,
    /// Some row is not.
    Faulty,
    /// There was no row, or only rows of what is absent: nothing was checked.
    NothingChecked,
}

/// Runs the checks and tells `on_row` of each as it ends.
pub fn run(options: &Options, on_row: &mut dyn FnMut(&Row)) -> Health {
    let mut health = Health::NothingChecked;
    let only = options.only.as_ref().map(|only| only.to_lowercase());
    let mut row = |subject: &str, cases: &str, check: &mut dyn FnMut() -> Outcome| {
        if only.as_ref().is_some_and(|only| !subject.to_lowercase().contains(only)) {
            return;
        }
        let start = Instant::now();
        let outcome = check();
        health = match (health, &outcome) {
            (Health::Faulty, _) | (_, Outcome::Differs(_) | Outcome::Failed(_)) => Health::Faulty,
            (health, Outcome::Absent(_)) => health,
            (_, Outcome::Same) => Health::Healthy,
        };
        let (subject, cases) = (subject.to_owned(), cases.to_owned());
        on_row(&Row { subject, cases, outcome, elapsed: start.elapsed() });
    };
    check_cpu(&mut row);
    check_gpus(options.gpus, &options.ptx_files, &mut row);
    for file in &options.vector_files {
        row(file.name(), "every field", &mut || {
            let mut cpu = CpuExecutor::new(CpuOptions::default());
            file.check(&mut cpu).map(|_| ()).into()
        });
    }
    health
}

/// Subject, cases, and the check, which is called unless the subject is left out.
type OnCheck<'a> = &'a mut dyn FnMut(&str, &str, &mut dyn FnMut() -> Outcome);

/// What the oracle, scalar as it is, makes of its cases; on all cores at least.
fn walk_by_oracle() -> Vec<Expected> {
    let walk = |case: &Case| {
        case.expect_from(|_, state| Ok::<_, Infallible>(Oracle.iteration_root(case.shape, state)))
    };
    ORACLE_CASES
        .par_iter()
        .with_max_len(1)
        .map(|case| walk(case).unwrap_or_else(|never| match never {}))
        .collect()
}

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

fn check_cpu(row: OnCheck<'_>) {
    let cases = &ORACLE_CASES;
    let expected = OnceCell::new();
    let expected = || expected.get_or_init(walk_by_oracle);
    row("oracle", "vectors of independent programs", &mut || {
        // Here rather than in the next row, whose time it would seem to be.
        expected();
        let mut oracle = OracleExecutor::new(Uuid([7; 16]));
        let check = |json: &&[u8]| vectors::check_json(json, &mut oracle).map(|_| ());
        EMBEDDED_VECTORS.iter().try_for_each(check).into()
    });
    for simd in [Simd::Scalar, Simd::Avx2, Simd::Avx512] {
        row(&format!("cpu {simd}"), &summary(cases), &mut || match CpuExecutor::with_simd(
            simd,
            CpuOptions::default(),
        ) {
            Some(mut cpu) => check_cases(&mut cpu, cases, expected(), &Oracle),
            None => Outcome::Absent("this CPU lacks it".to_owned()),
        });
    }
    row("cpu verifier", &summary(cases), &mut || {
        let verifier = CpuVerifier::new();
        let check = |(case, expected)| check::recomputation(&verifier, case, expected, &Oracle);
        cases.iter().zip(expected()).try_for_each(check).into()
    });
}

fn check_gpus(demand: GpuDemand, ptx_files: &[PtxFile], row: OnCheck<'_>) {
    let listed = match demand {
        GpuDemand::Present(rules) => {
            let listed = present_gpus();
            if let Err(too_few) = rules.check_count(listed.as_ref()) {
                row("gpu count", "", &mut || Outcome::Failed(in_one_line(&too_few)));
            }
            listed.map_err(|no_gpu| match no_gpu.is_absence() {
                true => Outcome::Absent(what_happened(&no_gpu)),
                false => Outcome::Failed(in_one_line(&no_gpu)),
            })
        }
        GpuDemand::None => Err(Outcome::Absent("not asked for".to_owned())),
    };
    let list = match listed {
        Ok(list) => list,
        Err(outcome) => {
            row("gpu", "", &mut || outcome.clone());
            // These were asked for.
            for file in ptx_files {
                row(file.name(), "", &mut || Outcome::Failed("no GPU to check it on".to_owned()));
            }
            return;
        }
    };
    if let Some(missing) = &list.missing {
        row("gpu missing", "", &mut || Outcome::Failed(in_one_line(missing)));
    }
    let expected = OnceCell::new();
    let expected = || expected.get_or_init(walk_by_cpu).as_ref();
    let verifier = CpuVerifier::new();
    for broken in &list.broken {
        let why = || Outcome::Failed(in_one_line(&broken.error));
        row(&format!("GPU {}", broken.index), "", &mut || why());
    }
    for device in list.devices {
        let files = ptx_files.iter().flat_map(|&file| Variant::all_of(Target::File(file)));
        for variant in Variant::all_for(device.capability).into_iter().chain(files) {
            let subject = format!("{} {variant}", device.label());
            row(&subject, &summary(&GPU_CASES), &mut || {
                let expected = match expected() {
                    Ok(expected) => expected,
                    Err(RecomputeError(cause)) => return Outcome::Failed(cause.clone()),
                };
                match open(&device, variant) {
                    Ok(mut gpu) => check_cases(&mut gpu, &GPU_CASES, expected, &verifier),
                    Err(outcome) => outcome,
                }
            });
        }
    }
}

/// The device with exactly this variant, its tensor cores compared with its
/// FMA pipe now, where the target has a kernel for both.
fn open(device: &GpuDevice, variant: Variant) -> Result<GpuExecutor, Outcome> {
    let both = variant.target.gemms().contains(&GEMM_FMA);
    let exactness = if both { ExactnessCheck::Always } else { ExactnessCheck::Never };
    let options = GpuOptions { variant: Some(variant), exactness, ..GpuOptions::default() };
    let gpu = GpuExecutor::open(device.index, options)
        .map_err(|error| Outcome::Failed(in_one_line(error)))?;
    // A run goes on with the FMA pipe then; here that would hide the fault.
    if gpu.variant() != variant {
        let check = gpu.facts().more.get("exactness_check").and_then(|text| text.as_str());
        return Err(Outcome::Differs(check.unwrap_or("another kernel runs").to_owned()));
    }
    Ok(gpu)
}

fn walk_by_cpu() -> Result<Vec<Expected>, RecomputeError> {
    let mut cpu = CpuVerifier::new();
    let walk = |case: &Case| case.expect_from(|i, state| cpu.iteration_root(case.shape, i, state));
    GPU_CASES.iter().map(walk).collect()
}

impl From<Result<(), VectorError>> for Outcome {
    fn from(result: Result<(), VectorError>) -> Self {
        match result {
            Ok(()) => Self::Same,
            Err(error @ (VectorError::Mismatch { .. } | VectorError::Verify(_))) => {
                Self::Differs(what_happened(error))
            }
            Err(error) => Self::Failed(what_happened(error)),
        }
    }
}
