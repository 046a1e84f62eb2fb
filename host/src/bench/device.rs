//! The GPU's part: which kernels are measured on which work, and what the
//! figures say beside the device's ceilings and its theoretical floor.

use super::work::Work;
use crate::executor::ExecError;
use crate::executor::gpu::bench::{BenchReport, Ceiling, Subject, Total, Turns};
use crate::executor::gpu::{
    DeviceList, GpuDevice, Supervisor, Target, Variant, driver_version, supervised,
};
use crate::session::devices::GpuDemand;
use gpu_kernels::abi::{GemmKernel, PEAK_FMA, PEAK_M8N8K4, PEAK_M16N8K16};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

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
    /// How long the device may take beyond what its work does on a slow one.
    pub patience: Duration,
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

/// What is told while a device is measured.
#[derive(Debug)]
pub enum BenchEvent {
    /// Before anything is measured.
    Device {
        /// The device; nothing is measured yet.
        report: Box<DeviceReport>,
        /// What will be measured, in order.
        variants: Vec<Variant>,
    },
    /// What is measured next.
    Step(String),
    /// Ceilings of a target.
    Ceilings(TargetCeilings),
    /// A variant on a shape.
    Row(Box<Row>),
    /// A variant on a number of iterations.
    Total(Box<Total>),
    /// Something that could not be measured.
    Failed(Failed),
}

/// What the thread that uses the device sends.
enum Found {
    Step(String),
    NoTelemetry(Option<String>),
    Ceilings(TargetCeilings),
    Sustained(Box<BenchReport>),
    Total(Box<Total>),
    Failed(Failed),
}

/// Measures every variant on all work.
///
/// # Errors
/// No such device. What fails later is in the report.
pub(super) fn measure(
    list: &DeviceList,
    options: &Options,
    on_event: &mut dyn FnMut(BenchEvent),
) -> Result<DeviceReport, ExecError> {
    let device = list.get(options.device)?;
    let report = DeviceReport {
        device: facts(device),
        turns: options.turns.count,
        turn_s: options.turns.length.as_secs_f64(),
        no_telemetry: None,
        ceilings: Vec::new(),
        rows: Vec::new(),
        totals: Vec::new(),
        failed: Vec::new(),
    };
    let variants = variants(options, device);
    on_event(BenchEvent::Device { report: Box::new(report.clone()), variants: variants.clone() });
    // One after the other: each has the device's memory for itself.
    let measure_one = |variant: Variant, report: &DeviceReport, on_found: &mut dyn FnMut(Found)| {
        let supervisor = Supervisor::new(options.patience);
        let (own, index, options) = (supervisor.clone(), device.index, options.clone());
        let ceilings = WhichCeilings::of(variant, report);
        supervised(
            &supervisor,
            &device.label(),
            move |tell| measure_variant(index, variant, &options, ceilings, own, tell),
            on_found,
        )
    };
    Ok(measure_all(&variants, report, &measure_one, on_event))
}

/// Measures a variant, given what is known so far, and tells what it finds; an error
/// where the device hangs.
type MeasureOne<'a> =
    dyn Fn(Variant, &DeviceReport, &mut dyn FnMut(Found)) -> Result<(), ExecError> + 'a;

/// Has `measure_one` measure each of `variants`, as long as the device comes to an
/// end of it, and adds what it tells to `report`.
fn measure_all(
    variants: &[Variant],
    mut report: DeviceReport,
    measure_one: &MeasureOne<'_>,
    on_event: &mut dyn FnMut(BenchEvent),
) -> DeviceReport {
    let mut hung: Option<Failed> = None;
    for &variant in variants {
        if let Some(Failed { what, .. }) = &hung {
            let reason = format!(
                "not run: the device hangs in {what}\nleave that one out, and measure the others \
                 in another process"
            );
            report.keep(Found::Failed(Failed { what: variant.to_string(), reason }), on_event);
            continue;
        }
        let mut step = variant.to_string();
        let before = report.clone();
        let ended = measure_one(variant, &before, &mut |found| {
            if let Found::Step(next) = &found {
                step.clone_from(next);
            }
            report.keep(found, on_event);
        });
        if let Err(error) = ended {
            let failed = Failed { what: step, reason: error.to_string() };
            report.keep(Found::Failed(failed.clone()), on_event);
            hung = Some(failed);
        }
    }
    report
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

/// Whether the ceilings of a variant's target are measured with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhichCeilings {
    Measured,
    Known,
}

impl WhichCeilings {
    /// The first target that loads has every unit's; a file has its own.
    fn of(variant: Variant, report: &DeviceReport) -> Self {
        let known = report.ceilings.iter().any(|of| of.target == variant.target.name());
        let file = matches!(variant.target, Target::File(_));
        if report.ceilings.is_empty() || (file && !known) { Self::Measured } else { Self::Known }
    }
}

/// Measures one variant on all work, on the thread that may hang.
fn measure_variant(
    device: u32,
    variant: Variant,
    options: &Options,
    ceilings: WhichCeilings,
    supervisor: Supervisor,
    tell: &dyn Fn(Found),
) {
    let step = |what: &str| {
        supervisor.set_task(what);
        tell(Found::Step(what.to_owned()));
    };
    let fail = |what: String, error: &ExecError| {
        tell(Found::Failed(Failed { what, reason: error.to_string() }));
    };
    step(&format!("{variant}: loading"));
    let mut subject = match Subject::open(device, Some(variant), supervisor.clone()) {
        Ok(subject) => subject,
        Err(error) => return fail(variant.to_string(), &error),
    };
    tell(Found::NoTelemetry(subject.no_telemetry().map(str::to_owned)));
    if ceilings == WhichCeilings::Measured {
        let target = variant.target.name();
        let what = format!("{target}: ceilings");
        step(&what);
        match subject.ceilings(options.turns) {
            Ok(ceilings) => {
                let target = target.to_owned();
                tell(Found::Ceilings(TargetCeilings { target, ceilings }));
            }
            Err(error) => fail(what, &error),
        }
    }
    for &work in &options.work {
        let what = format!("{variant}: {work}");
        step(&what);
        let measured = match work {
            Work::Sustained(shape) => subject
                .sustained(shape, options.turns, options.cublas.as_deref())
                .map(|found| tell(Found::Sustained(Box::new(found)))),
            Work::Total(shape, iterations) => subject
                .total(shape, iterations, options.turns.count)
                .map(|total| tell(Found::Total(Box::new(total)))),
        };
        if let Err(error) = measured {
            fail(what, &error);
        }
    }
}

impl DeviceReport {
    /// Adds what was found, and tells of it.
    fn keep(&mut self, found: Found, on_event: &mut dyn FnMut(BenchEvent)) {
        on_event(match found {
            Found::Step(what) => BenchEvent::Step(what),
            Found::NoTelemetry(reason) => {
                self.no_telemetry = reason;
                return;
            }
            Found::Ceilings(of) => {
                self.ceilings.push(of.clone());
                BenchEvent::Ceilings(of)
            }
            Found::Sustained(found) => {
                let row = self.row(*found);
                self.rows.push(row.clone());
                BenchEvent::Row(Box::new(row))
            }
            Found::Total(total) => {
                self.totals.push((*total).clone());
                BenchEvent::Total(total)
            }
            Found::Failed(failed) => {
                self.failed.push(failed.clone());
                BenchEvent::Failed(failed)
            }
        });
    }

    /// What was found, beside the ceilings that are known by then.
    fn row(&self, report: BenchReport) -> Row {
        let ceiling = ceiling_of(&self.ceilings, &report.variant);
        Row {
            sigma: self.device.floor_tflops / report.attested.median_tflops,
            attested_to_ceiling: ceiling.map(|c| report.attested.median_tflops / c),
            bare_to_ceiling: ceiling.map(|c| report.bare.median_tflops / c),
            tail_share: report.phases.tail_share(),
            report,
        }
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

/// The ceiling kernel of the unit that a product kernel uses.
fn peak_of(gemm: &str) -> Option<&'static str> {
    use gpu_kernels::abi::{GEMM_FMA, GEMM_M8N8K4, GEMM_M16N8K16, GEMM_M16N8K16_TILE};
    let pairs: [(GemmKernel, &str); 4] = [
        (GEMM_FMA, PEAK_FMA.name),
        (GEMM_M8N8K4, PEAK_M8N8K4.name),
        (GEMM_M16N8K16, PEAK_M16N8K16.name),
        (GEMM_M16N8K16_TILE, PEAK_M16N8K16.name),
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
    use gpu_kernels::abi::GEMMS;

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
        assert!(GEMMS.iter().all(|gemm| peak_of(gemm.name).is_some()), "every kernel has a unit");
        assert_eq!(ceiling_of(&all, "a/b.ptx/gemm_fma"), Some(30.0), "a path has slashes");
        assert_eq!(ceiling_of(&all, "sm_80/gemm_m8n8k4"), None);
        assert_eq!(ceiling_of(&all, "nonsense"), None);
    }

    fn empty_report() -> DeviceReport {
        DeviceReport {
            device: DeviceFacts {
                index: 0,
                name: "NVIDIA H200".to_owned(),
                compute_capability: "9.0".to_owned(),
                sm_count: 132,
                clock_khz: 1_980_000,
                memory_bytes: 1 << 37,
                driver_version: "580".to_owned(),
                floor_tflops: 66.9,
            },
            turns: 1,
            turn_s: 0.2,
            no_telemetry: None,
            ceilings: Vec::new(),
            rows: Vec::new(),
            totals: Vec::new(),
            failed: Vec::new(),
        }
    }

    #[test]
    fn after_a_hang_what_was_measured_stays_and_the_other_variants_are_not_run() {
        let variants = Variant::all_for(crate::executor::gpu::Capability { major: 9, minor: 0 });
        let measured = std::cell::RefCell::new(Vec::new());
        let measure_one = |variant: Variant, _: &DeviceReport, tell: &mut dyn FnMut(Found)| {
            measured.borrow_mut().push(variant);
            tell(Found::Step(format!("{variant}: ceilings")));
            let target = variant.target.name().to_owned();
            tell(Found::Ceilings(TargetCeilings { target, ceilings: Vec::new() }));
            tell(Found::Step(format!("{variant}: 4096x8")));
            if variant == variants[1] {
                let (what, device) = ("a kernel".to_owned(), "GPU 0".to_owned());
                return Err(ExecError::Hung { what, device, waited_ms: 61_000 });
            }
            Ok(())
        };
        let mut told = Vec::new();
        let report = measure_all(&variants, empty_report(), &measure_one, &mut |event| {
            told.push(format!("{event:?}"));
        });
        assert_eq!(*measured.borrow(), variants[..2]);
        assert_eq!(report.ceilings.len(), 2, "also of the variant that hung");
        let [hung, not_run @ ..] = &report.failed[..] else { panic!("{:?}", report.failed) };
        assert_eq!(hung.what, format!("{}: 4096x8", variants[1]), "the step that it hung in");
        assert!(hung.reason.contains("hung on GPU 0: no end after 61 s"), "{}", hung.reason);
        assert_eq!(not_run.len(), variants.len() - 2);
        for (failed, variant) in not_run.iter().zip(&variants[2..]) {
            assert_eq!(failed.what, variant.to_string());
            assert!(failed.reason.starts_with("not run: the device hangs in "), "{failed:?}");
        }
        // Told as it happens: steps and ceilings of two, then each failure.
        assert_eq!(told.len(), 2 * 3 + report.failed.len(), "{told:?}");
        assert!(told[1].starts_with("Ceilings") && told[6].starts_with("Failed"), "{told:?}");
    }
}
