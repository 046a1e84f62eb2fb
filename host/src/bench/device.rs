//! The GPU's part: which kernels are measured on which work, one after the other.

use super::report::{
    DeviceFacts, DeviceReport, IntegerRow, MemoryRow, NotMeasured, Row, TargetCeilings,
};
use super::work::Work;
use crate::executor::ExecError;
use crate::executor::gpu::bench::{
    BenchReport, IntegerReport, MemoryReport, Subject, Total, Turns,
};
use crate::executor::gpu::{
    Capability, DeviceList, PtxFile, PtxSource, Supervisor, Variant, supervised,
};
use crate::mining::devices::GpuDemand;
use std::path::PathBuf;
use std::time::Duration;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of the device.
    pub device: u32,
    /// Which GPUs there must be.
    pub gpus: GpuDemand,
    /// Shapes, totals and arenas, in order.
    pub work: Vec<Work>,
    /// Turns of each side.
    pub turns: Turns,
    /// Embedded kernels; none: those that a run would try, in order.
    pub variants: Vec<Variant>,
    /// Kernels besides the embedded ones; every product kernel of theirs.
    pub files: Vec<PtxFile>,
    /// Where cuBLAS is; `None`: where the dynamic loader finds it.
    pub cublas: Option<PathBuf>,
    /// Where cuBLASLt is; likewise.
    pub cublas_lt: Option<PathBuf>,
    /// How long the device may take beyond what its work does on a slow one.
    pub patience: Duration,
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
    /// A variant on an arena.
    Memory(Box<MemoryRow>),
    /// A variant on integer products.
    Integers(Box<IntegerRow>),
    /// Something that could not be measured.
    Failed(NotMeasured),
}

/// What the thread that uses the device sends.
enum Found {
    Step(String),
    NoTelemetry(Option<String>),
    Ceilings(TargetCeilings),
    Sustained(Box<BenchReport>),
    Total(Box<Total>),
    Memory(Box<MemoryReport>),
    Integers(Box<IntegerReport>),
    Failed(NotMeasured),
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
    let (variants, absent) = variants(options, device.capability);
    let report = DeviceReport {
        device: DeviceFacts::of(device),
        turns: options.turns.count,
        turn_s: options.turns.length.as_secs_f64(),
        no_telemetry: None,
        ceilings: Vec::new(),
        rows: Vec::new(),
        totals: Vec::new(),
        memory: Vec::new(),
        integers: Vec::new(),
        absent,
        failed: Vec::new(),
    };
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
/// if the device hangs.
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
    let mut hung: Option<NotMeasured> = None;
    for &variant in variants {
        if let Some(NotMeasured { what, .. }) = &hung {
            let reason = format!(
                "not run: the device hangs in {what}\nleave that one out, and measure the others \
                 in another process"
            );
            report.keep(Found::Failed(NotMeasured { what: variant.to_string(), reason }), on_event);
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
            let failed = NotMeasured { what: step, reason: error.to_string() };
            report.keep(Found::Failed(failed.clone()), on_event);
            hung = Some(failed);
        }
    }
    report
}

/// Those asked for, or those that a run would try; then the files'. Besides, which of
/// the files' are for other devices.
fn variants(options: &Options, capability: Capability) -> (Vec<Variant>, Vec<NotMeasured>) {
    let mut variants = if options.variants.is_empty() {
        Variant::candidates(capability)
    } else {
        options.variants.clone()
    };
    let mut absent = Vec::new();
    // Of a file's kernels of integer products, the fastest is measured with its first.
    let of_file = |file: PtxFile| Variant::all_of(file).chain(Variant::integers_of(file).skip(1));
    for variant in options.files.iter().copied().flat_map(of_file) {
        match variant.source.absence_on(capability) {
            Some(reason) => absent.push(NotMeasured { what: variant.to_string(), reason }),
            None => variants.push(variant),
        }
    }
    (variants, absent)
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
        let known = report.ceilings.iter().any(|of| of.target == variant.source.name());
        let file = matches!(variant.source, PtxSource::File(_));
        if report.ceilings.is_empty() || (file && !known) { Self::Measured } else { Self::Known }
    }
}

/// Whether a variant is measured on `work`: kernels of FP64 on all else than integers;
/// on integers those that are about them, and with the first of a source's kernels the
/// fastest that it has.
fn measures(variant: Variant, work: Work) -> bool {
    let is_first = Variant::all_of(variant.source).next() == Some(variant);
    match work {
        Work::Integers(_) => variant.integer.is_some() || is_first,
        Work::Sustained(_) | Work::Total(..) | Work::Arena(_) => variant.integer.is_none(),
    }
}

/// Measures one variant on all work it is for, on the thread that may hang.
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
        tell(Found::Failed(NotMeasured { what, reason: error.to_string() }));
    };
    step(&format!("{variant}: loading"));
    let mut subject = match Subject::open(device, Some(variant), supervisor.clone()) {
        Ok(subject) => subject,
        Err(error) => return fail(variant.to_string(), &error),
    };
    tell(Found::NoTelemetry(subject.no_telemetry().map(str::to_owned)));
    if ceilings == WhichCeilings::Measured {
        let target = variant.source.name();
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
    for &work in options.work.iter().filter(|&&work| measures(variant, work)) {
        let what = format!("{variant}: {work}");
        step(&what);
        let measured = match work {
            Work::Sustained(shape) => subject
                .sustained(shape, options.turns, options.cublas.as_deref())
                .map(|found| tell(Found::Sustained(Box::new(found)))),
            Work::Total(shape, iterations) => subject
                .total(shape, iterations, options.turns.count)
                .map(|total| tell(Found::Total(Box::new(total)))),
            Work::Arena(percent) => subject
                .memory(f64::from(percent) / 100.0, options.turns)
                .map(|found| tell(Found::Memory(Box::new(found)))),
            Work::Integers(shape) => subject
                .integers(shape, options.turns, options.cublas_lt.as_deref())
                .map(|found| tell(Found::Integers(Box::new(found)))),
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
            Found::Memory(found) => {
                let row = MemoryRow::from(*found);
                self.memory.push(row.clone());
                BenchEvent::Memory(Box::new(row))
            }
            Found::Integers(found) => {
                let row = self.integer_row(*found);
                self.integers.push(row.clone());
                BenchEvent::Integers(Box::new(row))
            }
            Found::Failed(failed) => {
                self.failed.push(failed.clone());
                BenchEvent::Failed(failed)
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::gpu::Target;

    #[test]
    fn files_for_other_devices_are_absent_and_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        for (name, target) in [
            ("a", Target::Portable),
            ("b", Target::Sm100f),
            ("c", Target::Sm120),
            ("d", Target::Sm90a),
        ] {
            std::fs::write(folder.path().join(name).with_extension("ptx"), target.ptx()).unwrap();
        }
        let files = PtxFile::read_all(&[folder.path().to_owned()]).unwrap();
        let options = Options {
            device: 0,
            gpus: GpuDemand::default(),
            work: Vec::new(),
            turns: Turns { count: 1, length: Duration::ZERO },
            variants: vec![Variant::all_of(Target::Sm80).next().unwrap()],
            files: files.clone(),
            cublas: None,
            cublas_lt: None,
            patience: Duration::ZERO,
        };
        let (measured, absent) = variants(&options, Capability { major: 9, minor: 0 });
        let [a, b, c, d] = files[..] else { panic!("{files:?}") };
        let of_file = |f: PtxFile| Variant::all_of(f).chain(Variant::integers_of(f).skip(1));
        let all_of = |files: [PtxFile; 2]| files.into_iter().flat_map(of_file);
        let here: Vec<Variant> = options.variants.iter().copied().chain(all_of([a, d])).collect();
        assert_eq!(measured, here);
        let reason = |variant: Variant| match variant.source.name() {
            "b" => "it is compiled for sm_100f".to_owned(),
            _ => "it is compiled for sm_120".to_owned(),
        };
        let elsewhere: Vec<NotMeasured> = all_of([b, c])
            .map(|variant| NotMeasured { what: variant.to_string(), reason: reason(variant) })
            .collect();
        assert_eq!(absent, elsewhere);
    }

    #[test]
    fn kernels_are_measured_on_the_work_that_they_are_for() {
        let integers: Work = "int8:1024x1".parse().unwrap();
        let products: Work = "1024x1".parse().unwrap();
        let [first, second] = [0, 1].map(|at| Variant::all_of(Target::Sm80).nth(at).unwrap());
        let integer = Variant::integers_of(Target::Sm80).next().unwrap();
        let measured = |variant| (measures(variant, products), measures(variant, integers));
        assert_eq!(measured(first), (true, true));
        assert_eq!(measured(second), (true, false));
        assert_eq!(measured(integer), (false, true));
    }

    #[test]
    fn after_a_hang_what_was_measured_stays_and_the_other_variants_are_not_run() {
        let variants = Variant::all_for(Capability { major: 9, minor: 0 });
        let measured = std::cell::RefCell::new(Vec::new());
        let measure_one = |variant: Variant, _: &DeviceReport, tell: &mut dyn FnMut(Found)| {
            measured.borrow_mut().push(variant);
            tell(Found::Step(format!("{variant}: ceilings")));
            let target = variant.source.name().to_owned();
            tell(Found::Ceilings(TargetCeilings { target, ceilings: Vec::new() }));
            tell(Found::Step(format!("{variant}: 4096x8")));
            if variant == variants[1] {
                let (what, device) = ("a kernel".to_owned(), "GPU 0".to_owned());
                return Err(ExecError::Hung { what, device, waited_ms: 61_000 });
            }
            Ok(())
        };
        let mut told = Vec::new();
        let report =
            measure_all(&variants, DeviceReport::of_an_h200(), &measure_one, &mut |event| {
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
