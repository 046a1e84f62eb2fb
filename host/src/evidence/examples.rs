//! Devices for the tests of this folder.

use super::inventory::{CudaView, DeviceEntry, Inventory, uuid_text};
use super::kernel::KernelView;
use super::nvml::{NvmlDevice, NvmlView};
use super::pci::PciView;
use super::process::ProcessView;
use crate::protocol::digest::Uuid;

/// A device as the CUDA driver sees it.
pub fn device(index: u32) -> DeviceEntry {
    DeviceEntry {
        index,
        name: "NVIDIA H200".to_owned(),
        uuid: uuid_text("GPU", &Uuid([index as u8; 16])),
        mig: None,
        compute_capability: "9.0".to_owned(),
        sm_count: 132,
        memory_bytes: 150_000_000_000,
        clock_khz: 1_980_000,
        memory_clock_khz: 3_201_000,
        memory_bus_bits: 6144,
        l2_bytes: 50 << 20,
        pci_id: format!("0000:{index:02x}:00.0"),
        ecc: true,
    }
}

/// The same device as NVML sees it.
pub fn managed(device: &DeviceEntry) -> NvmlDevice {
    NvmlDevice {
        uuid: Some(device.uuid.clone()),
        pci_id: Some(format!("0000{}", device.pci_id)),
        name: Some(device.name.clone()),
        memory_bytes: Some(150_754_820_096),
        ..NvmlDevice::default()
    }
}

/// A CUDA driver with these devices.
pub fn cuda(devices: Vec<DeviceEntry>) -> CudaView {
    let (driver_version, cuda_version) = ("580.82.07".to_owned(), "13.0".to_owned());
    let places = |at: usize| (0..devices.len()).map(move |to| if at == to { '-' } else { '1' });
    let peer_access = (0..devices.len()).map(|at| places(at).collect()).collect();
    CudaView::Loaded { driver_version, cuda_version, devices, peer_access }
}

/// An NVML with these devices.
pub fn nvml(devices: Vec<NvmlDevice>) -> NvmlView {
    let device_count = devices.len() as u32;
    let driver_version = Some("580.82.07".to_owned());
    let (nvml_version, topology) = (None, Vec::new());
    NvmlView::Loaded { driver_version, nvml_version, device_count, devices, topology }
}

/// A machine of which nothing is known.
pub fn absent() -> Inventory {
    let reason = String::new;
    Inventory {
        schema: 1,
        cuda: CudaView::NoGpu { reason: reason() },
        nvml: NvmlView::Unavailable { reason: reason() },
        kernel: KernelView::Unavailable { reason: reason() },
        pci: PciView::Unavailable { reason: reason() },
        process: ProcessView::default(),
        bandwidth: None,
        findings: Vec::new(),
    }
}
