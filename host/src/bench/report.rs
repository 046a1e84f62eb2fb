//! What was measured of a GPU, and what the figures say beside the device's ceilings
//! and its theoretical floor.

use crate::executor::gpu::bench::{BenchReport, Ceiling, IntegerReport, MemoryReport, Total};
use crate::executor::gpu::{GpuDevice, driver_version};
use gpu_kernels::table;
use serde::Serialize;

/// Multiply-adds of an SM in one clock cycle, the most that any has had in FP64.
const FMA_PER_CLOCK: f64 = 128.0;

/// What a device can do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceReport {
    /// The device that was measured.
    pub device: DeviceFacts,
    /// Turns of each side.
    pub turns: u32,
    /// Least length of a turn, s.
    pub turn_s: f64,
    /// Why power and clock were not sampled; absent if they were.
    pub no_telemetry: Option<String>,
    /// Each unit by itself, per target.
    pub ceilings: Vec<TargetCeilings>,
    /// Sustained speeds: every variant on every shape.
    pub rows: Vec<Row>,
    /// Totals: every variant on every number of iterations.
    pub totals: Vec<Total>,
    /// Memory residency: every variant on every arena.
    pub memory: Vec<MemoryRow>,
    /// Integer products: every variant on every shape.
    pub integers: Vec<IntegerRow>,
    /// Kernels of files that are compiled for other devices; not a fault.
    pub absent: Vec<NotMeasured>,
    /// What could not be measured.
    pub failed: Vec<NotMeasured>,
}

/// The device that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceFacts {
    /// CUDA index.
    pub index: u32,
    /// Name, such as "NVIDIA H200".
    pub name: String,
    /// Compute capability.
    pub compute_capability: String,
    /// Number of SMs.
    pub sm_count: u32,
    /// Highest SM clock, kHz.
    pub clock_khz: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// The kernel driver's version.
    pub driver_version: String,
    /// What no honest device outruns, TFLOP/s: see [`floor_tflops`].
    pub floor_tflops: f64,
}

/// Ceilings by the kernels of one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetCeilings {
    /// "sm_90a", or a file's name.
    pub target: String,
    /// Measured ceilings, one a unit.
    pub ceilings: Vec<Ceiling>,
}

/// One variant on one shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    #[serde(flatten)]
    pub report: BenchReport,
    /// σ: attested time ÷ the floor's.
    pub sigma: f64,
    /// attested ÷ the ceiling of the unit that multiplies.
    pub attested_to_ceiling: Option<f64>,
    /// bare ÷ that ceiling.
    pub bare_to_ceiling: Option<f64>,
    /// Share of an iteration that the tree and the chain's step take.
    pub tail_share: f64,
}

/// One variant on one arena, beside what the device's memory does at most.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryRow {
    /// What was measured.
    #[serde(flatten)]
    pub report: MemoryReport,
    /// Sweeps, with tree and step, ÷ plain reads.
    pub attested_to_read: f64,
    /// Half-passes ÷ copies.
    pub half_pass_to_copy: f64,
}

impl From<MemoryReport> for MemoryRow {
    fn from(report: MemoryReport) -> Self {
        Self {
            attested_to_read: report.attested_of_read(),
            half_pass_to_copy: report.half_pass_of_copy(),
            report,
        }
    }
}

/// One variant on one shape of integer products.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IntegerRow {
    /// What was measured.
    #[serde(flatten)]
    pub report: IntegerReport,
    /// attested ÷ the ceiling of the unit that multiplies.
    pub attested_to_ceiling: Option<f64>,
    /// bare ÷ that ceiling.
    pub bare_to_ceiling: Option<f64>,
    /// Share of an iteration that the tree and the chain's step take.
    pub tail_share: f64,
}

/// Something that was not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotMeasured {
    /// Variant, and what it was to do.
    pub what: String,
    /// Why it was not measured.
    pub reason: String,
}

/// The floor: SMs × 128 multiply-adds a clock × 2 × the highest clock, TFLOP/s.
/// n³·m multiply-adds at that rate take the least time that any device of so
/// many SMs could need; the time actually needed over it is σ.
pub fn floor_tflops(sm_count: u32, clock_khz: u32) -> f64 {
    f64::from(sm_count) * FMA_PER_CLOCK * 2.0 * f64::from(clock_khz) * 1e3 / 1e12
}

impl DeviceReport {
    /// What was found, beside the ceilings that are known by then.
    pub(super) fn row(&self, report: BenchReport) -> Row {
        let ceiling = ceiling_of(&self.ceilings, &report.variant);
        Row {
            sigma: self.device.floor_tflops / report.attested.median_tflops,
            attested_to_ceiling: ceiling.map(|c| report.attested.median_tflops / c),
            bare_to_ceiling: ceiling.map(|c| report.bare.median_tflops / c),
            tail_share: report.phases.tail_share(),
            report,
        }
    }
}

impl DeviceReport {
    /// What was found of integers, beside the ceilings that are known by then.
    pub(super) fn integer_row(&self, report: IntegerReport) -> IntegerRow {
        let ceiling = ceiling_of(&self.ceilings, &report.variant);
        IntegerRow {
            attested_to_ceiling: ceiling.map(|c| report.attested.median_tops / c),
            bare_to_ceiling: ceiling.map(|c| report.bare.median_tops / c),
            tail_share: report.phases.tail_share(),
            report,
        }
    }
}

impl DeviceFacts {
    /// Those of `device`.
    pub(super) fn of(device: &GpuDevice) -> Self {
        Self {
            index: device.index,
            name: device.name.clone(),
            compute_capability: device.capability.to_string(),
            sm_count: device.sm_count,
            clock_khz: device.clock_khz,
            memory_bytes: device.memory_bytes,
            driver_version: driver_version(),
            floor_tflops: floor_tflops(device.sm_count, device.clock_khz),
        }
    }
}

/// The ceiling kernel of the unit that a product kernel uses.
fn peak_of(gemm: &str) -> Option<&'static str> {
    let kernel = table::named(gemm)?;
    let unit = match (kernel.product(), kernel.integer_product()) {
        (Some(product), _) => product.computes.unit,
        (None, Some(product)) => product.computes.unit,
        (None, None) => return None,
    };
    table::ceiling_of(unit).map(|peak| peak.name)
}

/// The ceiling of a variant's unit, TFLOP/s: that of its own target if it
/// was measured, else any.
fn ceiling_of(ceilings: &[TargetCeilings], variant: &str) -> Option<f64> {
    let (target, gemm) = variant.rsplit_once('/')?;
    let peak = peak_of(gemm)?;
    let find = |of: &TargetCeilings| {
        of.ceilings.iter().find(|ceiling| ceiling.kernel == peak).map(|ceiling| ceiling.median)
    };
    let own = ceilings.iter().filter(|of| of.target == target).find_map(find);
    own.or_else(|| ceilings.iter().find_map(find))
}

#[cfg(test)]
impl DeviceReport {
    /// An H200 of which nothing is measured yet, for tests.
    pub(super) fn of_an_h200() -> Self {
        Self {
            device: DeviceFacts {
                index: 0,
                name: "NVIDIA H200".to_owned(),
                compute_capability: "9.0".to_owned(),
                sm_count: 132,
                clock_khz: 1_980_000,
                memory_bytes: 1 << 37,
                driver_version: "580".to_owned(),
                floor_tflops: 66.9,
            },
            turns: 1,
            turn_s: 0.2,
            no_telemetry: None,
            ceilings: Vec::new(),
            rows: Vec::new(),
            totals: Vec::new(),
            memory: Vec::new(),
            integers: Vec::new(),
            absent: Vec::new(),
            failed: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_of_an_h200() {
        // 132 SMs at 1.98 GHz.
        assert!((floor_tflops(132, 1_980_000) - 66.9).abs() < 0.01);
    }

    #[test]
    fn a_ceiling_is_the_unit_s_own_and_of_the_same_target_first() {
        let ceiling = |kernel: &str, median| Ceiling {
            kernel: kernel.to_owned(),
            unit: "TFLOP/s",
            turns: vec![median],
            median,
            conditions: None,
        };
        let of = |target: &str, ceilings| TargetCeilings { target: target.to_owned(), ceilings };
        let all = [
            of(
                "sm_90a",
                vec![
                    ceiling("peak_fma", 31.0),
                    ceiling("peak_m16n8k16", 66.0),
                    ceiling("peak_dp4a", 132.0),
                ],
            ),
            of("a/b.ptx", vec![ceiling("peak_fma", 30.0)]),
        ];
        assert_eq!(ceiling_of(&all, "sm_90a/gemm_m16n8k16"), Some(66.0));
        assert_eq!(ceiling_of(&all, "portable/gemm_fma"), Some(31.0), "of another target");
        assert_eq!(ceiling_of(&all, "a/b.ptx/gemm_fma"), Some(30.0), "a path has slashes");
        assert_eq!(ceiling_of(&all, "sm_80/gemm_m8n8k4"), None);
        assert_eq!(ceiling_of(&all, "portable/int8_dp4a"), Some(132.0));
        assert_eq!(ceiling_of(&all, "sm_80/int8_m16n8k32"), None);
        assert_eq!(ceiling_of(&all, "portable/fill"), None);
        assert_eq!(ceiling_of(&all, "nonsense"), None);
    }
}
