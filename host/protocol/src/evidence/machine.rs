//! What each source says about the machine that a run was on, as the evidence and
//! `attest detect --json` have it.
//!
//! Guarantees: plain data; a source that says nothing is a value with a reason.
//! Deliberately lacks: means of asking. Those are the miner's.

mod bandwidth;
mod cuda;
mod nvml;
mod system;

pub use bandwidth::{
    Bandwidth, ClaimedBandwidth, ClaimedDeviceBandwidth, ClaimedPeerBandwidth, ClaimedRate,
    DeviceBandwidth, Figure, PeerBandwidth, Rate, Way,
};
pub use cuda::{
    ClaimedCudaSource, ClaimedDeviceEntry, ClaimedMigEntry, ClaimedNotDescribed, CudaSource,
    CudaView, DeviceEntry, MigEntry, NotDescribed,
};
pub use nvml::{
    Ancestor, ClaimedAncestor, ClaimedComputing, ClaimedMigInstance, ClaimedNvLink,
    ClaimedNvmlDevice, ClaimedNvmlSource, Computing, MigInstance, NvLink, NvmlDevice, NvmlSource,
    NvmlView, normal_pci_id,
};
pub use system::{
    ClaimedKernelDevice, ClaimedKernelSource, ClaimedMappedLibrary, ClaimedMount, ClaimedPciDevice,
    ClaimedPciSource, ClaimedProcess, FileState, KernelDevice, KernelSource, KernelView,
    MappedLibrary, Mount, PciDevice, PciSource, PciView, ProcessView,
};

use super::described::described;
use serde::Serialize;
use std::collections::BTreeMap;

described! {
    /// What the sources say about the machine. A source that says nothing is absent, and
    /// why stands in `unknown`.
    #[derive(Clone, Debug, Default, PartialEq, Serialize)]
    pub struct Machine => ClaimedMachine {
        /// How many devices each source lists.
        pub device_counts: DeviceCounts,
        /// The kernel driver's version, as its files have it.
        pub kernel_driver_version: Option<String>,
        /// A name that tells this host from others.
        pub machine_id: Option<String>,
        /// Whether the machine's processor signs quotes: [`super::AVAILABLE`], or
        /// [`super::UNAVAILABLE`] and why not.
        pub machine_report: Option<String>,
        /// Why a source that was asked says nothing, by its name.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub unknown: BTreeMap<&'static str, String>,
        /// The CUDA driver.
        pub cuda: Option<CudaView>,
        /// The management library.
        pub nvml: Option<NvmlView>,
        /// The kernel driver's files.
        pub kernel: Option<KernelView>,
        /// The PCI bus.
        pub pci: Option<PciView>,
        /// How fast memory and links are, where that was measured.
        pub bandwidth: Option<Bandwidth>,
        /// What the miner's process is made of.
        pub process: ProcessView,
    }
}

described! {
    /// How many devices each source lists.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct DeviceCounts => ClaimedDeviceCounts {
        /// The CUDA driver.
        pub cuda: Option<usize>,
        /// The management library.
        pub nvml: Option<u32>,
        /// The kernel driver's files.
        pub kernel: Option<usize>,
        /// The PCI bus.
        pub pci: Option<usize>,
    }
}
