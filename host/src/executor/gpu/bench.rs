//! Measuring a shape on a device: the attested loop, the bare product and
//! cuBLAS, taking turns in one process so that all work under the same
//! sustained load, and the time of each phase by events.
//!
//! An attested turn is [`Executor::run`] as a challenge runs it: fill,
//! product, every output hashed, tree, chain step, SM counters, roots to the
//! host. All figures count 2·m·n³ FLOP an iteration.

mod report;

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
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use report::median;
pub use report::{BenchReport, Phases, Side};

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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn linux_tells_cpu_time() {
        if let Some(before) = cpu_time() {
            assert!(cpu_time().is_some_and(|after| after >= before));
        }
    }
}
