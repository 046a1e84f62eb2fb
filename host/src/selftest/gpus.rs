//! A kernel variant on a GPU, checked on a thread of its own, so that a kernel that
//! does not end is noticed.

use super::Outcome;
use super::check::{Case, Expected};
use super::lanes::LaneExecutors;
use super::suite::{Suite, check_cases};
use super::vectors::{VectorError, VectorFile};
use crate::error_text::in_one_line;
use crate::executor::cpu::CpuVerifier;
use crate::executor::gpu::{
    ExactnessCheck, GpuDevice, GpuExecutor, GpuOptions, PeerAccess, Supervisor, Variant, supervised,
};
use crate::executor::{ExecError, Executor};
use std::sync::Arc;
use std::time::Duration;

/// Checks `variant` on `device`, which may take `patience` longer than its work does
/// on a slow one, on the cases of `suite`.
pub(super) fn check(
    device: &GpuDevice,
    variant: Variant,
    suite: Suite,
    expected: Arc<Vec<Expected>>,
    patience: Duration,
) -> Outcome {
    on_its_thread(device, patience, move |opener| match suite {
        Suite::Products => match opener.product(variant) {
            Ok(gpu) => {
                let mut lanes = LaneExecutors::starting_with(Box::new(gpu), || opener.any(variant));
                let cases = suite.cases_on_gpus().iter().zip(&*expected);
                opener.check(&mut lanes, cases)
            }
            Err(outcome) => outcome,
        },
        Suite::Integer => {
            let mut lanes = LaneExecutors::new(|| opener.any(variant));
            opener.check(&mut lanes, suite.cases_on_gpus().iter().zip(&*expected))
        }
        Suite::Memory => {
            let direct = opener.memory(variant, PeerAccess::IfPossible, &expected, &|_| true);
            match direct {
                // What lanes read of each other comes in another way, too.
                Outcome::Same => opener.memory(variant, PeerAccess::Never, &expected, &|case| {
                    case.work.memory_residency().is_some_and(|work| work.reads_peers())
                }),
                other => other,
            }
        }
    })
}

/// Those of `files` that say something of `variant`: all, or those of integer products if
/// that is what it is about.
pub(super) fn vectors_for(
    variant: Variant,
    files: &[VectorFile],
) -> impl Iterator<Item = &VectorFile> {
    files.iter().filter(move |file| variant.integer.is_none() || file.is_of_integers())
}

/// Checks `variant` on those of `files` that say something of it.
pub(super) fn check_vectors(
    device: &GpuDevice,
    variant: Variant,
    files: Arc<[VectorFile]>,
    patience: Duration,
) -> Outcome {
    on_its_thread(device, patience, move |opener| {
        let mut lanes = LaneExecutors::new(|| opener.any(variant));
        for file in vectors_for(variant, &files) {
            opener.supervisor.set_task(file.name());
            let checked = match file.check(&mut lanes) {
                Err(VectorError::Executor(error)) => Outcome::from(error),
                checked => checked.map(|_| ()).into(),
            };
            match checked {
                Outcome::Same => {}
                Outcome::Differs(what) => {
                    return Outcome::Differs(format!("{}: {what}", file.name()));
                }
                Outcome::Failed(what) => {
                    return Outcome::Failed(format!("{}: {what}", file.name()));
                }
                other => return other,
            }
        }
        Outcome::Same
    })
}

/// Opens executors on a device, under one supervisor.
struct Opener {
    device: u32,
    supervisor: Supervisor,
}

fn on_its_thread(
    device: &GpuDevice,
    patience: Duration,
    check: impl FnOnce(&Opener) -> Outcome + Send + 'static,
) -> Outcome {
    let supervisor = Supervisor::new(patience);
    let opener = Opener { device: device.index, supervisor: supervisor.clone() };
    let work = move |_: &dyn Fn(())| check(&opener);
    match supervised(&supervisor, &device.label(), work, &mut drop) {
        Ok(outcome) => outcome,
        Err(error) => error.into(),
    }
}

impl Opener {
    fn options(&self, variant: Variant) -> GpuOptions {
        GpuOptions {
            variant: Some(variant),
            exactness: ExactnessCheck::Never,
            supervisor: self.supervisor.clone(),
            ..GpuOptions::default()
        }
    }

    /// The device with this variant: every result is compared, whatever the kernels do.
    fn any(&self, variant: Variant) -> Result<Box<dyn Executor>, ExecError> {
        Ok(Box::new(GpuExecutor::open(self.device, self.options(variant))?))
    }

    /// The device with exactly this variant, its tensor cores compared with its
    /// FMA pipe now, if the target has a kernel for both.
    fn product(&self, variant: Variant) -> Result<GpuExecutor, Outcome> {
        let exactness =
            if variant.is_comparable() { ExactnessCheck::Always } else { ExactnessCheck::Never };
        let options = GpuOptions { exactness, ..self.options(variant) };
        let gpu = GpuExecutor::open(self.device, options)
            .map_err(|error| Outcome::Failed(in_one_line(error)))?;
        // A run goes on with the FMA pipe then; here that would hide the fault.
        if gpu.variant() != variant {
            let check = gpu.facts().details.exactness_check.as_deref();
            return Err(Outcome::Differs(check.unwrap_or("another kernel runs").to_owned()));
        }
        Ok(gpu)
    }

    /// Those cases of memory for which `which` holds. Several lanes share the device.
    fn memory(
        &self,
        variant: Variant,
        peer_access: PeerAccess,
        expected: &[Expected],
        which: &dyn Fn(&Case) -> bool,
    ) -> Outcome {
        let options = GpuOptions { peer_access, ..self.options(variant) };
        let open = || Ok(Box::new(GpuExecutor::open(self.device, options.clone())?) as _);
        let mut lanes = LaneExecutors::new(open);
        let all = Suite::Memory.cases_on_gpus().iter().zip(expected);
        self.check(&mut lanes, all.filter(|(case, _)| which(case)))
    }

    fn check<'a>(
        &self,
        lanes: &mut LaneExecutors<'_>,
        cases: impl Iterator<Item = (&'a Case, &'a Expected)>,
    ) -> Outcome {
        let mut name = |case: &Case| self.supervisor.set_task(case.to_string());
        check_cases(lanes, cases, &CpuVerifier::new(), &mut name)
    }
}
