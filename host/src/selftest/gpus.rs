//! A kernel variant on a GPU, checked on a thread of its own, so that a kernel that
//! does not end is noticed.

use super::Outcome;
use super::check::{Case, Expected};
use super::plan::{case, check_cases};
use crate::error_text::in_one_line;
use crate::executor::Executor as _;
use crate::executor::cpu::CpuVerifier;
use crate::executor::gpu::{
    ExactnessCheck, GpuDevice, GpuExecutor, GpuOptions, Supervisor, Variant, supervised,
};
use crate::protocol::verify::{RecomputeError, RecomputeIteration as _};
use std::sync::Arc;
use std::time::Duration;

/// For GPUs, against the CPU executor: whether that agrees with the oracle is told
/// by rows of its own, which [`super::Options::only`] may leave out.
pub(super) const GPU_CASES: [Case; 11] = [
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

/// Checks `variant` on `device`, which may take `patience` longer than its work does
/// on a slow one.
pub(super) fn check(
    device: &GpuDevice,
    variant: Variant,
    expected: Arc<Vec<Expected>>,
    patience: Duration,
) -> Outcome {
    let supervisor = Supervisor::new(patience);
    let (own, on) = (supervisor.clone(), device.clone());
    let work = move |_: &dyn Fn(())| match open(&on, variant, own.clone()) {
        Ok(mut gpu) => {
            let mut name = |case: &Case| own.set_task(case.to_string());
            check_cases(&mut gpu, &GPU_CASES, &expected, &CpuVerifier::new(), &mut name)
        }
        Err(outcome) => outcome,
    };
    match supervised(&supervisor, &device.label(), work, &mut drop) {
        Ok(outcome) => outcome,
        Err(error) => error.into(),
    }
}

/// The device with exactly this variant, its tensor cores compared with its
/// FMA pipe now, if the target has a kernel for both.
fn open(
    device: &GpuDevice,
    variant: Variant,
    supervisor: Supervisor,
) -> Result<GpuExecutor, Outcome> {
    let exactness =
        if variant.is_comparable() { ExactnessCheck::Always } else { ExactnessCheck::Never };
    let options =
        GpuOptions { variant: Some(variant), exactness, supervisor, ..GpuOptions::default() };
    let gpu = GpuExecutor::open(device.index, options)
        .map_err(|error| Outcome::Failed(in_one_line(error)))?;
    // A run goes on with the FMA pipe then; here that would hide the fault.
    if gpu.variant() != variant {
        let check = gpu.facts().details.exactness_check.as_deref();
        return Err(Outcome::Differs(check.unwrap_or("another kernel runs").to_owned()));
    }
    Ok(gpu)
}

/// What the CPU makes of the cases.
pub(super) fn walk_by_cpu() -> Result<Vec<Expected>, RecomputeError> {
    let mut cpu = CpuVerifier::new();
    let walk = |case: &Case| case.expect_from(|run, at| cpu.iteration_root(run, at));
    GPU_CASES.iter().map(walk).collect()
}
