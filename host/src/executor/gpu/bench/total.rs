//! A challenge's worth of iterations from first to last, in seconds, the way
//! in which a run executes them.

use super::phases::{Phases, phases};
use super::telemetry::Telemetry;
use super::turns::{HostLoad, segment};
use super::{Subject, median};
use crate::executor::{ExecError, Executor, Segment, SoloSync};
use crate::protocol::digest::Digest;
use crate::protocol::work::fp64_product::Fp64Product;
use serde::Serialize;
use std::ops::ControlFlow;
use std::time::Instant;

/// Iterations between sync points, as a challenge has them unless it says otherwise.
const SYNC_INTERVAL: u32 = 10;

/// How long a number of iterations takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Total {
    /// The kernels, such as "sm_90a/gemm_m16n8k16".
    pub variant: String,
    /// Rows and columns of a matrix (n).
    pub dim: u32,
    /// Products of an iteration (m).
    pub products: u32,
    /// Iterations (T).
    pub iterations: u32,
    /// The first run, with its buffers' allocation and its graph's recording.
    pub first_s: f64,
    /// The runs after it.
    pub runs_s: Vec<f64>,
    /// Their median.
    pub median_s: f64,
    /// TFLOP/s at that median.
    pub tflops: f64,
    /// Each phase of one iteration.
    pub phases: Phases,
    /// CPU time of the process per second of running, in cores.
    pub host_cores: Option<f64>,
}

/// Runs `iterations` iterations once, then `runs` times more.
pub(super) fn total(
    subject: &mut Subject,
    shape: Fp64Product,
    iterations: u32,
    runs: u32,
) -> Result<Total, ExecError> {
    let iterations = iterations.max(1);
    let challenge = Digest::of(&[b"bench"]);
    let solo_sync = Some(SoloSync { challenge, interval: SYNC_INTERVAL.min(iterations) });
    let segment = Segment { solo_sync, ..segment(iterations) };
    let Subject { executor, telemetry } = subject;
    let supervisor = executor.supervisor().clone();
    let _doing = supervisor.begin("a total");
    let mut run = |telemetry: &Telemetry| -> Result<(f64, Option<f64>), ExecError> {
        let (start, load) = (Instant::now(), HostLoad::start(telemetry));
        executor.begin(&shape.into())?;
        executor.run(&segment, &mut |_| ControlFlow::Continue(()))?;
        Ok((start.elapsed().as_secs_f64(), load.cores(telemetry)))
    };
    let (first_s, _) = run(telemetry)?;
    let unmarked = supervisor.without_marks();
    let (mut runs_s, mut cores) = (Vec::new(), Vec::new());
    for _ in 0..runs.max(1) {
        let (elapsed_s, load) = run(telemetry)?;
        runs_s.push(elapsed_s);
        cores.extend(load);
    }
    drop(unmarked);
    let median_s = median(runs_s.clone()).unwrap_or(first_s);
    let flop = 2.0 * shape.multiply_adds() as f64 * f64::from(iterations);
    Ok(Total {
        variant: executor.variant().to_string(),
        dim: shape.dim,
        products: shape.products,
        iterations,
        first_s,
        runs_s,
        median_s,
        tflops: flop / median_s / 1e12,
        phases: phases(executor)?,
        host_cores: median(cores),
    })
}
