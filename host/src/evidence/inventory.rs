//! The devices of this machine and what does not fit: what `attest detect` shows.
//! Every field is described in docs/evidence.md.

use super::cross_check;
use super::finding::Finding;
use super::host;
use super::{kernel, nvml, pci, process};
use crate::error_text::what_happened;
use crate::executor::gpu::{
    BrokenDevice, DeviceList, GpuDevice, NoGpu, driver_cuda_version, driver_version, list,
    peer_access,
};
use crate::executor::{Kind, LaneFacts};
use crate::protocol::digest::Uuid;
use crate::protocol::evidence::machine::{
    Bandwidth, CudaSource, CudaView, DeviceEntry, KernelView, MigEntry, NotDescribed, NvmlView,
    PciView, ProcessView,
};
use serde::Serialize;
use std::path::Path;
use std::sync::OnceLock;

/// Why GPUs are not described if none is used.
const NOT_ASKED: &str = "not asked: no lane is a GPU";

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
    /// A name that tells this host from others, 32 hex digits; absent if the
    /// system has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// How fast memory and links are, if that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// What does not fit together.
    pub findings: Vec<Finding>,
}

/// Asks the CUDA driver, NVML, the kernel driver's files, the PCI bus and this
/// process. Never fails: what is not there is told.
pub fn inventory() -> Inventory {
    inventory_of(&list())
}

/// The inventory with what the CUDA driver was already asked.
pub fn inventory_of(listed: &Result<DeviceList, NoGpu>) -> Inventory {
    let sources = Sources::default();
    sources.ask(listed);
    sources.compared(&[], "not asked")
}

/// What the sources have said so far. What one said is there, whatever becomes
/// of asking the next.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) cuda: OnceLock<CudaView>,
    nvml: OnceLock<NvmlView>,
    kernel: OnceLock<KernelView>,
    pci: OnceLock<PciView>,
    process: OnceLock<ProcessView>,
}

impl Sources {
    /// Asks every source, NVML last: it is the likeliest to hang.
    fn ask(&self, listed: &Result<DeviceList, NoGpu>) {
        let _ = self.cuda.set(cuda_view(listed));
        let _ = self.kernel.set(kernel::view(Path::new(kernel::FOLDER)));
        let _ = self.pci.set(pci::view(Path::new(pci::FOLDER)));
        let (nvml, process) = nvml::view(process::view);
        let _ = (self.nvml.set(nvml), self.process.set(process));
    }

    /// Asks what goes into the evidence of a run on these lanes. If none of
    /// them is a GPU only this process is looked at: who chooses the CPU may do
    /// so because a driver hangs.
    pub(super) fn ask_for(&self, lanes: &[LaneFacts]) {
        if lanes.iter().any(|lane| lane.kind == Kind::Gpu) {
            self.ask(&list());
            return;
        }
        let reason = || NOT_ASKED.to_owned();
        let _ = self.cuda.set(CudaView::NoGpu { reason: reason() });
        let _ = self.nvml.set(NvmlView::Unavailable { reason: reason() });
        let _ = self.kernel.set(KernelView::Unavailable { reason: reason() });
        let _ = self.pci.set(PciView::Unavailable { reason: reason() });
        let _ = self.process.set(process::view());
    }

    /// What they said, with what of it does not fit together or to these lanes.
    /// `silence` is why those that have said nothing say nothing.
    pub(super) fn compared(&self, lanes: &[LaneFacts], silence: &str) -> Inventory {
        let mut inventory = self.told(silence);
        inventory.findings = cross_check::findings(&inventory);
        // Of a driver that was not heard it is not known what it does not list.
        if self.cuda.get().is_some() {
            inventory.findings.extend(cross_check::of_lanes(&inventory, lanes));
        }
        inventory
    }

    /// What they said, and no findings.
    pub(super) fn told(&self, silence: &str) -> Inventory {
        let reason = || silence.to_owned();
        let cuda = self.cuda.get().cloned();
        let nvml = self.nvml.get().cloned();
        let kernel = self.kernel.get().cloned();
        let pci = self.pci.get().cloned();
        Inventory {
            schema: 1,
            cuda: cuda.unwrap_or_else(|| CudaView::NoGpu { reason: reason() }),
            nvml: nvml.unwrap_or_else(|| NvmlView::Unavailable { reason: reason() }),
            kernel: kernel.unwrap_or_else(|| KernelView::Unavailable { reason: reason() }),
            pci: pci.unwrap_or_else(|| PciView::Unavailable { reason: reason() }),
            process: self.process.get().cloned().unwrap_or_default(),
            machine_id: host::own_machine_id(),
            bandwidth: None,
            findings: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn of(
        cuda: CudaView,
        nvml: NvmlView,
        kernel: KernelView,
        pci: PciView,
        process: ProcessView,
    ) -> Self {
        Self {
            cuda: cuda.into(),
            nvml: nvml.into(),
            kernel: kernel.into(),
            pci: pci.into(),
            process: process.into(),
        }
    }
}

impl Inventory {
    /// The CUDA driver's devices; none if it is not there.
    pub fn devices(&self) -> &[DeviceEntry] {
        self.cuda.devices()
    }

    /// The sources that were asked and say nothing, and why.
    pub(super) fn silent(&self) -> Vec<(&'static str, &str)> {
        let mut silent = Vec::new();
        if let CudaView::NoGpu { reason } = &self.cuda {
            silent.push(("cuda", reason.as_str()));
        }
        if let NvmlView::Unavailable { reason } = &self.nvml {
            silent.push(("nvml", reason.as_str()));
        }
        if let KernelView::Unavailable { reason } = &self.kernel {
            silent.push(("kernel", reason.as_str()));
        }
        if let PciView::Unavailable { reason } = &self.pci {
            silent.push(("pci", reason.as_str()));
        }
        silent.retain(|(_, reason)| !reason.is_empty() && *reason != NOT_ASKED);
        silent
    }
}

/// The CUDA driver's view of what it listed.
fn cuda_view(listed: &Result<DeviceList, NoGpu>) -> CudaView {
    match listed {
        Ok(DeviceList { devices, broken, .. }) => CudaView::Loaded(CudaSource {
            driver_version: driver_version(),
            cuda_version: driver_cuda_version().map_or_else(
                |_| "unknown".to_owned(),
                |v| format!("{}.{}", v / 1000, v % 1000 / 10),
            ),
            devices: devices.iter().map(device_entry).collect(),
            not_described: broken.iter().map(not_described).collect(),
            peer_access: peer_access(devices),
        }),
        Err(reason) => CudaView::NoGpu { reason: reason.to_string() },
    }
}

fn not_described(broken: &BrokenDevice) -> NotDescribed {
    NotDescribed { index: broken.index, reason: what_happened(&broken.error) }
}

fn device_entry(device: &GpuDevice) -> DeviceEntry {
    DeviceEntry {
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
