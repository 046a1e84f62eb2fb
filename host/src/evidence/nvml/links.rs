//! How NVML says that devices are joined: NVLinks, and what two have in common
//! on the way over PCIe.

use crate::protocol::evidence::machine::{Ancestor, NvLink};
use nvml_wrapper::enum_wrappers::device::TopologyLevel;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

/// Most links of a device (`NVML_NVLINK_MAX_LINKS`).
const LINKS_MAX: u32 = 18;
/// Devices whose pairs are asked about.
const PAIRED_MAX: usize = 16;

/// The links of a device. A device without any is an error of NVML.
pub(super) fn of(device: &Device<'_>) -> Result<Vec<NvLink>, NvmlError> {
    let mut links = Vec::new();
    for number in 0..LINKS_MAX {
        let link = device.link_wrapper_for(number);
        let active = match link.is_active() {
            Ok(active) => active,
            Err(error) if links.is_empty() => return Err(error),
            // Past its last link.
            Err(_) => break,
        };
        let remote = if active { link.remote_pci_info().ok() } else { None };
        links.push(NvLink {
            link: number,
            active,
            version: link.version().ok().map(version),
            remote_pci_id: remote.map(|remote| remote.bus_id).filter(|id| !id.is_empty()),
        });
    }
    Ok(links)
}

/// The versions as `nvmlNvlinkVersion_t` numbers them.
fn version(number: u32) -> String {
    let known = ["1.0", "2.0", "2.2", "3.0", "3.1", "4.0", "5.0"];
    let at = (number as usize).wrapping_sub(1);
    known.get(at).map_or_else(|| format!("number {number}"), |&version| version.to_owned())
}

/// What each pair of the first devices has in common, if NVML tells.
pub(super) fn topology(nvml: &Nvml, devices: &[Option<Device<'_>>]) -> Vec<Ancestor> {
    let mut pairs = Vec::new();
    let known = || devices.iter().take(PAIRED_MAX).enumerate();
    for (a, first) in known() {
        for (b, second) in known().skip(a + 1) {
            let (Some(first), Some(second)) = (first, second) else { continue };
            if let Ok(level) = nvml.topology_common_ancestor(first, second) {
                pairs.push(Ancestor { devices: [a as u32, b as u32], ancestor: name(&level) });
            }
        }
    }
    pairs
}

fn name(level: &TopologyLevel) -> &'static str {
    match level {
        TopologyLevel::Internal => "internal",
        TopologyLevel::Single => "single-switch",
        TopologyLevel::Multiple => "multiple-switches",
        TopologyLevel::HostBridge => "host-bridge",
        TopologyLevel::Node => "numa-node",
        TopologyLevel::System => "system",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_names_that_people_use() {
        assert_eq!((version(6), version(7)), ("4.0".to_owned(), "5.0".to_owned()));
        assert_eq!((version(0), version(8)), ("number 0".to_owned(), "number 8".to_owned()));
    }
}
