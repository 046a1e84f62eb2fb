//! `attest selftest --stress`: who computes, how it goes, and whether all is well.

use crate::args;
use crate::outcome::{Done, Result, note, print, print_json};
use crate::paint::{Paint, duration, grouped, table};
use crate::signals::Stop;
use anyhow::{anyhow, bail};
use attest::error_text::{in_one_line, what_happened};
use attest::evidence::present_gpus;
use attest::executor::NO_THREAD;
use attest::executor::cpu::{CpuExecutor, CpuOptions, Simd};
use attest::executor::gpu::bench::{Conditions, Telemetry};
use attest::executor::gpu::{GpuExecutor, GpuOptions, NoGpu};
use attest::executor::{ExecError, Executor};
use attest::mining::devices::GpuDemand;
use attest::mining::mine::check_memory;
use attest::protocol::work::fp64_product::Fp64Product;
use attest::selftest::Health;
use attest::selftest::stress::{StressLane, StressOptions, StressReport, stress};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Time between two lines on how it goes.
const REPORT: Duration = Duration::from_secs(10);

/// Who computes.
struct Subjects {
    executors: Vec<(String, Box<dyn Executor>)>,
    /// Of each, if it is a GPU.
    telemetry: Vec<Option<Telemetry>>,
    /// Devices that did not open or are missing.
    broken: Vec<String>,
    shape: Fp64Product,
    on_gpus: bool,
}

impl Subjects {
    /// GPUs, none of which is open yet.
    fn of_gpus(broken: Vec<String>, shape: Fp64Product) -> Self {
        let (executors, telemetry) = (Vec::new(), Vec::new());
        Self { executors, telemetry, broken, shape, on_gpus: true }
    }
}

/// Runs the chain for `duration`.
///
/// # Errors
/// Too little memory, or time; standard output can't be written.
pub fn run(duration: Duration, args: &args::Selftest, color: args::Color) -> Result {
    let stop = Stop::listen()?;
    let Subjects { executors, telemetry, broken, shape, on_gpus } = subjects(args)?;
    let mut options =
        StressOptions { stop: stop.flag().clone(), ..StressOptions::new(duration, shape) };
    if on_gpus {
        // Nothing else keeps the CPU busy.
        options.known_iterations = options.round_iterations;
    }
    check_memory(shape.into(), options.digest_sets(executors.len()))?;
    let start = Instant::now();
    let mut last = start;
    let report = stress(executors, &|| reference(on_gpus), &options, &mut |lanes| {
        if last.elapsed() >= REPORT {
            let now = conditions(&telemetry, last);
            note(&progress(start.elapsed(), lanes, &now));
            last = Instant::now();
        }
    })
    .map_err(|error| anyhow!("the system gives no thread: {error}\n{NO_THREAD}"))?;
    if let Some(code) = stop.exit_code() {
        return Ok(Done::Stopped(code));
    }
    if broken.is_empty() && report.health() == Health::NothingChecked {
        bail!(
            "the time was too short to compare a single iteration of n = {}, m = {}\n\
             Give --stress more minutes, or a smaller --dim and fewer --matrices.",
            shape.dim,
            shape.products
        );
    }
    let healthy = report.is_healthy() && broken.is_empty();
    let conditions = conditions(&telemetry, start);
    if args.json {
        print_json(&to_json(&report, &conditions, &broken, shape, healthy))?;
    } else {
        let paint = Paint::of(color, &std::io::stdout());
        let verdict = if healthy {
            paint.good("healthy: every bit the same all the time")
        } else {
            paint.bad("not healthy")
        };
        print(&format!("{}{verdict}\n", to_text(&report, &conditions, &broken, shape)))?;
    }
    Ok(if healthy { Done::Ok } else { Done::Rejected })
}

/// # Errors
/// The system gives no thread to ask the driver on: nothing is known of any device.
fn subjects(args: &args::Selftest) -> Result<Subjects> {
    let shape = |dim, products| Fp64Product {
        dim: args.dim.unwrap_or(dim),
        products: args.matrices.unwrap_or(products),
    };
    let cpu = || {
        let cpu = CpuExecutor::new(CpuOptions::default());
        let name = format!("CPU ({})", cpu.facts().model);
        Subjects {
            executors: vec![(name, Box::new(cpu))],
            telemetry: vec![None],
            broken: Vec::new(),
            shape: shape(512, 1),
            on_gpus: false,
        }
    };
    let GpuDemand::Present(rules) = args.demand() else { return Ok(cpu()) };
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
            return Ok(Subjects::of_gpus(vec![in_one_line(no_gpu)], shape(4096, 8)));
        }
        (Err(_), Some(too_few)) => return Ok(Subjects::of_gpus(vec![too_few], shape(4096, 8))),
        (Err(no_gpu), None) => {
            note(&format!("note: {}", what_happened(no_gpu)));
            return Ok(cpu());
        }
    };
    let broken = list.broken.into_iter().map(|broken| in_one_line(broken.error));
    let broken = broken.chain(missing).collect();
    let mut subjects = Subjects::of_gpus(broken, shape(4096, 8));
    for device in list.devices {
        match GpuExecutor::open_in_time(device.index, GpuOptions::default()) {
            Ok(gpu) => {
                subjects.executors.push((device.label(), Box::new(gpu)));
                subjects.telemetry.push(Some(Telemetry::start(&device.pci_id)));
            }
            Err(error @ ExecError::NoThread { .. }) => return Err(error.into()),
            Err(error) => subjects.broken.push(in_one_line(error)),
        }
    }
    Ok(subjects)
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

fn progress(elapsed: Duration, lanes: &[StressLane], now: &[Option<Conditions>]) -> String {
    let lanes = lanes.iter().zip(now).map(|(lane, now)| match &lane.failure {
        Some(why) => format!("{}: FAILED: {why}", lane.name),
        None => format!("{}: {:.2} TFLOP/s{}", lane.name, lane.tflops, warmth(now.as_ref())),
    });
    format!("{:>10}  {}", duration(elapsed), lanes.collect::<Vec<_>>().join("; "))
}

/// ", 64 °C, 690 W", as far as it is known.
fn warmth(now: Option<&Conditions>) -> String {
    let Some(now) = now else { return String::new() };
    let temperature = now.temperature_c.map(|c| format!(", {c} °C")).unwrap_or_default();
    temperature + &now.power_w.map(|w| format!(", {w:.0} W")).unwrap_or_default()
}

fn to_text(
    report: &StressReport,
    conditions: &[Option<Conditions>],
    broken: &[String],
    shape: Fp64Product,
) -> String {
    let rows: Vec<Vec<String>> = report
        .lanes
        .iter()
        .zip(conditions)
        .map(|(lane, conditions)| {
            let wrong = report.faults.iter().filter(|fault| fault.uuid == lane.uuid).count();
            let outcome = match (&lane.failure, wrong) {
                (Some(why), _) => format!("FAILED: {why}"),
                (None, 0) => "same bits".to_owned(),
                (None, wrong) => format!("WRONG {wrong} times"),
            };
            let warmth = warmth(conditions.as_ref());
            let warmth = warmth.trim_start_matches(", ").to_owned();
            let rate = format!("{:.2} TFLOP/s", lane.tflops);
            vec![lane.name.clone(), grouped(lane.iterations), rate, warmth, outcome]
        })
        .collect();
    let header = ["device", "iterations", "rate", "at most, mean", "outcome"];
    let mut out = table(&header, &rows);
    for why in broken {
        out += &format!("not usable: {why}\n");
    }
    for fault in &report.faults {
        out += &format!("{fault}\n");
    }
    if report.unjudged > 0 {
        out += &format!("{} more differences, not judged\n", grouped(report.unjudged));
    }
    let Fp64Product { dim, products } = shape;
    out + &format!(
        "{} of n = {dim}, m = {products}; the CPU confirms the first {} iterations\n",
        duration(report.elapsed),
        report.known_iterations,
    )
}

fn to_json(
    report: &StressReport,
    conditions: &[Option<Conditions>],
    broken: &[String],
    shape: Fp64Product,
    healthy: bool,
) -> Value {
    let lane = |(lane, conditions): (&StressLane, &Option<Conditions>)| {
        json!({
            "device": lane.name,
            "uuid": lane.uuid,
            "iterations": lane.iterations,
            "tflops": lane.tflops,
            "failure": lane.failure,
            "conditions": conditions,
        })
    };
    let fault = |fault: &attest::selftest::stress::Fault| {
        json!({
            "device": fault.device,
            "uuid": fault.uuid,
            "round": fault.round,
            "iteration": fault.iteration,
            "tile": fault.tile,
            "expected": fault.expected,
            "got": fault.got,
        })
    };
    json!({
        "healthy": healthy,
        "elapsed_ms": u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
        "matrix_dim": shape.dim,
        "num_matrices": shape.products,
        "known_iterations": report.known_iterations,
        "lanes": report.lanes.iter().zip(conditions).map(lane).collect::<Vec<_>>(),
        "did_not_open": broken,
        "faults": report.faults.iter().map(fault).collect::<Vec<_>>(),
        "unjudged_differences": report.unjudged,
    })
}
