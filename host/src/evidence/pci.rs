//! The PCI bus's view: NVIDIA's display devices under /sys/bus/pci.
//!
//! Guarantees: at most [`DEVICES_MAX`] devices, a bounded part of each file; ids
//! come from the configuration space, which the kernel keeps, if it can be read.
//! Deliberately lacks: a view if the bus has no such device. Under WSL and in
//! some sandboxes GPUs are not on it.

use super::kernel::DEVICES_MAX;
use crate::protocol::evidence::machine::{PciDevice, PciSource, PciView};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Where Linux shows the bus.
pub(super) const FOLDER: &str = "/sys/bus/pci/devices";
/// Most entries of the bus that are looked at.
const ENTRIES_MAX: usize = 4096;
/// Longest file that is read, bytes: as much of the configuration space as
/// anyone may read.
const FILE_BYTES_MAX: u64 = 64;
/// NVIDIA's number.
const NVIDIA: u16 = 0x10de;
/// The base class of display controllers; NVSwitches are bridges.
const DISPLAY: u8 = 0x03;

/// Reads the files under `folder`: /sys/bus/pci/devices, but in tests.
pub(super) fn view(folder: &Path) -> PciView {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return PciView::Unavailable { reason: format!("{}: {error}", folder.display()) };
        }
    };
    let mut devices: Vec<PciDevice> = entries
        .take(ENTRIES_MAX)
        .flatten()
        .filter_map(|entry| device(&entry.file_name().to_string_lossy(), &entry.path()))
        .take(DEVICES_MAX)
        .collect();
    if devices.is_empty() {
        let reason = format!("{} has no display device of NVIDIA", folder.display());
        return PciView::Unavailable { reason };
    }
    devices.sort_by(|a, b| a.pci_id.cmp(&b.pci_id));
    PciView::Loaded(PciSource { devices })
}

fn device(pci_id: &str, folder: &Path) -> Option<PciDevice> {
    let ids = ids_of_config(&head(&folder.join("config"))?)?;
    if ids.vendor != NVIDIA || ids.base_class != DISPLAY {
        return None;
    }
    let text = |name: &str| {
        let text = String::from_utf8(head(&folder.join(name))?).ok()?;
        let text = text.trim();
        // What a virtual machine does not show is "Unknown", of width 0 or 255.
        (!text.is_empty() && !text.contains("Unknown")).then(|| text.to_owned())
    };
    let width =
        |name: &str| text(name)?.parse().ok().filter(|&width: &u32| (1..=64).contains(&width));
    Some(PciDevice {
        pci_id: pci_id.to_owned(),
        device_id: format!("{:04x}{:04x}", ids.device, ids.vendor),
        subsystem_id: ids.subsystem.map(|(device, vendor)| format!("{device:04x}{vendor:04x}")),
        link_speed: text("current_link_speed"),
        link_width: width("current_link_width"),
        link_speed_max: text("max_link_speed"),
        link_width_max: width("max_link_width"),
        // -1 if the machine has no nodes.
        numa_node: text("numa_node").and_then(|node| node.parse().ok()),
    })
}

/// Ids in a configuration space (PCI Local Bus Specification, type 0 header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    vendor: u16,
    device: u16,
    base_class: u8,
    /// Device and vendor.
    subsystem: Option<(u16, u16)>,
}

fn ids_of_config(bytes: &[u8]) -> Option<Ids> {
    let word = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (subsystem_vendor, subsystem_device) = (word(0x2c), word(0x2e));
    Some(Ids {
        vendor: word(0x00)?,
        device: word(0x02)?,
        base_class: *bytes.get(0x0b)?,
        subsystem: subsystem_device.zip(subsystem_vendor),
    })
}

/// The start of a file.
fn head(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vendor: u16, device: u16, class: u8) -> Vec<u8> {
        let mut bytes = vec![0; 256];
        bytes[0x00..0x02].copy_from_slice(&vendor.to_le_bytes());
        bytes[0x02..0x04].copy_from_slice(&device.to_le_bytes());
        bytes[0x0b] = class;
        bytes[0x2c..0x30].copy_from_slice(&[0xde, 0x10, 0xbe, 0x18]);
        bytes
    }

    /// A bus with an H200, its NVSwitch, another maker's card and a truncated file.
    fn bus() -> tempfile::TempDir {
        let bus = tempfile::tempdir().unwrap();
        for (pci_id, config) in [
            ("0000:19:00.0", config(NVIDIA, 0x2335, DISPLAY)),
            ("0000:05:00.0", config(NVIDIA, 0x22a3, 0x06)),
            ("0000:01:00.0", config(0x1002, 0x74a1, DISPLAY)),
            ("0000:02:00.0", vec![0xde, 0x10, 0x35]),
        ] {
            std::fs::create_dir(bus.path().join(pci_id)).unwrap();
            std::fs::write(bus.path().join(pci_id).join("config"), config).unwrap();
        }
        bus
    }

    #[test]
    fn gpus_are_told_by_their_configuration_space() {
        let bus = bus();
        let gpu = bus.path().join("0000:19:00.0");
        for (name, text) in [
            ("current_link_speed", "32.0 GT/s PCIe\n"),
            ("current_link_width", "16\n"),
            ("max_link_speed", "Unknown\n"),
            ("max_link_width", "255\n"),
            ("numa_node", "-1\n"),
        ] {
            std::fs::write(gpu.join(name), text).unwrap();
        }
        let expected = PciDevice {
            pci_id: "0000:19:00.0".to_owned(),
            device_id: "233510de".to_owned(),
            subsystem_id: Some("18be10de".to_owned()),
            link_speed: Some("32.0 GT/s PCIe".to_owned()),
            link_width: Some(16),
            ..PciDevice::default()
        };
        assert_eq!(view(bus.path()).devices(), [expected]);
    }

    #[test]
    fn a_bus_without_gpus_is_no_view() {
        // As under WSL, or in a sandbox that hides the bus.
        let bus = tempfile::tempdir().unwrap();
        let reason = |view| match view {
            PciView::Unavailable { reason } => reason,
            PciView::Loaded(_) => panic!("nothing is there"),
        };
        assert!(reason(view(bus.path())).contains("no display device"));
        assert!(reason(view(&bus.path().join("none"))).contains("none"));
    }
}
