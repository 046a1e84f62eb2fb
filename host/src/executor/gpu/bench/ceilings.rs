//! What each unit of a device can do by itself: no product and no hash is
//! faster than its ceiling.

use super::telemetry::{Conditions, Telemetry};
use super::turns::{prepare, repeat_ms};
use super::{Turns, median};
use crate::executor::gpu::driver::{DeviceMemory, Gpu, Kernel};
use crate::executor::gpu::executor::GpuExecutor;
use crate::executor::gpu::launch;
use crate::executor::{ExecError, Executor};
use crate::protocol::work::fp64_product::Fp64Product;
use gpu_kernels::declaration::{Amount, PeakKernel};
use gpu_kernels::kernels::FILL;
use gpu_kernels::table;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What is filled: 2.1 GB, far more than any cache.
const FILL_SHAPE: Fp64Product = Fp64Product { dim: 4096, products: 8 };
/// How long one launch of a ceiling kernel should take: its start is then
/// nothing beside it.
const LAUNCH_MS: f64 = 20.0;
/// Rounds of the launch from which the others' are reckoned.
const TRIAL_ROUNDS: u32 = 512;
/// Most rounds of a launch.
const ROUNDS_MAX: f64 = 1e8;
/// Threads of a warp.
const WARP: u64 = 32;

/// How fast one unit runs by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ceiling {
    /// "peak_fma" and so on, or "fill".
    pub kernel: String,
    /// "TFLOP/s", "Gblock/s" or "TB/s".
    pub unit: &'static str,
    /// Each turn, in that unit.
    pub turns: Vec<f64>,
    /// Their median.
    pub median: f64,
    /// The device meanwhile.
    pub conditions: Option<Conditions>,
}

/// A kernel with a launch that takes about [`LAUNCH_MS`].
struct Probe {
    kernel: Kernel,
    peak: PeakKernel,
    grid: u32,
    rounds: u32,
    out: DeviceMemory,
}

/// Every ceiling kernel of the executor's module, in turns; then `fill`.
pub(super) fn ceilings(
    executor: &mut GpuExecutor,
    turns: Turns,
    telemetry: &Telemetry,
) -> Result<Vec<Ceiling>, ExecError> {
    let _doing = executor.supervisor().begin("the ceilings");
    executor.begin(&FILL_SHAPE.into())?;
    let sm_count = executor.device().sm_count;
    let (gpu, kernels, lane) = executor.parts()?;
    prepare(gpu, kernels, lane)?;
    let lane = &*lane;
    let mut probes = Vec::new();
    for peak in table::ceilings() {
        if let Some(kernel) = kernels.peak(gpu, &peak)? {
            probes.push(Probe::new(gpu, kernel, peak, sm_count)?);
        }
    }
    let _unmarked = gpu.supervisor().without_marks();
    let mut found = Vec::new();
    let mut measure = |name: &str, unit, work: &dyn Fn() -> Result<(f64, f64), ExecError>| {
        let (mut speeds, mut windows) = (Vec::new(), Vec::new());
        for _ in 0..turns.count.max(1) {
            let start = Instant::now();
            // Giga per millisecond is tera per second.
            let (amount, ms) = work()?;
            speeds.push(amount / ms);
            windows.push((start, Instant::now()));
        }
        let median = median(speeds.clone()).unwrap_or(0.0);
        let conditions = telemetry.over(&windows);
        found.push(Ceiling { kernel: name.to_owned(), unit, turns: speeds, median, conditions });
        Ok::<(), ExecError>(())
    };
    for probe in &probes {
        let (amount, unit) = probe.amount();
        measure(probe.peak.name, unit, &|| Ok((amount, probe.ms(gpu, turns.length)?)))?;
    }
    let filled =
        (u64::from(FILL_SHAPE.products) * FILL_SHAPE.operand_bytes_per_product()) as f64 / 1e9;
    let fill = || lane.plan.chunks().try_for_each(|chunk| lane.fill(gpu, kernels, chunk));
    measure(FILL.name, "TB/s", &|| Ok((filled, repeat_ms(gpu, turns.length, fill)?)))?;
    Ok(found)
}

impl Probe {
    /// As many blocks as the device holds at a time; a trial gives the rounds.
    fn new(gpu: &Gpu, kernel: Kernel, peak: PeakKernel, sm_count: u32) -> Result<Self, ExecError> {
        let wrap = |failure| gpu.error(&format!("preparing {}", peak.name), failure);
        let per_sm = kernel.blocks_per_sm().map_err(wrap)?.max(1);
        let out = DeviceMemory::new(gpu, 4).map_err(wrap)?;
        let grid = sm_count.max(1) * per_sm;
        let mut probe = Self { kernel, peak, grid, rounds: TRIAL_ROUNDS, out };
        let trial_ms = probe.ms(gpu, Duration::from_millis(5))?;
        probe.rounds = rounds(trial_ms);
        Ok(probe)
    }

    /// Milliseconds of a launch, repeated for at least `turn`.
    fn ms(&self, gpu: &Gpu, turn: Duration) -> Result<f64, ExecError> {
        let Self { kernel, grid, rounds, out, .. } = self;
        let work = self.warp_rounds().saturating_mul(count(self.peak.computes.warp_round));
        repeat_ms(gpu, turn, || launch::peak(gpu, kernel, *grid, *rounds, work, out))
    }

    /// What a launch does: 10⁹ FLOP, or 10⁶ SHA-256 blocks; and the unit that
    /// it gives when divided by milliseconds.
    fn amount(&self) -> (f64, &'static str) {
        let (per_ms, unit) = in_its_unit(self.peak.computes.warp_round);
        (per_ms * self.warp_rounds() as f64, unit)
    }

    /// Rounds of all warps of a launch.
    fn warp_rounds(&self) -> u64 {
        let warps = u64::from(self.grid) * u64::from(self.kernel.threads()) / WARP;
        warps * u64::from(self.rounds)
    }
}

/// How many there are of what `amount` counts.
fn count(amount: Amount) -> u64 {
    match amount {
        Amount::MultiplyAdds(count)
        | Amount::IntegerMultiplyAdds(count)
        | Amount::Sha256Blocks(count) => count,
    }
}

/// An amount as [`Probe::amount`] counts it: a multiply-add is two FLOP.
fn in_its_unit(amount: Amount) -> (f64, &'static str) {
    match amount {
        Amount::MultiplyAdds(count) => (2.0 * count as f64 / 1e9, "TFLOP/s"),
        Amount::IntegerMultiplyAdds(count) => (2.0 * count as f64 / 1e9, "TOPS"),
        Amount::Sha256Blocks(count) => (count as f64 / 1e6, "Gblock/s"),
    }
}

/// Rounds for [`LAUNCH_MS`], after a trial of [`TRIAL_ROUNDS`].
fn rounds(trial_ms: f64) -> u32 {
    let wanted = f64::from(TRIAL_ROUNDS) * LAUNCH_MS / trial_ms.max(1e-6);
    wanted.ceil().clamp(1.0, ROUNDS_MAX) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpu_kernels::kernels::{PEAK_M16N8K16, PEAK_SHA256};

    #[test]
    fn a_launch_is_long_whatever_the_trial_took() {
        assert_eq!(rounds(20.0), 512);
        assert_eq!(rounds(0.5), 20_480);
        assert_eq!(rounds(0.0), ROUNDS_MAX as u32);
        assert_eq!(rounds(1e9), 1);
    }

    #[test]
    fn amounts_over_milliseconds_are_in_their_units() {
        // A warp's m16n8k16: 2048 multiply-adds, 16 of them a round.
        let (per_ms, unit) = in_its_unit(PEAK_M16N8K16.computes.warp_round);
        assert_eq!((per_ms, unit), (65_536.0 / 1e9, "TFLOP/s"));
        // 132 SMs, 8 warps, 10⁶ rounds in a second: 69 TFLOP/s.
        let tflops = per_ms * 132.0 * 8.0 * 1e6 / 1e3;
        assert!((tflops - 69.2).abs() < 0.1, "{tflops}");
        // 32 blocks a warp and round: 10⁶ warp rounds in 1 ms are 32 Gblock/s.
        let (per_ms, unit) = in_its_unit(PEAK_SHA256.computes.warp_round);
        assert_eq!((per_ms * 1e6, unit), (32.0, "Gblock/s"));
    }
}
