//! How fast is this machine: `attest bench`.
//!
//! ```text
//! work     what is measured: "4096x8", "1024x1x1000", "90%", "int8:8192x1"
//! device   ceilings, attested and bare products, cuBLAS, totals, arenas, integers: a GPU
//! report   its figures beside ceilings and floor
//! cpu      what verification costs, and arenas in host memory
//! charts   the report as bars
//! ```
//!
//! Guarantees: every figure of a report was measured in this process, or is
//! absent with the reason; a machine without a GPU has a report too.
//! Deliberately lacks: any judgement of a figure, and figures of bits that are
//! wrong (those are selftest's business).

mod charts;
mod cpu;
mod cpu_integer;
mod cpu_memory;
mod device;
mod report;
mod work;

pub use charts::plot;
pub use cpu::{CpuReport, Full, LeafTimes};
pub use cpu_integer::IntegerOnHost;
pub use cpu_memory::{ArenaTimes, MemoryOnHost};
pub use device::{BenchEvent, Options};
pub use report::{
    DeviceFacts, DeviceReport, IntegerRow, MemoryRow, NotMeasured, Row, TargetCeilings,
    floor_tflops,
};
pub use work::{UnknownWork, Work};

use crate::evidence::present_gpus;
use crate::executor::ExecError;
use crate::mining::devices::GpuDemand;
use serde::Serialize;

/// Version of the report's form.
pub const SCHEMA: u32 = 1;

/// Everything that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of this program.
    pub attest_version: &'static str,
    /// When it was done, such as "2026-01-31T12:00:00Z".
    pub measured_at: String,
    /// The GPU.
    pub gpu: GpuReport,
    /// Verification on the CPU, and arenas in host memory.
    pub cpu: CpuReport,
}

/// The GPU's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum GpuReport {
    /// The machine has no GPU.
    NoGpu {
        /// Why, in two lines.
        reason: String,
    },
    /// There may be one, and the driver fails.
    Failed {
        /// Why, in two lines.
        reason: String,
    },
    /// What it can do.
    Measured(Box<DeviceReport>),
}

/// Whether everything is measured, or only enough to see that it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Medians of several.
    Full,
    /// Once.
    Quick,
}

/// Measures, and tells `on_event` of what is measured next, and of each figure as it
/// is known.
///
/// # Errors
/// A device that is there and cannot be opened. What fails later is in the
/// report.
pub fn run(
    options: &Options,
    effort: Effort,
    on_event: &mut dyn FnMut(BenchEvent),
) -> Result<Report, ExecError> {
    let gpu = of_gpu(options, on_event)?;
    let cpu = cpu::measure(effort, &mut |step| on_event(BenchEvent::Step(step.to_owned())));
    let measured_at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let attest_version = env!("CARGO_PKG_VERSION");
    Ok(Report { schema: SCHEMA, attest_version, measured_at, gpu, cpu })
}

fn of_gpu(options: &Options, on_event: &mut dyn FnMut(BenchEvent)) -> Result<GpuReport, ExecError> {
    let GpuDemand::Present(rules) = options.gpus else {
        let reason = "no GPU is measured: the CPU alone was asked for".to_owned();
        return Ok(GpuReport::NoGpu { reason });
    };
    let listed = present_gpus();
    if let Err(too_few) = rules.check_count(listed.as_ref()) {
        return Ok(GpuReport::Failed { reason: too_few.to_string() });
    }
    Ok(match listed {
        Ok(list) => {
            if let Some(missing) = &list.missing {
                tracing::warn!("{missing}");
            }
            GpuReport::Measured(Box::new(device::measure(&list, options, on_event)?))
        }
        Err(no_gpu) if no_gpu.is_absence() => GpuReport::NoGpu { reason: no_gpu.to_string() },
        Err(no_gpu) => GpuReport::Failed { reason: no_gpu.to_string() },
    })
}
