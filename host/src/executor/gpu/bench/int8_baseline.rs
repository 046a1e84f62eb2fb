//! cuBLASLt's int8 product on a lane's own operands, to compare with.

use super::turns::repeat;
use crate::executor::gpu::cublas::CublasLt;
use crate::executor::gpu::driver::{DeviceMemory, Gpu};
use cuda_driver::Failure;
use std::path::Path;
use std::time::Duration;

/// How long each algorithm is tried.
const TRIAL: Duration = Duration::from_millis(60);

/// cuBLASLt for products of one size. Its outputs are its own.
pub(super) struct Int8Baseline {
    cublas: CublasLt,
    dim: u32,
    products: u32,
}

impl Int8Baseline {
    /// Products of n = `dim`, with the fastest of the algorithms that cuBLASLt offers for them on
    /// these operands: `products` times n² bytes of A and n² bytes of B. Random bytes in any
    /// order do; the products are compared with nothing.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn load(
        gpu: &Gpu,
        path: Option<&Path>,
        operands: &DeviceMemory,
        (dim, products): (u32, u32),
    ) -> Result<Self, String> {
        let mut made = Self { cublas: CublasLt::load(gpu, path, dim)?, dim, products };
        let (mut fastest, mut failed) = (None, String::new());
        for choice in 0..made.cublas.choices() {
            made.cublas.choose(choice);
            // The first run of an algorithm loads its kernel.
            let trial = made.turn(gpu, operands, Duration::ZERO);
            match trial.and_then(|_| made.turn(gpu, operands, TRIAL)) {
                Ok(tops) if fastest.is_none_or(|(best, _)| tops > best) => {
                    fastest = Some((tops, choice));
                }
                Ok(_) => (),
                Err(error) => failed = error,
            }
        }
        let (_, choice) = fastest.ok_or(failed)?;
        made.cublas.choose(choice);
        Ok(made)
    }

    /// Its version, as cuBLASLt counts.
    pub(super) fn version(&self) -> i32 {
        self.cublas.version()
    }

    /// Multiplies for at least `turn`, all products again and again; 10¹² operations a second.
    ///
    /// # Errors
    /// cuBLASLt's own, or the device's, in words.
    pub(super) fn turn(
        &self,
        gpu: &Gpu,
        operands: &DeviceMemory,
        turn: Duration,
    ) -> Result<f64, String> {
        let wrap = |failure: Failure| failure.to_string();
        let (operand_bytes, macs) = (u64::from(self.dim).pow(2), u64::from(self.dim).pow(3));
        let (done, elapsed) = repeat(gpu, turn, wrap, || {
            for product in 0..u64::from(self.products) {
                self.cublas.enqueue(gpu, operands, 2 * operand_bytes * product)?;
            }
            gpu.launched("cuBLASLt's product", macs * u64::from(self.products)).map_err(wrap)
        })?;
        let operations = 2.0 * macs as f64 * f64::from(self.products) * done as f64;
        Ok(1e-12 * operations / elapsed.as_secs_f64())
    }
}
