//! Every subject of a selftest, in order, and how it is checked.

use super::check::{self, Case, Expected};
use super::gpus::{self, GPU_CASES};
use super::{Health, Options, Outcome, Row, vectors};
use crate::error_text::in_one_line;
use crate::evidence::present_gpus;
use crate::executor::Executor;
use crate::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier, Simd};
use crate::executor::gpu::{DeviceList, GpuDevice, NoGpu, PtxFile, Variant};
use crate::mining::devices::GpuDemand;
use crate::protocol::digest::Uuid;
use crate::protocol::names::Root;
use crate::protocol::verify::{Recompute, RecomputeError};
use crate::protocol::work::Work;
use crate::protocol::work::fp64_product::Fp64Product;
use crate::reference::Leaves;
use crate::reference::tree::tree_hash;
use crate::reference::{Oracle, OracleExecutor};
use rayon::prelude::*;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

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

/// Small challenges, computed by independent programs; see tests/vectors.
const EMBEDDED_VECTORS: [&[u8]; 4] = [
    include_bytes!("../../../tests/vectors/draws.json"),
    include_bytes!("../../../tests/vectors/odd-tree-384.json"),
    include_bytes!("../../../tests/vectors/one-product.json"),
    include_bytes!("../../../tests/vectors/two-lanes-counters.json"),
];

pub(super) const fn case(dim: u32, products: u32, iterations: u32, sync: u32) -> Case {
    Case { work: Work::Fp64Product(Fp64Product { dim, products }), iterations, sync }
}

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
    Cpu(Simd),
    CpuVerifier,
    Gpu(Box<GpuDevice>, Variant),
    /// The vector file at this place of the options.
    Vectors(usize),
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
        subjects.extend(on_gpus(&options.gpus, present_gpus, &options.ptx_files));
        let files = options.vector_files.iter().enumerate();
        subjects.extend(files.map(|(at, file)| Item {
            name: file.name().to_owned(),
            cases: "every field".to_owned(),
            check: Check::Vectors(at),
        }));
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
        let (by_oracle, by_cpu) = (OnceCell::new(), OnceCell::new());
        let by_oracle = || by_oracle.get_or_init(walk_by_oracle);
        let by_cpu = || by_cpu.get_or_init(|| gpus::walk_by_cpu().map(Arc::new)).clone();
        let patience = self.options.patience;
        let check = |subject: &Item| match &subject.check {
            Check::Known(outcome) => outcome.clone(),
            Check::Oracle => {
                // Here rather than in the next row, whose time it would seem to be.
                by_oracle();
                check_oracle()
            }
            Check::Cpu(simd) => check_cpu(*simd, by_oracle()),
            Check::CpuVerifier => check_cpu_verifier(by_oracle()),
            Check::Gpu(device, variant) => match by_cpu() {
                Ok(expected) => gpus::check(device, *variant, expected, patience),
                Err(RecomputeError(cause)) => Outcome::Failed(cause),
            },
            Check::Vectors(at) => {
                let mut cpu = CpuExecutor::new(CpuOptions::default());
                self.options.vector_files[*at].check(&mut cpu).map(|_| ()).into()
            }
        };
        run(&self.subjects, &check, on_event)
    }
}

impl Item {
    fn new(name: impl Into<String>, cases: impl Into<String>, check: Check) -> Self {
        Self { name: name.into(), cases: cases.into(), check }
    }

    /// Its device, if it is a GPU's.
    fn device(&self) -> Option<u32> {
        match &self.check {
            Check::Gpu(device, _) => Some(device.index),
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
    let cases = summary(&ORACLE_CASES);
    let oracle = Item::new("oracle", "vectors of independent programs", Check::Oracle);
    let simds = [Simd::Scalar, Simd::Avx2, Simd::Avx512];
    let simds = simds.map(|simd| Item::new(format!("cpu {simd}"), &*cases, Check::Cpu(simd)));
    let verifier = Item::new("cpu verifier", &*cases, Check::CpuVerifier);
    [oracle].into_iter().chain(simds).chain([verifier]).collect()
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
    let files = || ptx_files.iter().flat_map(|&file| Variant::all_of(file));
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
            subjects.extend(files().map(|variant| Item::new(variant.to_string(), "", why())));
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
    let cases = summary(&GPU_CASES);
    for device in list.devices {
        for variant in Variant::all_for(device.capability).into_iter().chain(files()) {
            let name = format!("{} {variant}", device.label());
            if let Some(why) = variant.source.absence_on(device.capability) {
                subjects.push(Item::new(name, "", Check::Known(Outcome::Absent(why))));
                continue;
            }
            subjects.push(Item::new(name, &*cases, Check::Gpu(Box::new(device.clone()), variant)));
        }
    }
    subjects
}

fn check_oracle() -> Outcome {
    let mut oracle = OracleExecutor::new(Uuid([7; 16]));
    let check = |json: &&[u8]| vectors::check_json(json, &mut oracle).map(|_| ());
    EMBEDDED_VECTORS.iter().try_for_each(check).into()
}

fn check_cpu(simd: Simd, expected: &[Expected]) -> Outcome {
    match CpuExecutor::with_simd(simd, CpuOptions::default()) {
        Some(mut cpu) => check_cases(&mut cpu, &ORACLE_CASES, expected, &Oracle, &mut |_| ()),
        None => Outcome::Absent("this CPU lacks it".to_owned()),
    }
}

fn check_cpu_verifier(expected: &[Expected]) -> Outcome {
    let verifier = CpuVerifier::new();
    let check = |(case, expected)| check::recomputation(&verifier, case, expected, &Oracle);
    ORACLE_CASES.iter().zip(expected).try_for_each(check).into()
}

/// What the oracle, scalar as it is, makes of its cases; on all cores at least.
fn walk_by_oracle() -> Vec<Expected> {
    let walk = |case: &Case| {
        case.expect_from(|run, at| {
            Ok::<_, Infallible>(Root::of_tree(tree_hash(&Leaves::of(run).iteration(at))))
        })
    };
    ORACLE_CASES
        .par_iter()
        .with_max_len(1)
        .map(|case| walk(case).unwrap_or_else(|never| match never {}))
        .collect()
}

/// "n=128…1024, 6 cases".
fn summary(cases: &[Case]) -> String {
    let dims = cases.iter().filter_map(|case| Some(case.work.fp64_product()?.dim));
    let (low, high) = (dims.clone().min().unwrap_or(0), dims.max().unwrap_or(0));
    format!("n={low}…{high}, {} cases", cases.len())
}

/// Tells `on_case` of each case before it is checked.
pub(super) fn check_cases(
    executor: &mut dyn Executor,
    cases: &[Case],
    expected: &[Expected],
    oracle: &dyn Recompute,
    on_case: &mut dyn FnMut(&Case),
) -> Outcome {
    for (case, expected) in cases.iter().zip(expected) {
        on_case(case);
        let outcome = Outcome::from(check::executor(executor, case, expected, oracle));
        match outcome {
            Outcome::Same => {}
            Outcome::Differs(what) => return Outcome::Differs(format!("{case}: {what}")),
            Outcome::Failed(what) => return Outcome::Failed(format!("{case}: {what}")),
            other => return other,
        }
    }
    Outcome::Same
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
        assert_eq!(names, ["gpu".to_owned()].into_iter().chain(rows).collect::<Vec<_>>());
        assert!(names.contains(&"x/gemm_fma".to_owned()), "{names:?}");
    }
}
