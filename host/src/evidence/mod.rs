//! What is measured of a machine and reported of a run.
//!
//! ```text
//! inventory    the CUDA devices and what the others say of them, for `attest detect`
//! nvml         the management library's view
//! kernel       the kernel driver's files
//! process      libraries put into this process, the driver's libraries in it
//! mounts       mounts over such files
//! cross_check  the four compared: plain data in, findings out
//! timing       sync points, skew, phases
//! assemble     an execution's evidence document
//! ```
//!
//! Guarantees: a machine without a GPU, a driver or NVML is a value, not an
//! error; nothing is made up: a fact that could not be read is absent.
//! Deliberately absent: any judgement. All of this is claimed by the miner.

mod assemble;
mod cross_check;
#[cfg(test)]
mod examples;
mod finding;
mod inventory;
mod inventory_text;
mod kernel;
mod mounts;
mod nvml;
mod process;
mod timing;

pub use assemble::assemble;
pub use finding::{Code, Finding};
pub use inventory::{CudaView, DeviceEntry, Inventory, inventory, inventory_for};
pub use kernel::{KernelDevice, KernelView};
pub use mounts::Mount;
pub use nvml::{NvmlDevice, NvmlView};
pub use process::{FileState, MappedLibrary, ProcessView};
pub use timing::{LaneTiming, RunTiming};
