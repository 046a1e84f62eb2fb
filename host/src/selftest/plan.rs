//! Every subject of a selftest, in order, and how it is checked.

use super::check::Expected;
use super::suite::{Suite, check_file, check_oracle, summary};
use super::{Health, Options, Outcome, Row, gpus};
use crate::error_text::in_one_line;
use crate::evidence::present_gpus;
use crate::executor::cpu::Simd;
use crate::executor::gpu::{DeviceList, GpuDevice, NoGpu, PtxFile, PtxSource, Variant};
use crate::mining::devices::GpuDemand;
use crate::protocol::verify::RecomputeError;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Something to be checked.
#[derive(Clone, Debug)]
pub struct Item {
    /// What is checked.
    pub name: String,
    /// The cases that it is checked on.
    pub cases: String,
    check: Check,
}

/// How a subject is checked.
#[derive(Clone, Debug)]
enum Check {
    /// Nothing to do: this is what comes out.
    Known(Outcome),
    Oracle,
    Cpu(Suite, Simd),
    CpuVerifier(Suite),
    Gpu(Suite, Box<GpuDevice>, Variant),
    /// The vector file at this place of the options, on the CPU.
    Vectors(usize),
    /// All vector files on a GPU.
    VectorsOnGpu(Box<GpuDevice>, Variant),
}

/// What is told while subjects are checked.
#[derive(Debug)]
pub enum ItemEvent<'a> {
    /// This one is next.
    Starts(&'a Item),
    /// This came out.
    Ends(&'a Row),
}

/// Every subject, in order.
#[derive(Debug)]
pub struct SelftestPlan<'a> {
    options: &'a Options,
    subjects: Vec<Item>,
}

impl<'a> SelftestPlan<'a> {
    /// Every subject of this machine that `options` ask for.
    pub fn new(options: &'a Options) -> Self {
        let mut subjects = on_cpu();
        let files = options.vector_files.iter().enumerate().map(|(at, file)| {
            let on =
                if file.suits_oracle() { "every field, oracle and CPU" } else { "every field" };
            Item::new(file.name(), on, Check::Vectors(at))
        });
        let on_gpus = on_gpus(&options.gpus, present_gpus, &options.ptx_files);
        let again = on_gpus.iter().filter_map(|subject| match &subject.check {
            Check::Gpu(Suite::Products | Suite::Integer, device, variant) => {
                let count = gpus::vectors_for(*variant, &options.vector_files).count();
                if count == 0 {
                    return None;
                }
                let cases = format!("every field, {count} files");
                let check = Check::VectorsOnGpu(device.clone(), *variant);
                Some(Item::new(format!("{} vectors", subject.name), cases, check))
            }
            _ => None,
        });
        let again: Vec<Item> = again.collect();
        subjects.extend(on_gpus.into_iter().chain(files).chain(again));
        if let Some(only) = &options.only {
            let only = only.to_lowercase();
            subjects.retain(|subject| subject.name.to_lowercase().contains(&only));
        }
        Self { options, subjects }
    }

    /// What will be checked.
    pub fn subjects(&self) -> &[Item] {
        &self.subjects
    }

    /// Checks one after the other, and tells `on_event` of each.
    pub fn run(&self, on_event: &mut dyn FnMut(ItemEvent<'_>)) -> Health {
        let by_oracle: [OnceCell<Vec<Expected>>; Suite::ALL.len()] = Default::default();
        let by_oracle =
            |suite: Suite| by_oracle[suite as usize].get_or_init(|| suite.walk_by_oracle());
        let by_cpu: [OnceCell<ByCpu>; Suite::ALL.len()] = Default::default();
        let by_cpu = |suite: Suite| {
            by_cpu[suite as usize].get_or_init(|| suite.walk_by_cpu().map(Arc::new)).clone()
        };
        let patience = self.options.patience;
        let files = &self.options.vector_files;
        let check = |subject: &Item| match &subject.check {
            Check::Known(outcome) => outcome.clone(),
            Check::Oracle => {
                // Here rather than in the next rows, whose time it would seem to be.
                for suite in Suite::ALL {
                    by_oracle(suite);
                }
                check_oracle()
            }
            Check::Cpu(suite, simd) => suite.check_cpu(*simd, by_oracle(*suite)),
            Check::CpuVerifier(suite) => suite.check_cpu_verifier(by_oracle(*suite)),
            Check::Gpu(suite, device, variant) => match by_cpu(*suite) {
                Ok(expected) => gpus::check(device, *variant, *suite, expected, patience),
                Err(RecomputeError(cause)) => Outcome::Failed(cause),
            },
            Check::Vectors(at) => check_file(&files[*at]),
            Check::VectorsOnGpu(device, variant) => {
                gpus::check_vectors(device, *variant, Arc::clone(files), patience)
            }
        };
        run(&self.subjects, &check, on_event)
    }
}

/// What the CPU makes of the cases for GPUs.
type ByCpu = Result<Arc<Vec<Expected>>, RecomputeError>;

impl Item {
    fn new(name: impl Into<String>, cases: impl Into<String>, check: Check) -> Self {
        Self { name: name.into(), cases: cases.into(), check }
    }

    /// Its device, if it is a GPU's.
    fn device(&self) -> Option<u32> {
        match &self.check {
            Check::Gpu(_, device, _) | Check::VectorsOnGpu(device, _) => Some(device.index),
            _ => None,
        }
    }
}

/// Has `check` check one after the other; if a device hangs, nothing more on it.
fn run(
    subjects: &[Item],
    check: &dyn Fn(&Item) -> Outcome,
    on_event: &mut dyn FnMut(ItemEvent<'_>),
) -> Health {
    let mut health = Health::NothingChecked;
    // By device: the subject that it hangs in.
    let mut hung: HashMap<u32, &str> = HashMap::new();
    for subject in subjects {
        on_event(ItemEvent::Starts(subject));
        let start = Instant::now();
        let outcome = match subject.device().and_then(|device| hung.get(&device)) {
            Some(other) => Outcome::NotRun(format!("the device hangs in {other}")),
            None => check(subject),
        };
        if let (Outcome::Hung(_), Some(device)) = (&outcome, subject.device()) {
            hung.insert(device, &subject.name);
        }
        health = match (health, &outcome) {
            (health, Outcome::Absent(_)) => health,
            (Health::NothingChecked | Health::Healthy, Outcome::Same) => Health::Healthy,
            (health, Outcome::Same) => health,
            (Health::Faulty, Outcome::NotJudged(_)) => Health::Faulty,
            (_, Outcome::NotJudged(_)) => Health::NotJudged,
            _ => Health::Faulty,
        };
        let (name, cases) = (subject.name.clone(), subject.cases.clone());
        on_event(ItemEvent::Ends(&Row { subject: name, cases, outcome, elapsed: start.elapsed() }));
    }
    health
}

fn on_cpu() -> Vec<Item> {
    let oracle = Item::new("oracle", "vectors of independent programs", Check::Oracle);
    let of_suite = |suite: Suite| {
        let (cases, suffix) = (summary(suite.cases()), suite.suffix());
        let simds = [Simd::Scalar, Simd::Avx2, Simd::Avx512]
            .map(|simd| Item::new(format!("cpu {simd}{suffix}"), &*cases, Check::Cpu(suite, simd)));
        let verifier =
            Item::new(format!("cpu verifier{suffix}"), &*cases, Check::CpuVerifier(suite));
        simds.into_iter().chain([verifier])
    };
    [oracle].into_iter().chain(Suite::ALL.into_iter().flat_map(of_suite)).collect()
}

/// What is checked of kernels: product kernel by product kernel, of FP64 and of integers,
/// and the memory kernels that are compiled with them; its name, and the variant that is
/// opened for it.
fn of_sources(sources: impl Iterator<Item = PtxSource>) -> Vec<(Suite, String, Variant)> {
    let of_source = |source: PtxSource| {
        let variants: Vec<Variant> = Variant::all_of(source).collect();
        let memory = variants
            .first()
            .map(|&variant| (Suite::Memory, format!("{}/memory", source.name()), variant));
        let product = |variant: Variant| (Suite::Products, variant.to_string(), variant);
        let integers = Variant::integers_of(source);
        let integer = |variant: Variant| (Suite::Integer, variant.to_string(), variant);
        variants.into_iter().map(product).chain(memory).chain(integers.map(integer))
    };
    sources.flat_map(of_source).collect()
}

fn on_gpus(
    demand: &GpuDemand,
    list: impl FnOnce() -> Result<DeviceList, NoGpu>,
    ptx_files: &[PtxFile],
) -> Vec<Item> {
    let mut subjects: Vec<Item> = Vec::new();
    let listed = match demand {
        GpuDemand::None => Err(Outcome::Absent("not asked for".to_owned())),
        GpuDemand::Present(rules) => {
            let listed = list();
            if let Err(too_few) = rules.check_count(listed.as_ref()) {
                let outcome = match &listed {
                    // How many there are nobody knows.
                    Err(no_gpu @ NoGpu::NoThread { .. }) => Outcome::from(no_gpu),
                    _ => Outcome::Failed(in_one_line(too_few)),
                };
                subjects.push(Item::new("gpu count", "", Check::Known(outcome)));
            }
            listed.map_err(|no_gpu| Outcome::from(&no_gpu))
        }
    };
    let files = || ptx_files.iter().map(|&file| PtxSource::from(file));
    let list = match listed {
        Ok(list) => list,
        Err(outcome) => {
            subjects.push(Item::new("gpu", "", Check::Known(outcome.clone())));
            // These were asked for.
            let why = || {
                let text = "there is no GPU to check it on".to_owned();
                Check::Known(match &outcome {
                    Outcome::NotJudged(_) => Outcome::NotJudged(text),
                    _ => Outcome::Failed(text),
                })
            };
            subjects.extend(
                of_sources(files()).into_iter().map(|(_, name, _)| Item::new(name, "", why())),
            );
            return subjects;
        }
    };
    if let Some(missing) = &list.missing {
        let outcome = Outcome::Failed(in_one_line(missing));
        subjects.push(Item::new("gpu missing", "", Check::Known(outcome)));
    }
    let broken = list.broken.iter().map(|broken| {
        let outcome = Outcome::Failed(in_one_line(&broken.error));
        Item::new(format!("GPU {}", broken.index), "", Check::Known(outcome))
    });
    subjects.extend(broken);
    for device in list.devices {
        let embedded = Variant::candidates(device.capability).into_iter().map(|of| of.source);
        for (suite, name, variant) in of_sources(embedded.chain(files())) {
            let name = format!("{} {name}", device.label());
            if let Some(why) = variant.source.absence_on(device.capability) {
                subjects.push(Item::new(name, "", Check::Known(Outcome::Absent(why))));
                continue;
            }
            let check = Check::Gpu(suite, Box::new(device.clone()), variant);
            subjects.push(Item::new(name, summary(suite.cases_on_gpus()), check));
        }
    }
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::ExecError;
    use crate::executor::gpu::Target;

    #[test]
    fn where_a_device_hangs_its_other_rows_are_not_run_and_other_devices_are() {
        let subjects = {
            let list = || Ok(vec![GpuDevice::example(0), GpuDevice::example(1)].into());
            on_gpus(&GpuDemand::default(), list, &[])
        };
        let bad = Variant::all_for(GpuDevice::example(0).capability)[1].to_string();
        let (mut checked, mut rows) = (Vec::new(), Vec::new());
        let checked_names = std::cell::RefCell::new(&mut checked);
        let check = |subject: &Item| {
            checked_names.borrow_mut().push(subject.name.clone());
            match subject.device() == Some(0) && subject.name.ends_with(&bad) {
                true => Outcome::Hung("gemm hung".to_owned()),
                false => Outcome::Same,
            }
        };
        let health = run(&subjects, &check, &mut |event| {
            if let ItemEvent::Ends(row) = event {
                rows.push(row.clone());
            }
        });
        assert_eq!(health, Health::Faulty);
        let each = subjects.len() / 2;
        assert_eq!(rows.len(), 2 * each, "every row is there");
        assert_eq!(rows[0].outcome, Outcome::Same);
        assert_eq!(rows[1].outcome, Outcome::Hung("gemm hung".to_owned()));
        for row in &rows[2..each] {
            let why = format!("the device hangs in GPU 0 (NVIDIA H200) {bad}");
            assert_eq!(row.outcome, Outcome::NotRun(why), "{}", row.subject);
        }
        assert!(rows[each..].iter().all(|row| row.outcome == Outcome::Same));
        assert_eq!(checked.len(), 2 + each, "two of the first device, all of the second");
    }

    #[test]
    fn without_a_thread_health_is_not_judged_unless_something_is_faulty() {
        let no_thread = || NoGpu::NoThread { reason: "EAGAIN".to_owned() };
        let gpu = on_gpus(&GpuDemand::default(), || Err(no_thread()), &[]);
        assert!(matches!(&gpu[..], [Item { check: Check::Known(Outcome::NotJudged(_)), .. }]));
        let same = || Outcome::Same;
        let refused = || {
            let (device, cause) = ("GPU 0".to_owned(), "EAGAIN".to_owned());
            Outcome::from(ExecError::NoThread { device, cause })
        };
        let failed = || Outcome::Failed("ECC".to_owned());
        for (outcomes, health) in [
            (vec![same(), refused(), same()], Health::NotJudged),
            (vec![refused()], Health::NotJudged),
            (vec![same(), failed(), refused(), same()], Health::Faulty),
            (vec![refused(), failed()], Health::Faulty),
        ] {
            let item = |outcome: &Outcome| Item::new("x", "", Check::Known(outcome.clone()));
            let items: Vec<Item> = outcomes.iter().map(item).collect();
            let known = |item: &Item| match &item.check {
                Check::Known(outcome) => outcome.clone(),
                _ => unreachable!("all are known"),
            };
            assert_eq!(run(&items, &known, &mut |_| ()), health, "{outcomes:?}");
        }
    }

    #[test]
    fn a_subject_is_told_before_it_is_checked() {
        let subjects = [Item::new("oracle", "", Check::Oracle)];
        let told = std::cell::RefCell::new(Vec::new());
        let check = |_: &Item| {
            told.borrow_mut().push("checked");
            Outcome::Same
        };
        run(&subjects, &check, &mut |event| {
            told.borrow_mut().push(match event {
                ItemEvent::Starts(_) => "starts",
                ItemEvent::Ends(_) => "ends",
            });
        });
        assert_eq!(told.into_inner(), ["starts", "checked", "ends"]);
    }

    #[test]
    fn without_a_gpu_every_variant_of_a_file_has_its_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ptx");
        std::fs::write(&path, Target::Portable.ptx()).unwrap();
        let files = PtxFile::read_all(&[path]).unwrap();
        let subjects = on_gpus(&GpuDemand::default(), || Err(NoGpu::NoDevice), &files);
        let names: Vec<String> = subjects.into_iter().map(|subject| subject.name).collect();
        let rows = Variant::all_of(files[0]).map(|variant| variant.to_string());
        let rows = rows.chain(["x/memory".to_owned()]);
        let integers = Variant::integers_of(files[0]).map(|variant| variant.to_string());
        let rows = rows.chain(integers);
        assert_eq!(names, ["gpu".to_owned()].into_iter().chain(rows).collect::<Vec<_>>());
        assert!(names.contains(&"x/gemm_fma".to_owned()), "{names:?}");
        assert!(names.contains(&"x/int8_dp4a".to_owned()), "{names:?}");
    }
}
