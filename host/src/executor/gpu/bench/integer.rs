//! Integer products beside cuBLASLt's int8 product of the same shape, by turns.

use super::int8_baseline::Int8Baseline;
use super::phases::{Phases, phases};
use super::report::median;
use super::telemetry::{Conditions, Telemetry};
use super::turns::{HostLoad, Log, Pace, attested, bare, prepare};
use super::{Side, Turns};
use crate::executor::gpu::executor::GpuExecutor;
use crate::executor::{Assignment, ExecError, Executor};
use crate::protocol::work::integer_product::IntegerProduct;
use serde::{Serialize, Serializer};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What was measured of integer products of one shape. A multiply-add is two operations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IntegerReport {
    /// The device.
    pub device: String,
    /// The kernels, such as "sm_80/int8_m16n8k32".
    pub variant: String,
    /// Rows and columns of a matrix (n).
    pub dim: u32,
    /// Products of an iteration (m).
    pub products: u32,
    /// Device memory of the plan, bytes.
    pub device_bytes: u64,
    /// The whole loop.
    pub attested: Operations,
    /// The product alone: no fold, no hash.
    pub bare: Operations,
    /// cuBLASLt's int8 product with int32 outputs, or why there is none.
    #[serde(serialize_with = "operations_or_reason")]
    pub cublas_lt: Result<Operations, String>,
    /// cuBLASLt's version, 0 without one.
    pub cublas_lt_version: i32,
    /// attested ÷ cuBLASLt.
    pub attested_to_cublas_lt: Option<f64>,
    /// bare ÷ cuBLASLt.
    pub bare_to_cublas_lt: Option<f64>,
    /// Each phase.
    pub phases: Phases,
    /// CPU time of the process per second of attested running, in cores.
    pub host_cores: Option<f64>,
}

/// One side's turns, 10¹² operations a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operations {
    /// Each turn, in order.
    pub turns_tops: Vec<f64>,
    /// Their median.
    pub median_tops: f64,
    /// The device meanwhile; absent without NVML.
    pub conditions: Option<Conditions>,
}

impl From<Side> for Operations {
    fn from(side: Side) -> Self {
        let Side { turns_tflops: turns_tops, median_tflops: median_tops, conditions } = side;
        Self { turns_tops, median_tops, conditions }
    }
}

/// A side, or `{"unavailable": reason}`.
fn operations_or_reason<S: Serializer>(
    side: &Result<Operations, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match side {
        Ok(side) => side.serialize(serializer),
        Err(reason) => serde_json::json!({ "unavailable": reason }).serialize(serializer),
    }
}

/// The attested loop, cuBLASLt (from `cublas_lt`, or where the dynamic loader finds it)
/// and the bare product in alternating turns; then the phases.
pub(super) fn integers(
    executor: &mut GpuExecutor,
    telemetry: &Telemetry,
    shape: IntegerProduct,
    turns: Turns,
    cublas_lt: Option<&Path>,
) -> Result<IntegerReport, ExecError> {
    executor.begin(&Assignment { work: shape.into(), lane: 0, seeds: Arc::new([]) })?;
    let variant = executor.facts().details.kernel_variant.clone().unwrap_or_default();
    let device_bytes = executor.plan().map_or(0, |plan| plan.bytes.on_device());
    let supervisor = executor.supervisor().clone();
    let _doing = supervisor.begin("a warm-up");
    // Everything once, to compile, to warm up, and to know how long a turn is.
    let warm = Duration::from_millis(300).min(turns.length);
    let macs = shape.multiply_adds();
    let mut pace = Pace::default();
    attested(executor, macs, warm, &mut pace)?;
    bare(executor, warm)?;
    let mut baseline = load(executor, cublas_lt)?;

    let _doing = supervisor.begin("a turn");
    let _unmarked = supervisor.without_marks();
    let mut logs: [Log; 3] = Default::default();
    let mut cores = Vec::new();
    for _ in 0..turns.count.max(1) {
        let (start, load) = (Instant::now(), HostLoad::start(telemetry));
        logs[0].keep(start, attested(executor, macs, turns.length, &mut pace)?);
        cores.extend(load.cores(telemetry));
        if let Ok(cublas_lt) = &baseline {
            let (gpu, kernels, lane) = executor.parts()?;
            prepare(gpu, kernels, lane)?;
            let start = Instant::now();
            match cublas_lt.turn(gpu, &lane.workspace().operands, turns.length) {
                Ok(speed) => logs[1].keep(start, speed),
                Err(reason) => baseline = Err(reason),
            }
        }
        let start = Instant::now();
        logs[2].keep(start, bare(executor, turns.length)?);
    }
    let phases = phases(executor)?;
    let [attested, cublas_lt, bare] = logs.map(|log| Operations::from(log.side(telemetry)));
    let cublas_lt_version = baseline.as_ref().map_or(0, Int8Baseline::version);
    let cublas_lt = baseline.map(|_| cublas_lt);
    let ratio = |side: &Operations| {
        cublas_lt.as_ref().ok().map(|beside| side.median_tops / beside.median_tops)
    };
    Ok(IntegerReport {
        device: executor.device().label(),
        variant,
        dim: shape.dim,
        products: shape.products,
        device_bytes,
        attested_to_cublas_lt: ratio(&attested),
        bare_to_cublas_lt: ratio(&bare),
        attested,
        bare,
        cublas_lt,
        cublas_lt_version,
        phases,
        host_cores: median(cores),
    })
}

/// cuBLASLt for as many products as a chunk of the executor's plan holds; the inner error
/// is why there is none, in words.
fn load(
    executor: &mut GpuExecutor,
    path: Option<&Path>,
) -> Result<Result<Int8Baseline, String>, ExecError> {
    let _doing = executor.supervisor().begin_loading("loading cuBLASLt");
    let (gpu, kernels, lane) = executor.parts()?;
    prepare(gpu, kernels, lane)?;
    let shape = (lane.plan.shape().dim, lane.plan.chunk_products);
    Ok(Int8Baseline::load(gpu, path, &lane.workspace().operands, shape))
}
