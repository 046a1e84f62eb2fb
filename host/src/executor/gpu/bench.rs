//! Measuring on a device: ceilings of its units, the attested loop, the bare
//! product and cuBLAS, taking turns in one process so that all work under the
//! same sustained load, and the time of each phase by events.
//!
//! ```text
//! turns      one side's work, as long as asked      ceilings   each unit by itself
//! baseline   cuBLAS; int8_baseline cuBLASLt          telemetry  power and clock meanwhile
//! phases     fill, product, tail
//! total      a challenge's iterations in seconds    report     what came out
//! memory     sweeps and half-passes beside reads and copies
//! integer    integer products beside cuBLASLt
//! ```
//!
//! An attested turn is [`Executor::run`] as a challenge runs it: fill,
//! product, every output hashed, tree, chain step, SM counters, roots to the
//! host. All figures count 2·m·n³ FLOP an iteration.
//!
//! Guarantees: nothing is timed whose bits differ from the FMA pipe's, where
//! the module has its kernel to compare with.

mod baseline;
mod ceilings;
mod int8_baseline;
mod integer;
mod memory;
mod phases;
mod report;
mod telemetry;
mod total;
mod turns;

pub use ceilings::Ceiling;
pub use integer::{IntegerReport, Operations};
pub use memory::{MemoryReport, Rates};
pub use phases::Phases;
pub use report::{BenchReport, Side, median};
pub use telemetry::{Conditions, Telemetry, Window};
pub use total::Total;

use super::executor::{ExactnessCheck, GpuExecutor, GpuOptions};
use super::supervisor::Supervisor;
use super::variant::Variant;
use crate::executor::{ExecError, Executor};
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::work::integer_product::IntegerProduct;
use crate::protocol::work::memory_residency::{HALF_PASSES_DEFAULT, MemoryResidency};
use baseline::Baseline;
use std::path::Path;
use std::time::{Duration, Instant};
use turns::{HostLoad, Log, Pace, attested, bare};

/// How often, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// Turns of each side; the median counts.
    pub count: u32,
    /// Least length of a turn.
    pub length: Duration,
}

/// A device with the kernels to be measured.
#[derive(Debug)]
pub struct Subject {
    executor: GpuExecutor,
    telemetry: Telemetry,
}

impl Subject {
    /// Opens device `device`, loads `variant` (`None`: the fastest that
    /// loads) and compares its bits with the FMA pipe's. `supervisor` is told what
    /// the device is asked for.
    ///
    /// # Errors
    /// Kernels that do not load or give other bits; device faults.
    pub fn open(
        device: u32,
        variant: Option<Variant>,
        supervisor: Supervisor,
    ) -> Result<Self, ExecError> {
        // A file may lack the kernel to compare with; selftest has others.
        let comparable = variant.is_none_or(Variant::is_comparable);
        let exactness = if comparable { ExactnessCheck::Always } else { ExactnessCheck::Never };
        let options = GpuOptions { variant, exactness, supervisor, ..GpuOptions::default() };
        let executor = GpuExecutor::open(device, options)?;
        if let Some(wanted) = variant
            && wanted != executor.variant()
        {
            let check = executor.facts().details.exactness_check.as_deref();
            let cause = check.unwrap_or("another kernel runs");
            return Err(ExecError::Device {
                what: format!("comparing the bits of {wanted}"),
                device: executor.device().label(),
                cause: cause.to_owned(),
                advice: "run attest selftest: a kernel that is wrong has no speed".to_owned(),
            });
        }
        let telemetry = Telemetry::start(&executor.device().pci_id);
        Ok(Self { executor, telemetry })
    }

    /// The kernels that run, such as "sm_90a/gemm_m16n8k16".
    pub fn variant(&self) -> Variant {
        self.executor.variant()
    }

    /// Why power and clock are not sampled; `None` if they are.
    pub fn no_telemetry(&self) -> Option<&str> {
        self.telemetry.absent()
    }

    /// Every ceiling kernel that is compiled with these kernels, and `fill`.
    ///
    /// # Errors
    /// Device faults.
    pub fn ceilings(&mut self, turns: Turns) -> Result<Vec<Ceiling>, ExecError> {
        ceilings::ceilings(&mut self.executor, turns, &self.telemetry)
    }

    /// Memory residency with an arena of `share` (0 … 1) of the device's memory, p = 12,
    /// beside plain reads and copies.
    ///
    /// # Errors
    /// Device faults, or an arena that does not fit.
    pub fn memory(&mut self, share: f64, turns: Turns) -> Result<MemoryReport, ExecError> {
        let Self { executor, telemetry } = self;
        let arena_blocks = memory::blocks_of_share(executor.device().memory_bytes, share);
        let half_passes = HALF_PASSES_DEFAULT;
        let work = MemoryResidency { arena_blocks, half_passes, peer_blocks: 0 };
        memory::memory(executor, telemetry, work, turns)
    }

    /// Integer products: the attested loop, cuBLASLt (from `cublas_lt`, or where the
    /// dynamic loader finds it) and the bare product in alternating turns; then the
    /// phases.
    ///
    /// # Errors
    /// Device faults, or a shape that does not fit.
    pub fn integers(
        &mut self,
        shape: IntegerProduct,
        turns: Turns,
        cublas_lt: Option<&Path>,
    ) -> Result<IntegerReport, ExecError> {
        let Self { executor, telemetry } = self;
        integer::integers(executor, telemetry, shape, turns, cublas_lt)
    }

    /// `iterations` iterations of `shape` once to warm up and then `runs` times.
    ///
    /// # Errors
    /// Device faults, or a shape that does not fit.
    pub fn total(
        &mut self,
        shape: Fp64Product,
        iterations: u32,
        runs: u32,
    ) -> Result<Total, ExecError> {
        total::total(self, shape, iterations, runs)
    }

    /// The attested loop, cuBLAS (from `cublas`, or where the dynamic loader
    /// finds it) and the bare product in alternating turns; then the phases.
    ///
    /// # Errors
    /// Device faults, or a shape that does not fit.
    pub fn sustained(
        &mut self,
        shape: Fp64Product,
        turns: Turns,
        cublas: Option<&Path>,
    ) -> Result<BenchReport, ExecError> {
        let Self { executor, telemetry } = self;
        executor.begin(&shape.into())?;
        let device_bytes = executor.plan().map_or(0, |plan| plan.bytes.on_device());
        let supervisor = executor.supervisor().clone();
        let _doing = supervisor.begin("a warm-up");
        let mut baseline = Baseline::load(executor, cublas);
        // Everything once, to compile, to warm up, and to know how long a turn is.
        let warm = Duration::from_millis(300).min(turns.length);
        let mut pace = Pace::default();
        attested(executor, shape.multiply_adds(), warm, &mut pace)?;
        bare(executor, warm)?;
        if let Ok(cublas) = &baseline
            && let Err(reason) = cublas.turn(executor, warm)?
        {
            baseline = Err(reason);
        }

        let _doing = supervisor.begin("a turn");
        // What is measured runs as in a challenge. Every kernel has run once.
        let _unmarked = supervisor.without_marks();
        let mut logs: [Log; 3] = Default::default();
        let mut cores = Vec::new();
        for _ in 0..turns.count.max(1) {
            let (start, load) = (Instant::now(), HostLoad::start(telemetry));
            let speed = attested(executor, shape.multiply_adds(), turns.length, &mut pace)?;
            logs[0].keep(start, speed);
            cores.extend(load.cores(telemetry));
            if let Ok(cublas) = &baseline {
                let start = Instant::now();
                match cublas.turn(executor, turns.length)? {
                    Ok(speed) => logs[1].keep(start, speed),
                    Err(reason) => baseline = Err(reason),
                }
            }
            let start = Instant::now();
            logs[2].keep(start, bare(executor, turns.length)?);
        }
        let phases = phases::phases(executor)?;
        let [attested, cublas, bare] = logs.map(|log| log.side(telemetry));
        let cublas_version = baseline.as_ref().map_or(0, Baseline::version);
        let cublas = baseline.map(|_| cublas);
        let ratio = |side: &Side| {
            cublas.as_ref().ok().map(|cublas| side.median_tflops / cublas.median_tflops)
        };
        Ok(BenchReport {
            device: executor.device().label(),
            variant: executor.variant().to_string(),
            dim: shape.dim,
            products: shape.products,
            device_bytes,
            attested_to_cublas: ratio(&attested),
            bare_to_cublas: ratio(&bare),
            attested,
            bare,
            cublas,
            cublas_version,
            phases,
            host_cores: median(cores),
        })
    }
}
