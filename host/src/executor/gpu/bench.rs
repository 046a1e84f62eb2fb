//! Measuring a shape on a device: the attested loop, the bare product and
//! cuBLAS, taking turns in one process so that all work under the same
//! sustained load, and the time of each phase by events.
//!
//! An attested turn is [`Executor::run`] as a challenge runs it: fill,
//! product, every output hashed, tree, chain step, SM counters, roots to the
//! host. All figures count 2·m·n³ FLOP an iteration.

use super::cublas::{Cublas, Products};
use super::driver::{DeviceMemory, Gpu, Timing};
use super::executor::{GpuExecutor, GpuOptions};
use super::kernels::Kernels;
use super::lane::Lane;
use super::launch::{Hashing, StepRule};
use super::variant::Variant;
use crate::executor::{ExecError, Executor, Segment};
use crate::protocol::digest::Digest;
use crate::protocol::plan::Shape;
use cuda_driver::Failure;
use serde::Serialize;
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Number of the device.
    pub device: u32,
    /// Only this variant; `None`: the fastest that loads.
    pub variant: Option<Variant>,
    /// n and m.
    pub shape: Shape,
    /// Turns of each side; the median counts.
    pub turns: u32,
    /// Least length of a turn.
    pub turn: Duration,
    /// Where cuBLAS is; `None`: where the dynamic loader finds it.
    pub cublas: Option<PathBuf>,
}

impl BenchOptions {
    /// Three turns of a second and a half: past the second after which a
    /// power limit holds the clock down.
    pub fn new(device: u32, shape: Shape) -> Self {
        let turn = Duration::from_millis(1500);
        Self { device, variant: None, shape, turns: 3, turn, cublas: None }
    }
}

/// One side's turns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// TFLOP/s of each turn, in order.
    pub turns_tflops: Vec<f64>,
    /// Their median.
    pub median_tflops: f64,
}

/// Time of each phase in one iteration, by events.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Phases {
    /// Operands.
    pub fill_ms: f64,
    /// Product with hashing.
    pub product_ms: f64,
    /// Product without.
    pub bare_product_ms: f64,
    /// Merkle tree and chain step.
    pub tree_and_step_ms: f64,
    /// A whole iteration, kernels launched one by one.
    pub iteration_ms: f64,
    /// Bytes that fill writes a second, in 10¹².
    pub fill_tb_s: f64,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchReport {
    /// The device.
    pub device: String,
    /// The kernels, such as "sm_90a/gemm_m16n8k8".
    pub variant: String,
    /// n.
    pub dim: u32,
    /// m.
    pub products: u32,
    /// Device memory of the plan, bytes.
    pub device_bytes: u64,
    /// The whole loop.
    pub attested: Side,
    /// The product alone.
    pub bare: Side,
    /// cuBLAS's batched DGEMM, or why there is none.
    pub cublas: Result<Side, String>,
    /// cuBLAS's version, 0 without one.
    pub cublas_version: i32,
    /// attested ÷ cuBLAS.
    pub attested_to_cublas: Option<f64>,
    /// bare ÷ cuBLAS.
    pub bare_to_cublas: Option<f64>,
    /// Each phase.
    pub phases: Phases,
    /// CPU time of the process per second of attested running, in cores.
    pub host_cores: Option<f64>,
}

/// Measures one shape.
///
/// # Errors
/// Device faults, or a shape that does not fit.
pub fn bench(options: &BenchOptions) -> Result<BenchReport, ExecError> {
    let gpu_options = GpuOptions { variant: options.variant, ..GpuOptions::default() };
    let mut executor = GpuExecutor::open(options.device, gpu_options)?;
    let shape = options.shape;
    executor.begin(shape)?;
    let label = executor.device().label();
    let variant = executor.variant().to_string();
    let device_bytes = executor.plan().map_or(0, |plan| plan.bytes.on_device());

    let mut rival = Rival::load(&mut executor, options);
    // Everything once, to compile, to warm up, and to know how long a turn is.
    let warm = Duration::from_millis(300);
    let mut pace = Pace::default();
    attested(&mut executor, shape, warm, &mut pace)?;
    bare(&mut executor, warm)?;
    if let Ok(cublas) = &rival
        && let Err(reason) = cublas.turn(&mut executor, shape, warm)?
    {
        rival = Err(reason);
    }

    let mut sides: [Vec<f64>; 3] = Default::default();
    let mut cores = Vec::new();
    for _ in 0..options.turns.max(1) {
        let (speed, load) = attested(&mut executor, shape, options.turn, &mut pace)?;
        sides[0].push(speed);
        cores.extend(load);
        if let Ok(cublas) = &rival {
            match cublas.turn(&mut executor, shape, options.turn)? {
                Ok(speed) => sides[1].push(speed),
                Err(reason) => rival = Err(reason),
            }
        }
        sides[2].push(bare(&mut executor, options.turn)?);
    }
    let phases = phases(&mut executor)?;
    let [attested, cublas, bare] = sides.map(Side::of);
    let cublas_version = rival.as_ref().map_or(0, |rival| rival.cublas.version());
    let cublas = rival.map(|_| cublas);
    let ratio =
        |side: &Side| cublas.as_ref().ok().map(|cublas| side.median_tflops / cublas.median_tflops);
    Ok(BenchReport {
        device: label,
        variant,
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

impl Side {
    fn of(turns_tflops: Vec<f64>) -> Self {
        let median_tflops = median(turns_tflops.clone()).unwrap_or(0.0);
        Self { turns_tflops, median_tflops }
    }
}

/// The middle value, or the mean of the two middle ones.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// TFLOP/s of `iterations` iterations in `elapsed`.
fn tflops(shape: Shape, iterations: u64, elapsed: Duration) -> f64 {
    2e-12 * shape.multiply_adds() as f64 * iterations as f64 / elapsed.as_secs_f64()
}

/// Iterations a second, as the last turn had them.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    iterations_per_s: Option<f64>,
}

impl Pace {
    /// Enough iterations for `turn`; a few where nothing is known.
    fn iterations(self, turn: Duration) -> u32 {
        let wanted = self.iterations_per_s.map_or(4.0, |pace| pace * turn.as_secs_f64() * 1.02);
        wanted.ceil().clamp(1.0, 1e6) as u32
    }
}

/// Runs the attested loop for at least `turn`: TFLOP/s, and cores of CPU used.
fn attested(
    executor: &mut GpuExecutor,
    shape: Shape,
    turn: Duration,
    pace: &mut Pace,
) -> Result<(f64, Option<f64>), ExecError> {
    let (mut done, mut elapsed) = (0, Duration::ZERO);
    let cpu_before = cpu_time();
    while elapsed < turn {
        let segment = Segment {
            shape,
            first_iteration: 1,
            iterations: pace.iterations(turn - elapsed),
            start: Digest::of(&[b"bench"]),
            solo_sync: None,
        };
        let start = Instant::now();
        executor.run(&segment, &mut |_| ControlFlow::Continue(()))?;
        let took = start.elapsed();
        pace.iterations_per_s = Some(f64::from(segment.iterations) / took.as_secs_f64());
        done += u64::from(segment.iterations);
        elapsed += took;
    }
    let cores = cpu_before
        .zip(cpu_time())
        .map(|(before, after)| (after - before).as_secs_f64() / elapsed.as_secs_f64());
    Ok((tflops(shape, done, elapsed), cores))
}

/// Enqueues `work` again and again for at least `turn`, a few milliseconds at
/// a time and never more than two such groups ahead. Returns how often it ran,
/// and the time from first to last by events.
fn repeat<E>(
    gpu: &Gpu,
    turn: Duration,
    wrap: impl Fn(Failure) -> E,
    mut work: impl FnMut() -> Result<(), E>,
) -> Result<(u64, Duration), E> {
    let event = || gpu.event(Timing::Measured).map_err(&wrap);
    let (start, mut marks) = (event()?, [event()?, event()?]);
    gpu.record(&start).map_err(&wrap)?;
    let (mut done, mut group, mut last_ms) = (0_u64, 1_u64, 0.0_f64);
    let mut enqueue = |count: u64, mark: &cust::event::Event| -> Result<(), E> {
        for _ in 0..count {
            work()?;
        }
        gpu.record(mark).map_err(&wrap)
    };
    enqueue(group, &marks[0])?;
    done += group;
    loop {
        // The next group is on its way before the last one is waited for.
        enqueue(group, &marks[1])?;
        done += group;
        let elapsed_ms = |mark: &cust::event::Event| {
            mark.synchronize()
                .and_then(|()| mark.elapsed_time_f32(&start))
                .map_err(|error| wrap(super::error::from_cust(error)))
        };
        let now_ms = f64::from(elapsed_ms(&marks[0])?);
        if now_ms - last_ms < 4.0 && group < 4096 {
            group *= 2;
        }
        last_ms = now_ms;
        if now_ms >= turn.as_secs_f64() * 1e3 {
            let all_ms = f64::from(elapsed_ms(&marks[1])?);
            return Ok((done, Duration::from_secs_f64(all_ms / 1e3)));
        }
        marks.swap(0, 1);
    }
}

/// The bare product for at least `turn`, TFLOP/s.
fn bare(executor: &mut GpuExecutor, turn: Duration) -> Result<f64, ExecError> {
    let (gpu, kernels, lane) = executor.parts()?;
    prepare(gpu, kernels, lane)?;
    let pass = || products(gpu, kernels, lane, Hashing::Bare);
    let (done, elapsed) = repeat(gpu, turn, |failure| gpu.error("timing", failure), pass)?;
    Ok(tflops(lane.plan.shape, done, elapsed))
}

/// Chain at its start, operands of the first chunk in memory: what follows
/// multiplies full-mantissa random numbers.
fn prepare(gpu: &Gpu, kernels: &Kernels, lane: &mut Lane) -> Result<(), ExecError> {
    lane.set_chain(gpu, &Digest::of(&[b"bench"]), 1)?;
    let first = lane.plan.chunks().next();
    first.map_or(Ok(()), |chunk| lane.fill(gpu, kernels, chunk))
}

/// All chunks of an iteration, over the operands that are there.
fn products(gpu: &Gpu, kernels: &Kernels, lane: &Lane, hashing: Hashing) -> Result<(), ExecError> {
    lane.plan.chunks().try_for_each(|chunk| lane.gemm(gpu, kernels, chunk, hashing))
}

/// Each phase alone, over enough repetitions to be exact.
fn phases(executor: &mut GpuExecutor) -> Result<Phases, ExecError> {
    let (gpu, kernels, lane) = executor.parts()?;
    prepare(gpu, kernels, lane)?;
    let rule = StepRule { challenge: [0; 8], solo_interval: 0 };
    let lane = &*lane;
    let ms = |work: &dyn Fn() -> Result<(), ExecError>| {
        let turn = Duration::from_millis(150);
        let (done, elapsed) = repeat(gpu, turn, |failure| gpu.error("timing", failure), work)?;
        Ok::<f64, ExecError>(1e3 * elapsed.as_secs_f64() / done as f64)
    };
    let fill_ms = ms(&|| lane.plan.chunks().try_for_each(|chunk| lane.fill(gpu, kernels, chunk)))?;
    let shape = lane.plan.shape;
    let written = u64::from(shape.products) * shape.operand_bytes_per_product();
    Ok(Phases {
        fill_ms,
        product_ms: ms(&|| products(gpu, kernels, lane, Hashing::Hashed))?,
        bare_product_ms: ms(&|| products(gpu, kernels, lane, Hashing::Bare))?,
        tree_and_step_ms: ms(&|| lane.tree_and_step(gpu, kernels, rule))?,
        iteration_ms: ms(&|| lane.iteration(gpu, kernels, rule))?,
        fill_tb_s: written as f64 / (fill_ms * 1e9),
    })
}

/// cuBLAS and memory for its outputs.
struct Rival {
    outputs: DeviceMemory,
    cublas: Cublas,
    products: u32,
}

impl Rival {
    /// Over the lane's own operands, as many products as a chunk holds.
    fn load(executor: &mut GpuExecutor, options: &BenchOptions) -> Result<Self, String> {
        let (gpu, _, lane) = executor.parts().map_err(|error| error.to_string())?;
        let products = lane.plan.chunk_products;
        let cublas = Cublas::load(gpu, options.cublas.as_deref())?;
        let bytes = u64::from(products) * options.shape.operand_bytes_per_product() / 2;
        let outputs = DeviceMemory::new(gpu, bytes)
            .map_err(|failure| format!("no memory for cuBLAS's outputs: {failure}"))?;
        Ok(Self { outputs, cublas, products })
    }

    /// Multiplies for at least `turn`, TFLOP/s. The inner error is cuBLAS's own.
    fn turn(
        &self,
        executor: &mut GpuExecutor,
        shape: Shape,
        turn: Duration,
    ) -> Result<Result<f64, String>, ExecError> {
        let (gpu, kernels, lane) = executor.parts()?;
        prepare(gpu, kernels, lane)?;
        let work = Products {
            operands: &lane.workspace.operands,
            outputs: &self.outputs,
            dim: shape.dim,
            products: self.products,
        };
        let wrap = |failure: Failure| failure.to_string();
        let measured = repeat(gpu, turn, wrap, || self.cublas.enqueue(work));
        let multiplied = Shape { products: self.products, ..shape };
        Ok(measured.map(|(done, elapsed)| tflops(multiplied, done, elapsed)))
    }
}

/// CPU time of all threads of this process, where Linux tells it.
fn cpu_time() -> Option<Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Some(Duration::from_nanos(nanoseconds.sum()))
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phases, .. } = self;
        writeln!(f, "{}  {}  n = {}, m = {}", self.device, self.variant, self.dim, self.products)?;
        let side = |name: &str, side: &Side, ratio: Option<f64>| {
            let turns: Vec<_> = side.turns_tflops.iter().map(|t| format!("{t:.2}")).collect();
            let ratio = ratio.map_or(String::new(), |r| format!("  {r:.3} × cuBLAS"));
            format!(
                "  {name:<16}{:>8.2} TFLOP/s  ({}){ratio}",
                side.median_tflops,
                turns.join(", ")
            )
        };
        writeln!(f, "{}", side("attested", &self.attested, self.attested_to_cublas))?;
        writeln!(f, "{}", side("bare product", &self.bare, self.bare_to_cublas))?;
        match &self.cublas {
            Ok(cublas) => {
                writeln!(f, "{}  version {}", side("cuBLAS", cublas, None), self.cublas_version)?;
            }
            Err(reason) => writeln!(f, "  cuBLAS          {reason}")?,
        }
        writeln!(f, "  fill            {:>10.4} ms  {:.2} TB/s", phases.fill_ms, phases.fill_tb_s)?;
        writeln!(f, "  product         {:>10.4} ms  ({:.4} ms bare)", phases.product_ms, {
            phases.bare_product_ms
        })?;
        writeln!(f, "  tree and step   {:>10.4} ms", phases.tree_and_step_ms)?;
        writeln!(f, "  iteration       {:>10.4} ms", phases.iteration_ms)?;
        if let Some(cores) = self.host_cores {
            writeln!(f, "  host            {:>9.1} % of a core", cores * 100.0)?;
        }
        write!(f, "  device memory   {} bytes", self.device_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_multiply_add_counts_as_two() {
        let shape = Shape { dim: 1000, products: 1 };
        assert!((tflops(shape, 1, Duration::from_secs(1)) - 0.002).abs() < 1e-12);
    }

    #[test]
    fn a_turn_is_as_long_as_asked() {
        let pace = Pace { iterations_per_s: Some(1000.0) };
        assert_eq!(pace.iterations(Duration::from_millis(1500)), 1530);
        assert_eq!(Pace::default().iterations(Duration::from_secs(1)), 4);
        let slow = Pace { iterations_per_s: Some(0.01) };
        assert_eq!(slow.iterations(Duration::from_millis(1)), 1);
    }

    #[test]
    fn a_report_without_cublas_says_why() {
        let side = Side::of(vec![50.0, 52.0, 51.0]);
        let report = BenchReport {
            device: "GPU 0 (NVIDIA H200)".into(),
            variant: "sm_90a/gemm_m16n8k8".into(),
            dim: 4096,
            products: 8,
            device_bytes: 1,
            attested: side.clone(),
            bare: side,
            cublas: Err("cuBLAS cannot be loaded: not here".into()),
            cublas_version: 0,
            attested_to_cublas: None,
            bare_to_cublas: None,
            phases: Phases {
                fill_ms: 1.0,
                product_ms: 20.0,
                bare_product_ms: 19.0,
                tree_and_step_ms: 0.1,
                iteration_ms: 21.2,
                fill_tb_s: 4.1,
            },
            host_cores: Some(0.012),
        };
        let text = report.to_string();
        for part in ["51.00 TFLOP/s", "not here", "4.10 TB/s", "1.2 % of a core"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn linux_tells_cpu_time() {
        if let Some(before) = cpu_time() {
            assert!(cpu_time().is_some_and(|after| after >= before));
        }
    }
}
