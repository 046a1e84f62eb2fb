//! What the CUDA driver says about a machine.

use super::super::described::{Described, described};
use serde::Serialize;
use serde_json::Value;

/// What the CUDA driver says, or why it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum CudaView {
    /// It lists devices.
    Loaded(CudaSource),
    /// No GPU can be used.
    NoGpu {
        /// What happened, and what to try.
        reason: String,
    },
}

described! {
    /// What the CUDA driver says.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct CudaSource => ClaimedCudaSource {
        /// The kernel driver's version.
        pub driver_version: String,
        /// The newest CUDA version that it supports, such as "13.0".
        pub cuda_version: String,
        /// In the driver's order.
        pub devices: Vec<DeviceEntry>,
        /// Devices that it lists and fails to describe.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub not_described: Vec<NotDescribed>,
        /// For each device a text with a place for each device: "1" if the
        /// first can address the second's memory, "0" if it can't, "?" if
        /// that is unknown, "-" for itself.
        pub peer_access: Vec<String>,
    }
}

impl Described for CudaView {
    type Claimed = ClaimedCudaSource;
    fn claimed(value: &Value) -> Option<ClaimedCudaSource> {
        CudaSource::claimed(value)
    }
    fn bound(&mut self, text_chars_max: usize) {
        if let Self::Loaded(source) = self {
            source.bound(text_chars_max);
        }
    }
}

impl CudaView {
    /// How many devices it lists.
    pub fn count(&self) -> usize {
        match self {
            Self::Loaded(source) => source.devices.len() + source.not_described.len(),
            Self::NoGpu { .. } => 0,
        }
    }

    /// Its devices; none if it is not there.
    pub fn devices(&self) -> &[DeviceEntry] {
        match self {
            Self::Loaded(source) => &source.devices,
            Self::NoGpu { .. } => &[],
        }
    }
}

described! {
    /// A device of which the CUDA driver says no more than that it is there.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct NotDescribed => ClaimedNotDescribed {
        /// Its number for --devices.
        pub index: u32,
        /// Why.
        pub reason: String,
    }
}

described! {
    /// A CUDA device.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct DeviceEntry => ClaimedDeviceEntry {
        /// Its number for --devices.
        pub index: u32,
        /// Name.
        pub name: String,
        /// "GPU-xxxxxxxx-…", or of a MIG instance "MIG-xxxxxxxx-…".
        pub uuid: String,
        /// Whether it is a MIG instance, and of what.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub mig: Option<MigEntry>,
        /// Such as "9.0".
        pub compute_capability: String,
        /// Streaming multiprocessors.
        pub sm_count: u32,
        /// Memory, bytes.
        pub memory_bytes: u64,
        /// Highest SM clock, kHz.
        pub clock_khz: u32,
        /// Highest memory clock, kHz.
        pub memory_clock_khz: u32,
        /// Width of the memory bus, bits.
        pub memory_bus_bits: u32,
        /// L2 cache, bytes.
        pub l2_bytes: u32,
        /// "domain:bus:device.function".
        pub pci_id: String,
        /// Whether error-correcting memory is on.
        pub ecc: bool,
    }
}

described! {
    /// A part of a device, cut off by MIG.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct MigEntry => ClaimedMigEntry {
        /// The device that it is a part of, where the driver tells.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub parent_uuid: Option<String>,
    }
}
