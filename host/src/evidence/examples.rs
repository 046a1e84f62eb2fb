//! Devices for the tests of this folder.

use super::inventory::{CudaView, DeviceEntry, uuid_text};
use super::nvml::{NvmlDevice, NvmlView};
use crate::protocol::digest::Uuid;

/// A device as the CUDA driver sees it.
pub fn device(index: u32) -> DeviceEntry {
    DeviceEntry {
        index,
        name: "NVIDIA H200".to_owned(),
        uuid: uuid_text(&Uuid([index as u8; 16])),
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
    CudaView::Loaded { driver_version, cuda_version, devices }
}

/// An NVML with these devices.
pub fn nvml(devices: Vec<NvmlDevice>) -> NvmlView {
    let device_count = devices.len() as u32;
    let driver_version = Some("580.82.07".to_owned());
    NvmlView::Loaded { driver_version, nvml_version: None, device_count, devices }
}
