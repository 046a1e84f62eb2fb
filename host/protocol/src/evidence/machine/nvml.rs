//! What NVML says about a machine.

use super::super::described::{Described, described};
use crate::evidence::telemetry::Health;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The machine by NVML, or why it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum NvmlView {
    /// The library answers.
    Loaded(NvmlSource),
    /// It could not be loaded or initialised.
    Unavailable {
        /// Its words.
        reason: String,
    },
}

described! {
    /// What NVML says.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct NvmlSource => ClaimedNvmlSource {
        /// Version of the kernel driver, such as "580.82.07".
        #[serde(skip_serializing_if = "Option::is_none")]
        pub driver_version: Option<String>,
        /// Version of the library.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub nvml_version: Option<String>,
        /// How many devices it claims.
        pub device_count: u32,
        /// The first 256 of them, in its own order.
        pub devices: Vec<NvmlDevice>,
        /// What pairs of the first 16 have in common.
        pub topology: Vec<Ancestor>,
    }
}

impl Described for NvmlView {
    type Claimed = ClaimedNvmlSource;
    fn claimed(value: &Value) -> Option<ClaimedNvmlSource> {
        NvmlSource::claimed(value)
    }
    fn bound(&mut self, text_chars_max: usize) {
        if let Self::Loaded(source) = self {
            source.bound(text_chars_max);
        }
    }
}

impl NvmlView {
    /// Its devices; none if it is not there.
    pub fn devices(&self) -> &[NvmlDevice] {
        match self {
            Self::Loaded(source) => &source.devices,
            Self::Unavailable { .. } => &[],
        }
    }

    /// The device at a PCI id, whichever way its domain is written.
    pub fn device_at(&self, pci_id: &str) -> Option<&NvmlDevice> {
        let wanted = normal_pci_id(pci_id)?;
        self.devices()
            .iter()
            .find(|device| device.pci_id.as_deref().and_then(normal_pci_id) == Some(wanted))
    }
}

impl NvmlDevice {
    /// How many of its NVLinks are up.
    pub fn nvlinks_active(&self) -> usize {
        self.nvlinks.iter().filter(|link| link.active).count()
    }
}

/// Domain, bus, device and function as numbers: CUDA writes the domain with
/// four digits, NVML with eight.
pub fn normal_pci_id(text: &str) -> Option<[u32; 4]> {
    let (place, function) = text.rsplit_once('.')?;
    let mut parts = place.split(':').map(|part| u32::from_str_radix(part, 16));
    let numbers = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
    let function = u32::from_str_radix(function, 16).ok()?;
    parts.next().is_none().then_some([numbers[0], numbers[1], numbers[2], function])
}

described! {
    /// What NVML says about a device. A fact that it does not tell is absent, and
    /// `unknown` has the reason.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct NvmlDevice => ClaimedNvmlDevice {
        /// "GPU-xxxxxxxx-…".
        #[serde(skip_serializing_if = "Option::is_none")]
        pub uuid: Option<String>,
        /// "domain:bus:device.function".
        #[serde(skip_serializing_if = "Option::is_none")]
        pub pci_id: Option<String>,
        /// PCI device and vendor, as in 233510de.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub pci_device_id: Option<String>,
        /// PCI subsystem device and vendor.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub pci_subsystem_id: Option<String>,
        /// Name.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// Serial number of the board.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub serial: Option<String>,
        /// Whether several GPUs share a board, and so its serial number.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub multi_gpu_board: Option<bool>,
        /// Version of its firmware.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub vbios_version: Option<String>,
        /// Part number of the board.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub board_part_number: Option<String>,
        /// Memory, bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub memory_bytes: Option<u64>,
        /// Memory in use, bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub memory_used_bytes: Option<u64>,
        /// SM clock now, MHz.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sm_clock_mhz: Option<u32>,
        /// Highest SM clock, MHz.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sm_clock_max_mhz: Option<u32>,
        /// Memory clock now, MHz.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub memory_clock_mhz: Option<u32>,
        /// Highest memory clock, MHz.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub memory_clock_max_mhz: Option<u32>,
        /// Power drawn now, mW.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub power_mw: Option<u32>,
        /// Power limit in force, mW.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub power_limit_mw: Option<u32>,
        /// Power limit that it came with, mW.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub power_limit_default_mw: Option<u32>,
        /// Temperature, °C.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub temperature_c: Option<u32>,
        /// Why clocks are held down now, NVML's names.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub throttle_reasons: Option<Vec<String>>,
        /// Whether error-correcting memory is on.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ecc: Option<bool>,
        /// Memory errors corrected in its life.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ecc_corrected_ever: Option<u64>,
        /// Memory errors that could not be corrected in its life.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ecc_uncorrected_ever: Option<u64>,
        /// Whether the device is cut into MIG instances.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub mig: Option<bool>,
        /// Whether confidential computing is on, in production mode, and accepts work.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub confidential_computing: Option<bool>,
        /// Whether it gives certificates for reports that it signs.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub device_report: Option<bool>,
        /// Whether confidential computing is on with developers' tools, which see into it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub confidential_dev_tools: Option<bool>,
        /// PCIe generation of the link now.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub pcie_generation: Option<u32>,
        /// PCIe lanes of the link now.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub pcie_width: Option<u32>,
        /// Other processes that compute on it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub computing: Option<Computing>,
        /// Error counts since the driver was loaded, and rows remapped.
        #[serde(skip_serializing_if = "Health::is_unknown")]
        pub health: Health,
        /// Its MIG instances.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub mig_instances: Vec<MigInstance>,
        /// Its NVLinks.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub nvlinks: Vec<NvLink>,
        /// Why a fact is absent.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub unknown: BTreeMap<&'static str, String>,
        aside "Why the device cannot be asked: NVML gives no access to it, or has said about some fact that it is lost." inaccessible: Option<String>,
    }
}

described! {
    /// Processes that compute on a device, but for this one. Neither names nor
    /// numbers of processes are kept.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct Computing => ClaimedComputing {
        /// How many.
        pub others: u32,
        /// Device memory that they use, bytes, as far as NVML tells.
        pub memory_used_bytes: u64,
        /// Whether this process was listed. In a container it may be one of
        /// `others`: NVML has the host's numbers of processes.
        pub self_listed: bool,
    }
}

described! {
    /// A MIG instance.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct MigInstance => ClaimedMigInstance {
        /// "MIG-xxxxxxxx-…".
        #[serde(skip_serializing_if = "Option::is_none")]
        pub uuid: Option<String>,
        /// Name.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// Memory, bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub memory_bytes: Option<u64>,
        /// Streaming multiprocessors.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sm_count: Option<u32>,
    }
}

described! {
    /// An NVLink.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct NvLink => ClaimedNvLink {
        /// Its number on this device.
        pub link: u32,
        /// Whether it is up.
        pub active: bool,
        /// Its version, such as "4.0".
        #[serde(skip_serializing_if = "Option::is_none")]
        pub version: Option<String>,
        /// The PCI id of what is at its other end, a GPU or a switch.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub remote_pci_id: Option<String>,
    }
}

described! {
    /// What two devices have in common.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct Ancestor => ClaimedAncestor {
        /// NVML's numbers of the devices.
        pub devices: [u32; 2],
        /// "internal", "single-switch", "multiple-switches", "host-bridge",
        /// "numa-node" or "system".
        pub ancestor: &'static str,
    }
}
