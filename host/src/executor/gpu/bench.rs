//! Measuring on a device: ceilings of its units, the attested loop, the bare
//! product and cuBLAS, taking turns in one process so that all work under the
//! same sustained load, and the time of each phase by events.
//!
//! ```text
//! turns      one side's work, as long as asked      ceilings   each unit by itself
//! rival      cuBLAS                                 telemetry  power and clock meanwhile
//! phases     fill, product, tail                    cpu_time   what the host spends
//! total      a challenge's iterations in seconds
//! ```
//!
//! An attested turn is [`Executor::run`] as a challenge runs it: fill,
//! product, every output hashed, tree, chain step, SM counters, roots to the
//! host. All figures count 2·m·n³ FLOP an iteration.
//!
//! Guarantees: nothing is timed whose bits differ from the FMA pipe's, where
//! the module has its kernel to compare with.

mod ceilings;
mod cpu_time;
mod phases;
mod rival;
mod telemetry;
mod total;
mod turns;

pub use ceilings::Ceiling;
pub use phases::Phases;
pub use telemetry::Conditions;
pub use total::Total;

use super::executor::{ExactnessCheck, GpuExecutor, GpuOptions};
use super::variant::Variant;
use crate::executor::{ExecError, Executor};
use crate::protocol::plan::Shape;
use gpu_kernels::abi::GEMM_FMA;
use rival::Rival;
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use telemetry::Telemetry;
use turns::{HostLoad, Log, Pace, attested, bare};

/// How often, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// Turns of each side; the median counts.
    pub count: u32,
    /// Least length of a turn.
    pub length: Duration,
}

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
    /// The device meanwhile; absent without NVML.
    pub conditions: Option<Conditions>,
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
    #[serde(serialize_with = "side_or_reason")]
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

/// A side, or `{"unavailable": reason}`.
fn side_or_reason<S: Serializer>(
    cublas: &Result<Side, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match cublas {
        Ok(side) => side.serialize(serializer),
        Err(reason) => serde_json::json!({ "unavailable": reason }).serialize(serializer),
    }
}

/// A device with the kernels to be measured.
#[derive(Debug)]
pub struct Subject {
    executor: GpuExecutor,
    telemetry: Telemetry,
}

impl Subject {
    /// Opens device `device`, loads `variant` (`None`: the fastest that
    /// loads) and compares its bits with the FMA pipe's.
    ///
    /// # Errors
    /// Kernels that do not load or give other bits; device faults.
    pub fn open(device: u32, variant: Option<Variant>) -> Result<Self, ExecError> {
        // A file may lack the kernel to compare with; selftest has others.
        let comparable = variant.is_none_or(|variant| variant.target.gemms().contains(&GEMM_FMA));
        let exactness = if comparable { ExactnessCheck::Always } else { ExactnessCheck::Never };
        let options = GpuOptions { variant, exactness, ..GpuOptions::default() };
        let executor = GpuExecutor::open(device, options)?;
        if let Some(wanted) = variant
            && wanted != executor.variant()
        {
            let check = executor.facts().more.get("exactness_check");
            let cause = check.and_then(|text| text.as_str()).unwrap_or("another kernel runs");
            return Err(ExecError::Device {
                what: format!("comparing the bits of {wanted}"),
                device: executor.device().label(),
                cause: cause.to_owned(),
                advice: "run attest selftest: a kernel that is wrong has no speed".to_owned(),
            });
        }
        let telemetry = Telemetry::start(&executor.device().pci_id);
        Ok(Self { executor, telemetry })
    }

    /// The kernels that run, such as "sm_90a/gemm_m16n8k8".
    pub fn variant(&self) -> Variant {
        self.executor.variant()
    }

    /// Why power and clock are not sampled; `None` where they are.
    pub fn no_telemetry(&self) -> Option<&str> {
        self.telemetry.absent()
    }

    /// Every ceiling kernel that is compiled with these kernels, and `fill`.
    ///
    /// # Errors
    /// Device faults.
    pub fn ceilings(&mut self, turns: Turns) -> Result<Vec<Ceiling>, ExecError> {
        ceilings::ceilings(&mut self.executor, turns, &self.telemetry)
    }

    /// `iterations` iterations of `shape` once to warm up and then `runs` times.
    ///
    /// # Errors
    /// Device faults, or a shape that does not fit.
    pub fn total(&mut self, shape: Shape, iterations: u32, runs: u32) -> Result<Total, ExecError> {
        total::total(self, shape, iterations, runs)
    }

    /// The attested loop, cuBLAS (from `cublas`, or where the dynamic loader
    /// finds it) and the bare product in alternating turns; then the phases.
    ///
    /// # Errors
    /// Device faults, or a shape that does not fit.
    pub fn sustained(
        &mut self,
        shape: Shape,
        turns: Turns,
        cublas: Option<&Path>,
    ) -> Result<BenchReport, ExecError> {
        let Self { executor, telemetry } = self;
        executor.begin(shape)?;
        let device_bytes = executor.plan().map_or(0, |plan| plan.bytes.on_device());
        let mut rival = Rival::load(executor, cublas);
        // Everything once, to compile, to warm up, and to know how long a turn is.
        let warm = Duration::from_millis(300).min(turns.length);
        let mut pace = Pace::default();
        attested(executor, shape, warm, &mut pace)?;
        bare(executor, warm)?;
        if let Ok(cublas) = &rival
            && let Err(reason) = cublas.turn(executor, warm)?
        {
            rival = Err(reason);
        }

        let mut logs: [Log; 3] = Default::default();
        let mut cores = Vec::new();
        for _ in 0..turns.count.max(1) {
            let (start, load) = (Instant::now(), HostLoad::start(telemetry));
            logs[0].keep(start, attested(executor, shape, turns.length, &mut pace)?);
            cores.extend(load.cores(telemetry));
            if let Ok(cublas) = &rival {
                let start = Instant::now();
                match cublas.turn(executor, turns.length)? {
                    Ok(speed) => logs[1].keep(start, speed),
                    Err(reason) => rival = Err(reason),
                }
            }
            let start = Instant::now();
            logs[2].keep(start, bare(executor, turns.length)?);
        }
        let phases = phases::phases(executor)?;
        let [attested, cublas, bare] = logs.map(|log| log.side(telemetry));
        let cublas_version = rival.as_ref().map_or(0, Rival::version);
        let cublas = rival.map(|_| cublas);
        let ratio = |side: &Side| {
            cublas.as_ref().ok().map(|cublas| side.median_tflops / cublas.median_tflops)
        };
        Ok(BenchReport {
            device: executor.device().label(),
            variant: executor.variant().to_string(),
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
}

/// Measures one shape.
///
/// # Errors
/// Device faults, or a shape that does not fit.
pub fn bench(options: &BenchOptions) -> Result<BenchReport, ExecError> {
    let turns = Turns { count: options.turns, length: options.turn };
    let mut subject = Subject::open(options.device, options.variant)?;
    subject.sustained(options.shape, turns, options.cublas.as_deref())
}

/// The middle value, or the mean of the two middle ones.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
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
    fn a_report_without_cublas_says_why() {
        let side =
            Side { turns_tflops: vec![50.0, 52.0, 51.0], median_tflops: 51.0, conditions: None };
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
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["cublas"]["unavailable"], "cuBLAS cannot be loaded: not here");
        assert_eq!(json["attested"]["median_tflops"], 51.0);
    }
}
