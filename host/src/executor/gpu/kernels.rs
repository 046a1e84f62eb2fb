//! Loading the compiled kernels, from the most particular target that the
//! device runs to the portable one.

use super::driver::{Gpu, Kernel, Module};
use super::ptx_file::entries;
use super::variant::Variant;
use crate::executor::ExecError;
use crate::protocol::digest::Digest;
use crate::protocol::work::Work;
use crate::work::integer_product::gpu::IntegerKernels;
use crate::work::memory_residency::gpu::ArenaKernels;
use gpu_kernels::declaration::{self, GemmKernel, IntegerKernel, PeakKernel, Unit};
use gpu_kernels::kernels::{CHAIN_STEP, FILL, GEMM_FMA, INT8_FILL, MERKLE, PEAK_COPY, PEAK_READ};
use std::sync::Arc;

/// A product kernel and how it is launched.
#[derive(Debug)]
pub(super) struct Product {
    /// How it is launched.
    pub shape: GemmKernel,
    /// The kernel.
    pub kernel: Kernel,
}

/// The kernels of one variant, loaded.
#[derive(Debug)]
pub(super) struct Kernels {
    /// Which.
    pub variant: Variant,
    /// SHA-256 of the PTX text.
    pub ptx_digest: Digest,
    pub fill: Kernel,
    pub merkle: Kernel,
    pub chain_step: Kernel,
    /// The product kernel that runs.
    pub product: Product,
    /// Those of memory residency, or why there are none: a PTX file from elsewhere may
    /// lack them.
    arena: Result<ArenaKernels, String>,
    /// Those of integer products, likewise.
    integer: Result<IntegerKernels, String>,
    /// What was tried before and why it did not serve, for the evidence.
    pub notes: Vec<String>,
    module: Arc<Module>,
}

impl Kernels {
    /// Loads the first of `candidates` that the driver takes and that has
    /// every kernel. Each one that fails is warned of and noted.
    ///
    /// # Errors
    /// All failed, or there were none; the text has every reason.
    pub(super) fn load(gpu: &Gpu, candidates: &[Variant]) -> Result<Self, ExecError> {
        let mut notes = Vec::new();
        for &variant in candidates {
            match Self::load_one(gpu, variant) {
                Ok(mut kernels) => {
                    kernels.notes = notes;
                    return Ok(kernels);
                }
                Err(reason) => {
                    let note = format!("kernels {variant} cannot be used: {reason}");
                    tracing::warn!("{}: {note}", gpu.label());
                    notes.push(note);
                }
            }
        }
        if notes.is_empty() {
            notes.push("no kernels are compiled for its compute capability".to_owned());
        }
        Err(ExecError::Device {
            what: "loading the kernels".to_owned(),
            device: gpu.label().to_owned(),
            cause: notes.join("; "),
            advice: "update the NVIDIA driver, or use the CPU executor".to_owned(),
        })
    }

    fn load_one(gpu: &Gpu, variant: Variant) -> Result<Self, String> {
        let ptx = variant.source.ptx();
        if ptx.trim().is_empty() {
            return Err("this build carries no PTX for that target".to_owned());
        }
        gpu.supervisor().set_variant(variant.to_string());
        let module = Module::load(gpu, ptx).map_err(|refused| refused.to_string())?;
        let kernel = |declared: &declaration::Kernel| {
            module
                .kernel(declared)
                .map_err(|failure| format!("kernel {}: {failure}", declared.name))
        };
        let kernels = Self {
            variant,
            ptx_digest: Digest::of(&[ptx.as_bytes()]),
            fill: kernel(&FILL)?,
            merkle: kernel(&MERKLE)?,
            chain_step: kernel(&CHAIN_STEP)?,
            product: Product { shape: variant.gemm, kernel: kernel(&variant.gemm.entry())? },
            arena: ArenaKernels::of(&module)
                .map_err(|(name, failure)| format!("kernel {name}: {failure}")),
            integer: match variant.integer_product() {
                Some(product) => IntegerKernels::of(&module, product)
                    .map_err(|(name, failure)| format!("kernel {name}: {failure}")),
                None => Err("it was compiled without them".to_owned()),
            },
            notes: Vec::new(),
            module: Arc::clone(&module),
        };
        if let Ok((registers, local_bytes)) = kernels.product.kernel.resources() {
            tracing::debug!(
                "{}: {variant} loaded, {registers} registers, {local_bytes} bytes of local memory",
                gpu.label()
            );
        }
        Ok(kernels)
    }

    /// The kernels of memory residency.
    ///
    /// # Errors
    /// This variant lacks them.
    pub(super) fn arena(&self, gpu: &Gpu) -> Result<&ArenaKernels, ExecError> {
        self.arena.as_ref().map_err(|lacking| ExecError::Device {
            what: format!("looking for the kernels of memory residency in {}", self.variant),
            device: gpu.label().to_owned(),
            cause: lacking.clone(),
            advice: "use a variant that has them, or PTX of this release".to_owned(),
        })
    }

    /// The kernels of integer products.
    ///
    /// # Errors
    /// This variant lacks them.
    pub(super) fn integer(&self, gpu: &Gpu) -> Result<&IntegerKernels, ExecError> {
        self.integer.as_ref().map_err(|lacking| ExecError::Device {
            what: format!("looking for the kernels of integer products in {}", self.variant),
            device: gpu.label().to_owned(),
            cause: lacking.clone(),
            advice: "use a variant that has them, or PTX of this release".to_owned(),
        })
    }

    /// What multiplies integers, if anything does.
    pub(super) fn integer_product(&self) -> Option<IntegerKernel> {
        self.integer.as_ref().ok().map(|kernels| *kernels.shape())
    }

    /// What computes `work`, such as "sm_90a/gemm_m16n8k16".
    pub(super) fn name_for(&self, work: Work) -> String {
        let integer = work.integer_product().and_then(|_| self.integer_product());
        Variant { integer, ..self.variant }.to_string()
    }

    /// The kernels that make the leaves of `work`, by name.
    pub(super) fn of_leaves(&self, work: Work) -> String {
        match (work, self.integer_product()) {
            (Work::MemoryResidency(_), _) => "sweep".to_owned(),
            (Work::IntegerProduct(_), Some(of)) => format!("{}, {}", INT8_FILL.name, of.name),
            _ => format!("{}, {}", FILL.name, self.product.kernel.name()),
        }
    }

    /// `peak_read` and `peak_copy`.
    ///
    /// # Errors
    /// The module lacks one.
    pub(super) fn memory_peaks(&self, gpu: &Gpu) -> Result<(Kernel, Kernel), ExecError> {
        let kernel = |declared: &declaration::Kernel| {
            let found = self.module.kernel(declared);
            found.map_err(|failure| gpu.error(&format!("finding {}", declared.name), failure))
        };
        Ok((kernel(&PEAK_READ)?, kernel(&PEAK_COPY)?))
    }

    /// The FMA-pipe kernel of the same module, if the running one uses
    /// tensor cores and so has to be compared with it.
    pub(super) fn fma_product(&self, gpu: &Gpu) -> Result<Option<Product>, ExecError> {
        if self.product.shape.computes.unit == Unit::FmaPipe {
            return Ok(None);
        }
        let kernel = self.module.kernel(&GEMM_FMA);
        let kernel = kernel.map_err(|failure| gpu.error("finding gemm_fma", failure))?;
        Ok(Some(Product { shape: GEMM_FMA, kernel }))
    }

    /// A ceiling kernel of the same module; `None` if the text has none of
    /// that name, as a target without its unit has not.
    pub(super) fn peak(&self, gpu: &Gpu, peak: &PeakKernel) -> Result<Option<Kernel>, ExecError> {
        let entries = entries(self.variant.source.ptx());
        if !entries.iter().any(|entry| entry.name == peak.name) {
            return Ok(None);
        }
        let kernel = self.module.kernel(peak);
        kernel.map(Some).map_err(|failure| gpu.error(&format!("finding {}", peak.name), failure))
    }

    /// Uses `product` from here on.
    pub(super) fn switch_to(&mut self, product: Product) {
        self.variant.gemm = product.shape;
        self.product = product;
    }
}
