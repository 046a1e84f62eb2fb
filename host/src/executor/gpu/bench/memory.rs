//! Memory residency beside what the device's memory does at most: sweeps and plain reads,
//! half-passes and copies, taking turns.

use super::telemetry::Telemetry;
use super::turns::{HostLoad, repeat_ms, segment};
use super::{Turns, median};
use crate::executor::gpu::driver::DeviceMemory;
use crate::executor::gpu::executor::GpuExecutor;
use crate::executor::gpu::lane::Means;
use crate::executor::{Assignment, ExecError, Executor, Segment, SoloSync};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::work::memory_residency::{BLOCK_BYTES, MemoryResidency};
use crate::work::memory_residency::gpu::PeakMemory;
use serde::Serialize;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// What was measured on one arena. Rates are 10¹² bytes a second: all that is read or
/// written, each byte as often as the definition of the work says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryReport {
    /// The device.
    pub device: String,
    /// The kernels.
    pub variant: String,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// How long the fill took, ms, and its half-passes.
    pub fill_ms: f64,
    /// Half-passes of the fill (p).
    pub half_passes: u32,
    /// `peak_read` over the arena.
    pub read: Rates,
    /// Iterations as a challenge with S = 1 runs them: sweep, tree, step, sync digest,
    /// roots to the host.
    pub attested: Rates,
    /// `sweep` alone: fold, leaves, subtrees of 256.
    pub sweep: Rates,
    /// `peak_copy` from one half of the arena to the other.
    pub copy: Rates,
    /// `half_pass`.
    pub half_pass: Rates,
    /// Host cores in use during the attested turns; `None` if that is not known.
    pub host_cores: Option<f64>,
}

/// Rates of one side's turns, TB/s.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Each turn.
    pub turns_tb_s: Vec<f64>,
    /// Their median.
    pub median_tb_s: f64,
}

impl Rates {
    fn of(turns_tb_s: Vec<f64>) -> Self {
        let median_tb_s = median(turns_tb_s.clone()).unwrap_or(0.0);
        Self { turns_tb_s, median_tb_s }
    }
}

impl MemoryReport {
    /// Sweeps, with tree and step, over plain reads.
    pub fn attested_of_read(&self) -> f64 {
        self.attested.median_tb_s / self.read.median_tb_s
    }

    /// Half-passes over copies.
    pub fn half_pass_of_copy(&self) -> f64 {
        self.half_pass.median_tb_s / self.copy.median_tb_s
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, variant, arena_bytes, fill_ms, half_passes, .. } = self;
        writeln!(f, "{device}, {variant}: an arena of {:.2} GB", *arena_bytes as f64 / 1e9)?;
        writeln!(f, "fill        {fill_ms:.1} ms, p = {half_passes}")?;
        writeln!(f, "plain read  {:.3} TB/s", self.read.median_tb_s)?;
        writeln!(f, "sweep       {:.3} TB/s", self.sweep.median_tb_s)?;
        let (attested, share) = (self.attested.median_tb_s, self.attested_of_read());
        writeln!(f, "attested    {attested:.3} TB/s, {share:.3} of the plain read")?;
        writeln!(f, "copy        {:.3} TB/s", self.copy.median_tb_s)?;
        let (half_pass, share) = (self.half_pass.median_tb_s, self.half_pass_of_copy());
        writeln!(f, "half-pass   {half_pass:.3} TB/s, {share:.3} of the copy")?;
        match self.host_cores {
            Some(cores) => write!(f, "host        {:.2} % of a core", 100.0 * cores),
            None => write!(f, "host        its load is not known"),
        }
    }
}

/// The largest arena that fits in `share` of the device's memory, blocks.
pub(super) fn blocks_of_share(memory_bytes: u64, share: f64) -> u64 {
    (memory_bytes as f64 * share) as u64 / BLOCK_BYTES / 512 * 512
}

/// Measures `work`, which reads its own arena alone.
pub(super) fn memory(
    executor: &mut GpuExecutor,
    telemetry: &Telemetry,
    work: MemoryResidency,
    turns: Turns,
) -> Result<MemoryReport, ExecError> {
    let seed = State(Digest::of(&[b"bench"]).0);
    let assignment = Assignment { work: work.into(), lane: 0, seeds: Arc::new([seed]) };
    executor.begin(&assignment)?;
    let fill_ns = executor.facts().details.arena_fill_ns.unwrap_or(0);
    let fill_ms = fill_ns as f64 / 1e6;
    let supervisor = executor.supervisor().clone();
    let _doing = supervisor.begin("a turn");
    let _unmarked = supervisor.without_marks();
    let rule = SoloSync { challenge: Digest(seed.0), interval: 1 };
    let mut per_turn = 1;
    let mut rates: [Vec<f64>; 5] = Default::default();
    let mut cores = Vec::new();
    // The first turn warms up.
    for turn in 0..=turns.count.max(1) {
        let mut keep = |at: usize, tb_s: f64| {
            if turn > 0 {
                rates[at].push(tb_s);
            }
        };
        let (start, load) = (Instant::now(), HostLoad::start(telemetry));
        let attested = Segment { solo_sync: Some(rule), ..segment(per_turn) };
        executor.run(&attested, &mut |_| ControlFlow::Continue(()))?;
        let took = start.elapsed();
        if turn > 0 {
            cores.extend(load.cores(telemetry));
        }
        let tera = |bytes: u64, ms: f64| bytes as f64 / (1e9 * ms);
        keep(1, tera(work.sweep_bytes() * u64::from(per_turn), 1e3 * took.as_secs_f64()));
        let wanted = f64::from(per_turn) * turns.length.as_secs_f64() / took.as_secs_f64();
        per_turn = wanted.ceil().clamp(1.0, 1e5) as u32;

        let sm_count = executor.device().sm_count;
        let (gpu, kernels, lane) = executor.parts()?;
        let wrap = |failure| gpu.error("preparing the ceilings of memory", failure);
        let (read, copy) = kernels.memory_peaks(gpu)?;
        let out = DeviceMemory::new(gpu, 16).map_err(wrap)?;
        lane.set_chain(gpu, &seed, 1)?;
        let lane = &*lane;
        let Means::Arena(arena) = &lane.means else { unreachable!("begun with an arena") };
        let arena_kernels = kernels.arena(gpu)?;
        let peak = |kernel, what| arena.peak(gpu, kernel, sm_count, what, &out);
        let mut bytes = 0;
        let mut measure = |at: usize, work: &mut dyn FnMut() -> Result<u64, ExecError>| {
            let taken = repeat_ms(gpu, turns.length, || {
                bytes = work()?;
                Ok(())
            })?;
            keep(at, tera(bytes, taken));
            Ok::<(), ExecError>(())
        };
        measure(0, &mut || peak(&read, PeakMemory::Read))?;
        measure(2, &mut || {
            lane.leaves(gpu, kernels, &mut |_| Ok(()))?;
            Ok(work.sweep_bytes())
        })?;
        measure(3, &mut || peak(&copy, PeakMemory::Copy))?;
        measure(4, &mut || {
            arena.half_pass(gpu, arena_kernels, sm_count, &seed)?;
            Ok(work.half_pass_bytes())
        })?;
    }
    let [read, attested, sweep, copy, half_pass] = rates.map(Rates::of);
    Ok(MemoryReport {
        device: executor.device().label(),
        variant: executor.variant().to_string(),
        arena_bytes: work.arena_bytes(),
        fill_ms,
        half_passes: work.half_passes,
        read,
        attested,
        sweep,
        copy,
        half_pass,
        host_cores: median(cores),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_memory_is_whole_steps() {
        let blocks = blocks_of_share(150_109_880_320, 0.9);
        assert_eq!(blocks % 512, 0);
        assert!(blocks * BLOCK_BYTES <= 135_098_892_288, "{blocks}");
        assert!((blocks + 512) * BLOCK_BYTES > 135_098_892_288, "{blocks}");
        assert_eq!(blocks_of_share(1 << 20, 0.9), 0);
    }
}
