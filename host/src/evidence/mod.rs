//! What is measured of a machine and reported of a run.
//!
//! ```text
//! inventory    the CUDA devices and what the others say about them, for `attest detect`
//! nvml         the management library's view
//! kernel       the kernel driver's files
//! pci          the PCI bus
//! process      libraries put into this process, the driver's libraries in it
//! mounts       mounts over such files
//! machine_report  a quote of the virtual machine
//! host         a name that tells hosts apart
//! cross_check  the five compared: plain data in, findings out
//! observed     the machine beside a run: inventory, telemetry, findings
//! sm           how the SMs shared the work
//! timing       sync points, skew, phases
//! assemble     an execution's evidence document
//! sanitise     anything as evidence may hold it
//! ```
//!
//! Guarantees: a machine without a GPU, a driver or NVML is a value, not an
//! error; nothing is made up: a fact that could not be read is absent.
//! Deliberately absent: any judgement. All of this is claimed by the miner.

mod assemble;
mod cross_check;
pub(crate) mod device_report;
#[cfg(test)]
mod examples;
mod finding;
mod host;
mod inventory;
mod inventory_table;
mod inventory_text;
mod kernel;
mod machine_report;
mod mounts;
mod nvml;
mod observed;
mod pci;
mod present;
mod process;
mod sanitise;
mod sm;
mod timing;

pub use assemble::{assemble, sm_warnings};
pub use finding::{Code, Finding};
pub use host::own_machine_id;
pub use inventory::{Inventory, inventory, inventory_of};
pub use machine_report::{Quote, Tsm};
pub(crate) use observed::answer;
pub use observed::{MachineOptions, MeasureBandwidth, Observed, Observing};
pub use present::present_gpus;
pub use sm::SmShare;
pub use timing::{LaneTiming, RunTiming};
