//! `attest selftest --stress`: who computes, how it goes, and whether all is well.

mod report;

use crate::args;
use crate::outcome::{Done, Result, note, print, print_json};
use crate::paint::Paint;
use crate::signals::Stop;
use anyhow::{anyhow, bail};
use attest::error_text::{in_one_line, what_happened};
use attest::evidence::present_gpus;
use attest::executor::NO_THREAD;
use attest::executor::cpu::{CpuExecutor, CpuOptions, Simd};
use attest::executor::gpu::bench::{Conditions, Telemetry};
use attest::executor::gpu::{GpuExecutor, GpuOptions, NoGpu};
use attest::executor::host_memory::HostMemory;
use attest::executor::{ExecError, Executor};
use attest::mining::devices::GpuDemand;
use attest::mining::kind::ArenaSize;
use attest::mining::mine::check_memory;
use attest::protocol::work::Work;
use attest::protocol::work::fp64_product::Fp64Product;
use attest::protocol::work::integer_product::IntegerProduct;
use attest::protocol::work::memory_residency::{
    ARENA_BLOCKS_MAX, ARENA_BLOCKS_STEP, MemoryResidency,
};
use attest::selftest::Health;
use attest::selftest::stress::{Load, StressOptions, StressSubject, stress};
use attest::work::memory_residency::cpu::MemoryCpu;
use report::Told;
use std::time::{Duration, Instant};

/// Time between two lines on how it goes.
const REPORT: Duration = Duration::from_secs(10);

/// Blocks of the arena that a CPU sweeps unless more is asked for: 256 MiB.
const CPU_ARENA_BLOCKS: u64 = 65_536;
/// What the arenas of GPUs are rounded to, so that those of one model have the same, and
/// the CPU computes their contents once: 128 MiB. At least half as much stays free.
const ARENA_BLOCKS_ROUNDED: u64 = 32_768;

/// Who computes.
struct Subjects {
    subjects: Vec<StressSubject>,
    /// Of each, if it is a GPU.
    telemetry: Vec<Option<Telemetry>>,
    /// Devices that did not open or are missing.
    broken: Vec<String>,
    on_gpus: bool,
}

impl Subjects {
    /// GPUs, none of which is open yet.
    fn of_gpus(broken: Vec<String>) -> Self {
        let (subjects, telemetry) = (Vec::new(), Vec::new());
        Self { subjects, telemetry, broken, on_gpus: true }
    }
}

/// Runs the loads for `duration`.
///
/// # Errors
/// Too little memory, or time; standard output can't be written.
pub fn run(duration: Duration, args: &args::Selftest, color: args::Color) -> Result {
    let stop = Stop::listen()?;
    let Subjects { subjects, telemetry, broken, on_gpus } = subjects(args)?;
    let loads = loads(args, on_gpus);
    let largest = subjects.iter().map(|subject| subject.arena_blocks).max().unwrap_or(0);
    for load in &loads {
        let work = match load {
            Load::Products(products) => products.work,
            Load::Sweeps => arena(largest.max(ARENA_BLOCKS_STEP)),
        };
        check_memory(work, load.digest_sets(subjects.len()))?;
    }
    let mut options =
        StressOptions { stop: stop.flag().clone(), ..StressOptions::new(duration, loads, largest) };
    if !on_gpus && let Some(scalar) = MemoryCpu::with_simd(Simd::Scalar) {
        options.memory = scalar;
    }
    let start = Instant::now();
    let mut last = start;
    let report = stress(subjects, &|| reference(on_gpus), &options, &mut |lanes| {
        if last.elapsed() >= REPORT {
            let now = conditions(&telemetry, last);
            note(&report::progress(start.elapsed(), lanes, &now));
            last = Instant::now();
        }
    })
    .map_err(|error| anyhow!("the system gives no thread: {error}\n{NO_THREAD}"))?;
    if let Some(code) = stop.exit_code() {
        return Ok(Done::Stopped(code));
    }
    if broken.is_empty() && report.health() == Health::NothingChecked {
        bail!(too_short(&report, &options.loads));
    }
    let healthy = report.is_healthy() && broken.is_empty();
    let conditions = conditions(&telemetry, start);
    let told =
        Told { report: &report, conditions: &conditions, broken: &broken, loads: &options.loads };
    if args.json {
        print_json(&told.to_json(healthy))?;
    } else {
        let paint = Paint::of(color, &std::io::stdout());
        let verdict = if healthy {
            paint.good("healthy: every bit the same all the time")
        } else {
            paint.bad("not healthy")
        };
        print(&format!("{}{verdict}\n", told.to_text()))?;
    }
    Ok(if healthy { Done::Ok } else { Done::Rejected })
}

/// What is to be done in turns, each kind once.
fn loads(args: &args::Selftest, on_gpus: bool) -> Vec<Load> {
    let products = |dim: (u32, u32), products: (u32, u32)| {
        let of = |(gpu, cpu)| if on_gpus { gpu } else { cpu };
        (args.dim.unwrap_or(of(dim)), args.matrices.unwrap_or(of(products)))
    };
    let mut loads: Vec<Load> = Vec::new();
    for kind in &args.kinds {
        let mut load = match kind {
            args::Kind::Fp64 => {
                let (dim, products) = products((4096, 512), (8, 1));
                Load::products(Fp64Product { dim, products }.into())
            }
            args::Kind::Integer => {
                let (dim, products) = products((8192, 512), (8, 1));
                Load::products(IntegerProduct { dim, products }.into())
            }
            args::Kind::Memory => Load::Sweeps,
        };
        if let Load::Products(products) = &mut load
            && on_gpus
        {
            // Nothing else keeps the CPU busy.
            products.known_iterations = products.round_iterations;
        }
        if loads.iter().all(|other| other.kind() != load.kind()) {
            loads.push(load);
        }
    }
    loads
}

/// What was not compared in the time that there was.
fn too_short(report: &attest::selftest::stress::StressReport, loads: &[Load]) -> String {
    let nothing = |&at: &usize| {
        report.loads[at].compared == 0
            || report.lanes.iter().any(|lane| lane.loads[at].iterations == 0)
    };
    let at = (0..loads.len()).find(nothing).unwrap_or(0);
    match &loads[at] {
        Load::Products(products) => format!(
            "the time was too short to compare a single iteration of {}\n\
             Give --stress more minutes, or a smaller --dim and fewer --matrices.",
            products.work
        ),
        Load::Sweeps => "the time was too short to compare a single sweep of all memory\n\
                         Give --stress more minutes, or a smaller --arena-bytes."
            .to_owned(),
    }
}

fn arena(arena_blocks: u64) -> Work {
    MemoryResidency { arena_blocks, half_passes: 0, peer_blocks: 0 }.into()
}

/// Blocks of the arena to sweep: of `size` if that is asked for, else `default`.
///
/// # Errors
/// It is too small for an arena.
fn arena_blocks(size: Option<ArenaSize>, memory_bytes: u64, default: u64) -> Result<u64> {
    let blocks = size.map_or(default, |size| size.blocks(memory_bytes)).min(ARENA_BLOCKS_MAX);
    if blocks < ARENA_BLOCKS_STEP {
        bail!(
            "there is no memory to sweep: an arena has at least 2 MiB\n\
             Give a larger --arena-bytes, or free memory (see nvidia-smi for other processes)."
        );
    }
    Ok(blocks)
}

/// # Errors
/// The system gives no thread to ask the driver on: nothing is known of any device.
/// The same if there is no memory to sweep.
fn subjects(args: &args::Selftest) -> Result<Subjects> {
    let sweeps = args.kinds.contains(&args::Kind::Memory);
    let cpu = || -> Result<Subjects> {
        let executor = CpuExecutor::new(CpuOptions::default());
        let name = format!("CPU ({})", executor.facts().model);
        let total = HostMemory::read().map_or(0, |memory| memory.total_bytes);
        let arena_blocks = match sweeps {
            true => arena_blocks(args.arena_bytes, total, CPU_ARENA_BLOCKS)?,
            false => 0,
        };
        let subject = StressSubject { name, executor: Box::new(executor), arena_blocks };
        let (subjects, telemetry) = (vec![subject], vec![None]);
        Ok(Subjects { subjects, telemetry, broken: Vec::new(), on_gpus: false })
    };
    let GpuDemand::Present(rules) = args.demand() else { return cpu() };
    let listed = present_gpus();
    if let Err(no_gpu @ NoGpu::NoThread { .. }) = listed {
        return Err(no_gpu.into());
    }
    let too_few = rules.check_count(listed.as_ref()).err().map(in_one_line);
    let (list, missing) = match (listed, too_few) {
        (Ok(list), too_few) => {
            // What is missing stands in the count's words.
            let missing = too_few.or_else(|| list.missing.as_ref().map(in_one_line));
            (list, missing)
        }
        // There may be GPUs, and a CPU says nothing of them.
        (Err(no_gpu), _) if !no_gpu.is_absence() => {
            return Ok(Subjects::of_gpus(vec![in_one_line(no_gpu)]));
        }
        (Err(_), Some(too_few)) => return Ok(Subjects::of_gpus(vec![too_few])),
        (Err(no_gpu), None) => {
            note(&format!("note: {}", what_happened(no_gpu)));
            return cpu();
        }
    };
    let broken = list.broken.into_iter().map(|broken| in_one_line(broken.error));
    let broken = broken.chain(missing).collect();
    let mut subjects = Subjects::of_gpus(broken);
    for device in list.devices {
        match GpuExecutor::open_in_time(device.index, GpuOptions::default()) {
            Ok(gpu) => {
                let arena_blocks = match sweeps {
                    true => {
                        let free = rounded(gpu.arena_blocks_max()?);
                        arena_blocks(args.arena_bytes, device.memory_bytes, free)?
                    }
                    false => 0,
                };
                let (name, executor) = (device.label(), Box::new(gpu));
                subjects.subjects.push(StressSubject { name, executor, arena_blocks });
                subjects.telemetry.push(Some(Telemetry::start(&device.pci_id)));
            }
            Err(error @ ExecError::NoThread { .. }) => return Err(error.into()),
            Err(error) => subjects.broken.push(in_one_line(error)),
        }
    }
    Ok(subjects)
}

/// What is swept of the largest arena that fits.
fn rounded(blocks: u64) -> u64 {
    let spare = blocks.saturating_sub(ARENA_BLOCKS_ROUNDED / 2);
    match spare / ARENA_BLOCKS_ROUNDED * ARENA_BLOCKS_ROUNDED {
        // A small device, or one that others use.
        0 => blocks / 2 / ARENA_BLOCKS_STEP * ARENA_BLOCKS_STEP,
        rounded => rounded,
    }
}

/// The CPU; for the CPU itself, another set of instructions than its lane's.
fn reference(on_gpus: bool) -> Box<dyn Executor> {
    let scalar = || CpuExecutor::with_simd(Simd::Scalar, CpuOptions::default());
    let other = if on_gpus { None } else { scalar() };
    Box::new(other.unwrap_or_else(|| CpuExecutor::new(CpuOptions::default())))
}

fn conditions(telemetry: &[Option<Telemetry>], since: Instant) -> Vec<Option<Conditions>> {
    let window = [(since, Instant::now())];
    telemetry.iter().map(|device| device.as_ref()?.over(&window)).collect()
}
