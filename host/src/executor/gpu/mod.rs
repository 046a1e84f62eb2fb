//! The GPU executor: a lane's chain on a CUDA device.
//!
//! ```text
//! device    what the driver says about each device        variant   which kernels, in which order
//! plan      geometry and memory, pure                   kernels   loads them, falls back
//! executor  GpuExecutor: open, begin, run, open tiles   exactness tensor cores against FMA pipe
//! lane      buffers, batches, graphs                    openings  leaf hashes of single tiles
//! bench     speeds and phases                           cublas    what to compare with
//! verifier  leaves and iterations, for a validator      exactness_cache  which checks were passed
//! launch    kernels as functions over buffers           driver    the typed wall: most unsafe code
//! run       a segment, through failures of kernels      recovery  which failures end a lane
//! memory_backoff  smaller plans                         ptx_file  PTX from elsewhere, as a target
//! injected  failures that a test wants                supervisor how long a device may take
//! telemetry clocks, power and error counts of a run     bandwidth of memory and links
//! counters  tiles per SM, read and judged               words     digests as the device has them
//! cpu_time  of a thread, for telemetry                  error     driver failures in words
//! arena     memory residency's own calls              shape     products of either kind
//! ```
//!
//! Guarantees: between the first iteration of a segment and its last the
//! device never waits for the host, but after a run's first iteration, when
//! the host looks whether counters count; the host sleeps while it waits, but
//! before a sync point, when it looks for the batch's end itself; results
//! come in order; device memory follows the plan. Every failure names the
//! kernel or operation, the device, and the driver's code.
//!
//! Deliberately absent: managed memory, peer access but for measuring it and for work
//! that reads other lanes' memory (lanes meet on the host), and any choice of geometry
//! outside `plan`.

mod arena;
pub mod bandwidth;
pub mod bench;
mod counters;
mod cpu_time;
mod cublas;
mod device;
pub(crate) mod driver;
pub(crate) mod error;
mod exactness;
mod exactness_cache;
mod executor;
mod injected;
mod kernels;
mod lane;
pub(crate) mod launch;
mod memory_backoff;
mod openings;
pub mod plan;
mod ptx_file;
mod ptx_set;
mod recovery;
mod run;
mod shape;
mod supervisor;
pub mod telemetry;
mod variant;
mod verifier;
pub(crate) mod words;

pub use crate::work::memory_residency::gpu::PeerAccess;
pub(crate) use device::list;
pub use device::{
    BrokenDevice, DeviceList, GpuDevice, MissingGpus, NoGpu, driver_cuda_version, driver_version,
    names_mig_instance, peer_access,
};
pub use exactness_cache::{CheckedPair, ExactnessCache};
pub use executor::{ExactnessCheck, GpuExecutor, GpuOptions};
pub use gpu_kernels::target::Target;
pub use injected::{InjectedFailure, InjectedFailures};
pub use lane::Counting;
pub use ptx_file::{PTX_BYTES_MAX, PtxFile, PtxFileError};
pub use ptx_set::PTX_FILES_MAX;
pub(crate) use supervisor::supervised;
pub use supervisor::{PATIENCE, Supervisor};
pub use variant::{Capability, PtxSource, UnknownVariant, Variant};
pub use verifier::GpuVerifier;
