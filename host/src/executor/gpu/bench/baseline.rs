//! cuBLAS on the lane's own operands, to compare with.

use super::turns::{prepare, repeat, tera};
use crate::executor::ExecError;
use crate::executor::gpu::cublas::{Cublas, Products};
use crate::executor::gpu::driver::DeviceMemory;
use crate::executor::gpu::executor::GpuExecutor;
use crate::protocol::work::fp64_product::Fp64Product;
use cuda_driver::Failure;
use std::path::Path;
use std::time::Duration;

/// cuBLAS and memory for its outputs.
pub(super) struct Baseline {
    outputs: DeviceMemory,
    cublas: Cublas,
    shape: Fp64Product,
}

impl Baseline {
    /// As many products as a chunk of the executor's plan holds.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn load(executor: &mut GpuExecutor, path: Option<&Path>) -> Result<Self, String> {
        let _doing = executor.supervisor().begin_loading("loading cuBLAS");
        let (gpu, _, lane) = executor.parts().map_err(|error| error.to_string())?;
        let (dim, products) = (lane.plan.shape().dim, lane.plan.chunk_products);
        let shape = Fp64Product { dim, products };
        let cublas = Cublas::load(gpu, path)?;
        let bytes = u64::from(shape.products) * shape.operand_bytes_per_product() / 2;
        let outputs = DeviceMemory::new(gpu, bytes)
            .map_err(|failure| format!("no memory for cuBLAS's outputs: {failure}"))?;
        Ok(Self { outputs, cublas, shape })
    }

    /// Its version, as cuBLAS counts.
    pub(super) fn version(&self) -> i32 {
        self.cublas.version()
    }

    /// Multiplies for at least `turn`, TFLOP/s. The inner error is cuBLAS's own.
    pub(super) fn turn(
        &self,
        executor: &mut GpuExecutor,
        turn: Duration,
    ) -> Result<Result<f64, String>, ExecError> {
        let (gpu, kernels, lane) = executor.parts()?;
        prepare(gpu, kernels, lane)?;
        let work = Products {
            operands: &lane.workspace().operands,
            outputs: &self.outputs,
            dim: self.shape.dim,
            products: self.shape.products,
        };
        let wrap = |failure: Failure| failure.to_string();
        let multiply_adds = self.shape.multiply_adds();
        let measured = repeat(gpu, turn, wrap, || {
            self.cublas.enqueue(work)?;
            gpu.launched("cuBLAS's product", multiply_adds).map_err(wrap)
        });
        Ok(measured.map(|(done, elapsed)| tera(self.shape.multiply_adds(), done, elapsed)))
    }
}
