//! What is measured of a machine and reported of a run.
//!
//! ```text
//! inventory   the CUDA devices and NVML's view of them, for `attest detect`
//! nvml        facts that only the management library has
//! assemble    an execution's evidence document
//! ```
//!
//! Guarantees: a machine without a GPU, a driver or NVML is a value, not an
//! error; nothing is made up: a fact that could not be read is absent.
//! Deliberately absent: any judgement. All of this is claimed by the miner.

mod assemble;
mod inventory;
mod nvml;

pub use assemble::assemble;
pub use inventory::{CudaView, DeviceEntry, Inventory, inventory};
pub use nvml::{NvmlDevice, NvmlView};
