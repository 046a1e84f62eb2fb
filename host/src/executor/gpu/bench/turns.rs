//! Turns of work on a device, each at least as long as asked: the attested
//! loop, the bare product, and whatever else is enqueued again and again.

use super::telemetry::Telemetry;
use super::{Side, median};
use crate::executor::gpu::cpu_time;
use crate::executor::gpu::driver::{Gpu, Timing};
use crate::executor::gpu::error::from_cust;
use crate::executor::gpu::executor::GpuExecutor;
use crate::executor::gpu::kernels::Kernels;
use crate::executor::gpu::lane::Lane;
use crate::executor::gpu::launch::Hashing;
use crate::executor::{ExecError, Executor, Segment};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use cuda_driver::Failure;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Speeds of one side, and when its turns were.
#[derive(Debug, Default)]
pub(super) struct Log {
    speeds: Vec<f64>,
    windows: Vec<(Instant, Instant)>,
}

impl Log {
    /// Keeps the speed of a turn that began at `start` and ends now.
    pub(super) fn keep(&mut self, start: Instant, speed: f64) {
        self.speeds.push(speed);
        self.windows.push((start, Instant::now()));
    }

    /// Everything that the turns gave.
    pub(super) fn side(self, telemetry: &Telemetry) -> Side {
        let median_tflops = median(self.speeds.clone()).unwrap_or(0.0);
        let conditions = telemetry.over(&self.windows);
        Side { turns_tflops: self.speeds, median_tflops, conditions }
    }
}

/// 10¹² operations a second, two a multiply-add, of `iterations` iterations in `elapsed`.
pub(super) fn tera(multiply_adds: u64, iterations: u64, elapsed: Duration) -> f64 {
    2e-12 * multiply_adds as f64 * iterations as f64 / elapsed.as_secs_f64()
}

/// Iterations a second, as the last turn had them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    iterations_per_s: Option<f64>,
}

impl Pace {
    /// Enough iterations for `turn`; a few if nothing is known.
    fn iterations(self, turn: Duration) -> u32 {
        let wanted = self.iterations_per_s.map_or(4.0, |pace| pace * turn.as_secs_f64() * 1.02);
        wanted.ceil().clamp(1.0, 1e6) as u32
    }
}

/// CPU time that the process takes, less that of the sampling thread.
pub(super) struct HostLoad {
    start: Instant,
    before: Option<Duration>,
}

impl HostLoad {
    pub(super) fn start(telemetry: &Telemetry) -> Self {
        Self { start: Instant::now(), before: Self::time(telemetry) }
    }

    /// Cores in use since the start.
    pub(super) fn cores(&self, telemetry: &Telemetry) -> Option<f64> {
        let taken = Self::time(telemetry)?.saturating_sub(self.before?);
        Some(taken.as_secs_f64() / self.start.elapsed().as_secs_f64())
    }

    fn time(telemetry: &Telemetry) -> Option<Duration> {
        Some(cpu_time::of_process()?.saturating_sub(telemetry.cpu_time()))
    }
}

/// The segment that is run: iterations 1, 2, … of a fixed chain.
pub(super) fn segment(iterations: u32) -> Segment {
    let start = State(Digest::of(&[b"bench"]).0);
    Segment { first_iteration: 1, iterations, start, solo_sync: None }
}

/// Runs the attested loop of products for at least `turn`, 10¹² operations a second.
pub(super) fn attested(
    executor: &mut GpuExecutor,
    multiply_adds: u64,
    turn: Duration,
    pace: &mut Pace,
) -> Result<f64, ExecError> {
    let (mut done, mut elapsed) = (0, Duration::ZERO);
    while elapsed < turn {
        let segment = segment(pace.iterations(turn - elapsed));
        let start = Instant::now();
        executor.run(&segment, &mut |_| ControlFlow::Continue(()))?;
        let took = start.elapsed();
        pace.iterations_per_s = Some(f64::from(segment.iterations) / took.as_secs_f64());
        done += u64::from(segment.iterations);
        elapsed += took;
    }
    Ok(tera(multiply_adds, done, elapsed))
}

/// Enqueues `work` again and again for at least `turn`, a few milliseconds at
/// a time and never more than two such groups ahead. Returns how often it ran,
/// and the time from first to last by events.
pub(super) fn repeat<E>(
    gpu: &Gpu,
    turn: Duration,
    wrap: impl Fn(Failure) -> E,
    mut work: impl FnMut() -> Result<(), E>,
) -> Result<(u64, Duration), E> {
    let event = || gpu.event(Timing::Measured).map_err(&wrap);
    let (start, mut marks) = (event()?, [event()?, event()?]);
    gpu.record(&start).map_err(&wrap)?;
    let (mut done, mut group, mut last_ms) = (0_u64, 1_u64, 0.0_f64);
    // Returns all work that is enqueued by then.
    let mut enqueue = |count: u64, mark: &cust::event::Event| -> Result<u64, E> {
        for _ in 0..count {
            work()?;
        }
        gpu.record(mark).map_err(&wrap)?;
        Ok(gpu.supervisor().enqueued())
    };
    let mut through = [enqueue(group, &marks[0])?, 0];
    done += group;
    loop {
        // The next group is on its way before the last one is waited for.
        through[1] = enqueue(group, &marks[1])?;
        done += group;
        let elapsed_ms = |at: usize| {
            let ended = marks[at].synchronize();
            gpu.supervisor().completed(through[at]);
            ended
                .and_then(|()| marks[at].elapsed_time_f32(&start))
                .map_err(|error| wrap(from_cust(error)))
        };
        let now_ms = f64::from(elapsed_ms(0)?);
        if now_ms - last_ms < 4.0 && group < 4096 {
            group *= 2;
        }
        last_ms = now_ms;
        if now_ms >= turn.as_secs_f64() * 1e3 {
            let all_ms = f64::from(elapsed_ms(1)?);
            return Ok((done, Duration::from_secs_f64(all_ms / 1e3)));
        }
        marks.swap(0, 1);
        through.swap(0, 1);
    }
}

/// Milliseconds of one `work`, repeated for at least `turn`.
pub(super) fn repeat_ms(
    gpu: &Gpu,
    turn: Duration,
    work: impl FnMut() -> Result<(), ExecError>,
) -> Result<f64, ExecError> {
    let (done, elapsed) = repeat(gpu, turn, |failure| gpu.error("timing", failure), work)?;
    Ok(1e3 * elapsed.as_secs_f64() / done as f64)
}

/// The bare product for at least `turn`, 10¹² operations a second.
pub(super) fn bare(executor: &mut GpuExecutor, turn: Duration) -> Result<f64, ExecError> {
    let (gpu, kernels, lane) = executor.parts()?;
    prepare(gpu, kernels, lane)?;
    let pass = || products(gpu, kernels, lane, Hashing::Bare);
    let ms = repeat_ms(gpu, turn, pass)?;
    Ok(tera(lane.plan.shape().multiply_adds(), 1, Duration::from_secs_f64(ms / 1e3)))
}

/// Chain at its start, operands of the first chunk in memory: what follows
/// multiplies random numbers.
pub(super) fn prepare(gpu: &Gpu, kernels: &Kernels, lane: &mut Lane) -> Result<(), ExecError> {
    lane.set_chain(gpu, &State(Digest::of(&[b"bench"]).0), 1)?;
    let first = lane.plan.chunks().next();
    first.map_or(Ok(()), |chunk| lane.fill(gpu, kernels, chunk))
}

/// All chunks of an iteration, over the operands that are there.
pub(super) fn products(
    gpu: &Gpu,
    kernels: &Kernels,
    lane: &Lane,
    hashing: Hashing,
) -> Result<(), ExecError> {
    lane.plan.chunks().try_for_each(|chunk| lane.gemm(gpu, kernels, chunk, hashing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiply_add_counts_as_two() {
        assert!((tera(1_000_000_000, 1, Duration::from_secs(1)) - 0.002).abs() < 1e-12);
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
    fn a_side_is_the_median_of_its_turns() {
        let mut log = Log::default();
        for speed in [50.0, 54.0, 51.0] {
            log.keep(Instant::now(), speed);
        }
        let side = log.side(&Telemetry::start("0000:ff:00.0"));
        assert_eq!((side.turns_tflops, side.median_tflops), (vec![50.0, 54.0, 51.0], 51.0));
    }
}
