//! What is compared of single devices beyond place, UUID, name and memory:
//! firmware, ECC, PCI ids, MIG, serial numbers, and who else computes there.

use crate::evidence::finding::{Code, Finding};
use crate::evidence::inventory::Inventory;
use crate::protocol::evidence::machine::{
    Computing, DeviceEntry, KernelDevice, NvmlDevice, PciDevice, normal_pci_id,
};
use std::collections::BTreeMap;

/// Adds what does not fit.
pub(super) fn findings(found: &Inventory, findings: &mut Vec<Finding>) {
    let managed = found.nvml.devices();
    findings.extend(managed.iter().enumerate().filter_map(|(index, device)| lost(index, device)));
    findings.extend(serials_listed_twice(managed));
    for device in managed {
        let Some(place) = device.pci_id.as_deref().and_then(normal_pci_id) else { continue };
        let same = |pci_id: &str| normal_pci_id(pci_id) == Some(place);
        let kernel = found.kernel.devices().iter().find(|other| same(&other.pci_id));
        findings.extend(kernel.and_then(|kernel| vbios_differs(device, kernel)));
        let on_bus = found.pci.devices().iter().find(|other| same(&other.pci_id));
        findings.extend(on_bus.into_iter().flat_map(|on_bus| pci_ids_differ(device, on_bus)));
    }
    for device in found.devices() {
        let pci_id = &device.pci_id;
        let Some(managed) = found.nvml.device_at(pci_id) else { continue };
        if let Some(ecc) = managed.ecc.filter(|&ecc| ecc != device.ecc) {
            let says = |on| if on { "on" } else { "off" };
            let (ours, theirs) = (says(device.ecc), says(ecc));
            let text = format!(
                "device at {pci_id}: ECC is {ours} to the CUDA driver and {theirs} to NVML"
            );
            findings.push(Finding::new(Code::EccDiffers, text));
        }
        if let Some(mig) = managed.mig.filter(|&mig| mig != device.mig.is_some()) {
            let text = if mig {
                format!(
                    "the device at {pci_id} is in MIG mode to NVML and whole to the CUDA driver"
                )
            } else {
                format!(
                    "the device at {pci_id} is a MIG instance to CUDA and not in MIG mode to NVML"
                )
            };
            findings.push(Finding::new(Code::MigModeDiffers, text));
        }
    }
}

/// A device that cannot be asked, with NVML's reason.
fn lost(index: usize, device: &NvmlDevice) -> Option<Finding> {
    let reason = device.inaccessible.as_ref()?;
    let place = device.pci_id.as_ref().map(|pci_id| format!(" at {pci_id}")).unwrap_or_default();
    let text = format!("NVML's device {index}{place} cannot be asked: {reason}");
    Some(Finding::new(Code::DeviceLost, text))
}

/// One finding for each number that several devices have. GPUs of one board share
/// its number, and NVML says which do.
fn serials_listed_twice(devices: &[NvmlDevice]) -> Vec<Finding> {
    let mut by_serial: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for device in devices.iter().filter(|device| device.multi_gpu_board != Some(true)) {
        if let Some(serial) = device.serial.as_deref().filter(|serial| is_number(serial)) {
            by_serial.entry(serial).or_default().push(device.pci_id.as_deref().unwrap_or("?"));
        }
    }
    let shared = by_serial.iter().filter(|(_, places)| places.len() > 1);
    let finding = |(serial, places): (&&str, &Vec<&str>)| {
        let (count, places) = (places.len(), places.join(", "));
        let text = format!("{count} devices have the serial number {serial}: {places}");
        Finding::new(Code::SerialListedTwice, text)
    };
    shared.map(finding).collect()
}

/// Cards without a number may say "0" or "N/A".
fn is_number(serial: &str) -> bool {
    serial.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

fn vbios_differs(device: &NvmlDevice, kernel: &KernelDevice) -> Option<Finding> {
    let (ours, theirs) = (device.vbios_version.as_ref()?, kernel.vbios_version.as_ref()?);
    let text = format!(
        "device at {}: the firmware is {ours} to NVML and {theirs} to the kernel driver",
        kernel.pci_id
    );
    (!ours.eq_ignore_ascii_case(theirs)).then(|| Finding::new(Code::VbiosDiffers, text))
}

fn pci_ids_differ(device: &NvmlDevice, on_bus: &PciDevice) -> Vec<Finding> {
    let pairs = [
        ("device", device.pci_device_id.as_ref(), Some(&on_bus.device_id)),
        ("subsystem", device.pci_subsystem_id.as_ref(), on_bus.subsystem_id.as_ref()),
    ];
    let differ = |(what, ours, theirs): (&str, Option<&String>, Option<&String>)| {
        let (ours, theirs) = (ours?, theirs?);
        let text = format!(
            "device at {}: the {what} id is {ours} to NVML and {theirs} to the PCI bus",
            on_bus.pci_id
        );
        (ours != theirs).then(|| Finding::new(Code::PciIdsDiffer, text))
    };
    pairs.into_iter().filter_map(differ).collect()
}

/// Devices that CUDA uses and other processes, too. `has_lane` says, of a UUID as
/// CUDA has it, whether this process computes there: in a container it may be
/// listed under a number that it does not know.
pub(super) fn shared(found: &Inventory, has_lane: impl Fn(&str) -> bool) -> Vec<Finding> {
    let shared = |ours: &DeviceEntry| {
        let device = found.nvml.device_at(&ours.pci_id)?;
        let Computing { others, memory_used_bytes, self_listed } = device.computing?;
        let unlisted_self = u32::from(!self_listed && has_lane(&ours.uuid));
        // Other instances of a device in MIG mode have tenants of their own.
        let whole = ours.mig.is_none() && device.mig != Some(true);
        let text = format!(
            "other processes compute on the device at {}: NVML lists {others}, with \
             {memory_used_bytes} bytes of its memory",
            ours.pci_id
        );
        (whole && others > unlisted_self).then(|| Finding::new(Code::DeviceShared, text))
    };
    found.devices().iter().filter_map(shared).collect()
}
