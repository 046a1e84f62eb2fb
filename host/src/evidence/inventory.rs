//! The devices of this machine and what does not fit: what `attest detect` shows.
//! Every field is described in docs/evidence.md.

use super::cross_check;
use super::finding::Finding;
use super::host;
use super::kernel::{FOLDER, KernelView};
use super::nvml::NvmlView;
use super::pci::{self, PciView};
use super::process::ProcessView;
use crate::executor::gpu::bandwidth::Bandwidth;
use crate::executor::gpu::{
    GpuDevice, NoGpu, devices, driver_cuda_version, driver_version, peer_access,
};
use crate::executor::{Kind, LaneFacts};
use crate::protocol::digest::Uuid;
use serde::Serialize;
use std::path::Path;

/// Everything found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// Version of this document's form.
    pub schema: u32,
    /// The CUDA driver's view.
    pub cuda: CudaView,
    /// The management library's view.
    pub nvml: NvmlView,
    /// The kernel driver's files.
    pub kernel: KernelView,
    /// The PCI bus.
    pub pci: PciView,
    /// What this process is made of.
    pub process: ProcessView,
    /// A name that tells this host from others, 32 hex digits; absent where the
    /// system has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// How fast memory and links are, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// What does not fit together.
    pub findings: Vec<Finding>,
}

/// What the CUDA driver says, or why it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum CudaView {
    /// It lists devices.
    Loaded {
        /// The kernel driver's version.
        driver_version: String,
        /// The newest CUDA version that it supports, such as "13.0".
        cuda_version: String,
        /// In the driver's order.
        devices: Vec<DeviceEntry>,
        /// For each device a text with a place for each device: "1" where the
        /// first can address the second's memory, "0" where it can't, "?" where
        /// that is unknown, "-" for itself.
        peer_access: Vec<String>,
    },
    /// No GPU can be used.
    NoGpu {
        /// What happened, and what to try.
        reason: String,
    },
}

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceEntry {
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

/// A part of a device, cut off by MIG.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigEntry {
    /// The device that it is a part of, where the driver tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_uuid: Option<String>,
}

/// Asks the CUDA driver, NVML, the kernel driver's files, the PCI bus and this
/// process. Never fails: what is not there is told.
pub fn inventory() -> Inventory {
    inventory_of(&devices())
}

/// The inventory with what the CUDA driver was already asked.
pub fn inventory_of(devices: &Result<Vec<GpuDevice>, NoGpu>) -> Inventory {
    let mut inventory = look(devices);
    inventory.findings.extend(cross_check::of_lanes(&inventory, &[]));
    inventory
}

fn look(devices: &Result<Vec<GpuDevice>, NoGpu>) -> Inventory {
    let cuda = match devices {
        Ok(devices) => CudaView::Loaded {
            driver_version: driver_version(),
            cuda_version: driver_cuda_version().map_or_else(
                |_| "unknown".to_owned(),
                |v| format!("{}.{}", v / 1000, v % 1000 / 10),
            ),
            devices: devices.iter().map(DeviceEntry::of).collect(),
            peer_access: peer_access(devices),
        },
        Err(reason) => CudaView::NoGpu { reason: reason.to_string() },
    };
    let (nvml, process) = NvmlView::read(ProcessView::read);
    let kernel = KernelView::read(Path::new(FOLDER));
    let pci = PciView::read(Path::new(pci::FOLDER));
    Inventory::of(cuda, nvml, kernel, pci, process)
}

/// The inventory that goes into the evidence of a run on these lanes. Where
/// none of them is a GPU only this process is looked at: who chooses the CPU
/// may do so because a driver hangs.
pub fn inventory_for(lanes: &[LaneFacts]) -> Inventory {
    let mut inventory = if lanes.iter().any(|lane| lane.kind == Kind::Gpu) {
        look(&devices())
    } else {
        let reason = "not asked: no lane is a GPU".to_owned();
        let cuda = CudaView::NoGpu { reason: reason.clone() };
        let nvml = NvmlView::Unavailable { reason: reason.clone() };
        let kernel = KernelView::Unavailable { reason: reason.clone() };
        let pci = PciView::Unavailable { reason };
        Inventory::of(cuda, nvml, kernel, pci, ProcessView::read())
    };
    inventory.findings.extend(cross_check::of_lanes(&inventory, lanes));
    inventory
}

impl Inventory {
    /// Compares the views; names the host.
    pub(super) fn of(
        cuda: CudaView,
        nvml: NvmlView,
        kernel: KernelView,
        pci: PciView,
        process: ProcessView,
    ) -> Self {
        let (findings, bandwidth) = (Vec::new(), None);
        let (schema, machine_id) = (1, host::machine_id(Path::new(host::FILE)));
        let mut all =
            Self { schema, cuda, nvml, kernel, pci, process, machine_id, bandwidth, findings };
        all.findings = cross_check::findings(&all);
        all
    }

    /// The CUDA driver's devices; none where it is not there.
    pub fn devices(&self) -> &[DeviceEntry] {
        self.cuda.devices()
    }
}

impl CudaView {
    /// Its devices; none where it is not there.
    pub fn devices(&self) -> &[DeviceEntry] {
        match self {
            Self::Loaded { devices, .. } => devices,
            Self::NoGpu { .. } => &[],
        }
    }
}

impl DeviceEntry {
    fn of(device: &GpuDevice) -> Self {
        Self {
            index: device.index,
            name: device.name.clone(),
            uuid: match device.is_mig_instance() {
                true => uuid_text("MIG", &device.uuid),
                false => uuid_text("GPU", &device.uuid),
            },
            mig: device.is_mig_instance().then(|| MigEntry {
                parent_uuid: device.parent_uuid.map(|uuid| uuid_text("GPU", &uuid)),
            }),
            compute_capability: device.capability.to_string(),
            sm_count: device.sm_count,
            memory_bytes: device.memory_bytes,
            clock_khz: device.clock_khz,
            memory_clock_khz: device.memory_clock_khz,
            memory_bus_bits: device.memory_bus_bits,
            l2_bytes: device.l2_bytes,
            pci_id: device.pci_id.clone(),
            ecc: device.ecc,
        }
    }
}

/// A UUID as nvidia-smi writes it, of a "GPU" or a "MIG".
pub(super) fn uuid_text(kind: &str, uuid: &Uuid) -> String {
    format!("{kind}-{}", uuid.hyphenated())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_written_as_nvidia_smi_does() {
        let uuid: Uuid = "0123456789abcdef0123456789abcdef".parse().unwrap();
        assert_eq!(uuid_text("GPU", &uuid), "GPU-01234567-89ab-cdef-0123-456789abcdef");
    }

    #[test]
    fn this_machine_has_an_inventory_whatever_it_has() {
        let found = inventory();
        assert!(!found.to_string().is_empty());
        serde_json::to_value(&found).unwrap();
    }
}
