//! The GPU's part: which kernels are measured on which work, and what the
//! figures say beside the device's ceilings and its theoretical floor.

use super::work::Work;
use crate::executor::ExecError;
use crate::executor::gpu::bench::{BenchReport, Ceiling, Subject, Total, Turns};
use crate::executor::gpu::{DeviceList, GpuDevice, Target, Variant, driver_version};
use crate::session::devices::GpuDemand;
use gpu_kernels::abi::{GemmKernel, PEAK_FMA, PEAK_M8N8K4, PEAK_M16N8K16};
use serde::Serialize;
use std::path::PathBuf;

/// Multiply-adds of an SM in one clock cycle, the most that any has had in FP64.
const FMA_PER_CLOCK: f64 = 128.0;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of the device.
    pub device: u32,
    /// Which GPUs there must be.
    pub gpus: GpuDemand,
    /// Shapes and totals, in order.
    pub work: Vec<Work>,
    /// Turns of each side.
    pub turns: Turns,
    /// Embedded kernels; none: those that a run would try, in order.
    pub variants: Vec<Variant>,
    /// Targets besides the embedded ones; every product kernel of theirs.
    pub files: Vec<Target>,
    /// Where cuBLAS is; `None`: where the dynamic loader finds it.
    pub cublas: Option<PathBuf>,
}

/// What a device can do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceReport {
    /// Which.
    pub device: DeviceFacts,
    /// Turns of each side.
    pub turns: u32,
    /// Least length of a turn, s.
    pub turn_s: f64,
    /// Why power and clock were not sampled; absent where they were.
    pub no_telemetry: Option<String>,
    /// Each unit by itself, per target.
    pub ceilings: Vec<TargetCeilings>,
    /// Sustained speeds: every variant on every shape.
    pub rows: Vec<Row>,
    /// Totals: every variant on every number of iterations.
    pub totals: Vec<Total>,
    /// What could not be measured.
    pub failed: Vec<Failed>,
}

/// The device that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceFacts {
    /// Its number.
    pub index: u32,
    /// Name, such as "NVIDIA H200".
    pub name: String,
    /// Compute capability.
    pub compute_capability: String,
    /// SMs.
    pub sm_count: u32,
    /// Highest SM clock, kHz.
    pub clock_khz: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// The kernel driver's version.
    pub driver_version: String,
    /// What no honest device outruns, TFLOP/s: see [`floor_tflops`].
    pub floor_tflops: f64,
}

/// Ceilings by the kernels of one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetCeilings {
    /// "sm_90a", or a file's name.
    pub target: String,
    /// Each.
    pub ceilings: Vec<Ceiling>,
}

/// One variant on one shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    #[serde(flatten)]
    pub report: BenchReport,
    /// σ: attested time ÷ the floor's.
    pub sigma: f64,
    /// attested ÷ the ceiling of the unit that multiplies.
    pub attested_to_ceiling: Option<f64>,
    /// bare ÷ that ceiling.
    pub bare_to_ceiling: Option<f64>,
    /// Share of an iteration that the tree and the chain's step take.
    pub tail_share: f64,
}

/// Something that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Variant, and what it was to do.
    pub what: String,
    /// Why not.
    pub reason: String,
}

/// The floor: SMs × 128 multiply-adds a clock × 2 × the highest clock, TFLOP/s.
/// n³·m multiply-adds at that rate take the least time that any device of so
/// many SMs could need; the time actually needed over it is σ.
pub fn floor_tflops(sm_count: u32, clock_khz: u32) -> f64 {
    f64::from(sm_count) * FMA_PER_CLOCK * 2.0 * f64::from(clock_khz) * 1e3 / 1e12
}

/// Measures every variant on all work.
///
/// # Errors
/// No such device. What fails later is in the report.
pub(super) fn measure(
    list: &DeviceList,
    options: &Options,
    on_step: &mut dyn FnMut(&str),
) -> Result<DeviceReport, ExecError> {
    let device = list.get(options.device)?;
    let mut report = DeviceReport {
        device: facts(device),
        turns: options.turns.count,
        turn_s: options.turns.length.as_secs_f64(),
        no_telemetry: None,
        ceilings: Vec::new(),
        rows: Vec::new(),
        totals: Vec::new(),
        failed: Vec::new(),
    };
    for variant in variants(options, device) {
        // One after the other: each has the device's memory for itself.
        on_step(&format!("{variant}: loading"));
        match Subject::open(device.index, Some(variant)) {
            Ok(mut subject) => {
                report.no_telemetry = subject.no_telemetry().map(str::to_owned);
                measure_one(&mut subject, variant, options, &mut report, on_step);
            }
            Err(error) => report.fail(variant.to_string(), &error),
        }
    }
    // Afterwards, when all ceilings are known.
    for row in &mut report.rows {
        let ceiling = ceiling_of(&report.ceilings, &row.report.variant);
        row.attested_to_ceiling = ceiling.map(|c| row.report.attested.median_tflops / c);
        row.bare_to_ceiling = ceiling.map(|c| row.report.bare.median_tflops / c);
    }
    Ok(report)
}

/// Those asked for, or those that a run would try; then the files'.
fn variants(options: &Options, device: &GpuDevice) -> Vec<Variant> {
    let mut variants = if options.variants.is_empty() {
        Variant::candidates(device.capability)
    } else {
        options.variants.clone()
    };
    variants.extend(options.files.iter().copied().flat_map(Variant::all_of));
    variants
}

fn measure_one(
    subject: &mut Subject,
    variant: Variant,
    options: &Options,
    report: &mut DeviceReport,
    on_step: &mut dyn FnMut(&str),
) {
    let target = variant.target.name();
    // The first target that loads has every unit's; a file has its own.
    let file = matches!(variant.target, Target::File(_));
    let known = report.ceilings.iter().any(|known| known.target == target);
    if report.ceilings.is_empty() || (file && !known) {
        on_step(&format!("{target}: ceilings"));
        match subject.ceilings(options.turns) {
            Ok(ceilings) => {
                report.ceilings.push(TargetCeilings { target: target.to_owned(), ceilings });
            }
            Err(error) => report.fail(format!("{target}: ceilings"), &error),
        }
    }
    for &work in &options.work {
        let what = format!("{variant}: {work}");
        on_step(&what);
        let measured = match work {
            Work::Sustained(shape) => subject
                .sustained(shape, options.turns, options.cublas.as_deref())
                .map(|found| report.rows.push(row(found, report.device.floor_tflops))),
            Work::Total(shape, iterations) => subject
                .total(shape, iterations, options.turns.count)
                .map(|total| report.totals.push(total)),
        };
        if let Err(error) = measured {
            report.fail(what, &error);
        }
    }
}

impl DeviceReport {
    fn fail(&mut self, what: String, error: &ExecError) {
        self.failed.push(Failed { what, reason: error.to_string() });
    }
}

fn facts(device: &GpuDevice) -> DeviceFacts {
    DeviceFacts {
        index: device.index,
        name: device.name.clone(),
        compute_capability: device.capability.to_string(),
        sm_count: device.sm_count,
        clock_khz: device.clock_khz,
        memory_bytes: device.memory_bytes,
        driver_version: driver_version(),
        floor_tflops: floor_tflops(device.sm_count, device.clock_khz),
    }
}

fn row(report: BenchReport, floor_tflops: f64) -> Row {
    Row {
        sigma: floor_tflops / report.attested.median_tflops,
        attested_to_ceiling: None,
        bare_to_ceiling: None,
        tail_share: report.phases.tail_share(),
        report,
    }
}

/// The ceiling kernel of the unit that a product kernel uses.
fn peak_of(gemm: &str) -> Option<&'static str> {
    use gpu_kernels::abi::{GEMM_FMA, GEMM_M8N8K4, GEMM_M16N8K16};
    let pairs: [(GemmKernel, &str); 3] = [
        (GEMM_FMA, PEAK_FMA.name),
        (GEMM_M8N8K4, PEAK_M8N8K4.name),
        (GEMM_M16N8K16, PEAK_M16N8K16.name),
    ];
    pairs.into_iter().find(|(kernel, _)| kernel.name == gemm).map(|(_, peak)| peak)
}

/// The ceiling of a variant's unit, TFLOP/s: that of its own target where it
/// was measured, else any.
fn ceiling_of(ceilings: &[TargetCeilings], variant: &str) -> Option<f64> {
    let (target, gemm) = variant.rsplit_once('/')?;
    let peak = peak_of(gemm)?;
    let find = |of: &TargetCeilings| {
        of.ceilings.iter().find(|ceiling| ceiling.kernel == peak).map(|ceiling| ceiling.median)
    };
    let own = ceilings.iter().filter(|of| of.target == target).find_map(find);
    own.or_else(|| ceilings.iter().find_map(find))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_of_an_h200() {
        // 132 SMs at 1.98 GHz.
        assert!((floor_tflops(132, 1_980_000) - 66.9).abs() < 0.01);
    }

    #[test]
    fn a_ceiling_is_the_unit_s_own_and_of_the_same_target_first() {
        let ceiling = |kernel: &str, median| Ceiling {
            kernel: kernel.to_owned(),
            unit: "TFLOP/s",
            turns: vec![median],
            median,
            conditions: None,
        };
        let of = |target: &str, ceilings| TargetCeilings { target: target.to_owned(), ceilings };
        let all = [
            of("sm_90a", vec![ceiling("peak_fma", 31.0), ceiling("peak_m16n8k16", 66.0)]),
            of("a/b.ptx", vec![ceiling("peak_fma", 30.0)]),
        ];
        assert_eq!(ceiling_of(&all, "sm_90a/gemm_m16n8k16"), Some(66.0));
        assert_eq!(ceiling_of(&all, "portable/gemm_fma"), Some(31.0), "of another target");
        assert_eq!(ceiling_of(&all, "a/b.ptx/gemm_fma"), Some(30.0), "a path has slashes");
        assert_eq!(ceiling_of(&all, "sm_80/gemm_m8n8k4"), None);
        assert_eq!(ceiling_of(&all, "nonsense"), None);
    }
}
