//! What NVML says of a device.

use super::links::{self, NvLink};
use crate::executor::gpu::telemetry::{Health, Sentinel, reason_of, throttle_names};
use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Most processes that are asked about; a library that lies may claim more.
const PROCESSES_MAX: u32 = 4096;
/// Most MIG instances of a device that are asked about.
const INSTANCES_MAX: u32 = 16;

/// What NVML says of a device. A fact that it does not tell is absent, and
/// `unknown` has the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NvmlDevice {
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
    /// Why the device cannot be asked: NVML gives no access to it, or has said of some
    /// fact that it is lost.
    #[serde(skip)]
    pub inaccessible: Option<String>,
}

/// Processes that compute on a device, but for this one. Neither names nor
/// numbers of processes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Computing {
    /// How many.
    pub others: u32,
    /// Device memory that they use, bytes, as far as NVML tells.
    pub memory_used_bytes: u64,
    /// Whether this process was listed. In a container it may be one of
    /// `others`: NVML has the host's numbers of processes.
    pub self_listed: bool,
}

/// A MIG instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigInstance {
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

/// Keeps the reasons of what is not told.
#[derive(Default)]
struct Asking {
    unknown: BTreeMap<&'static str, String>,
    /// The reason, where the device is lost.
    lost: Option<String>,
}

impl Asking {
    fn ask<T>(&mut self, fact: &'static str, answer: Result<T, NvmlError>) -> Option<T> {
        let failed = |error: NvmlError| {
            let reason = reason_of(&error);
            if matches!(error, NvmlError::GpuLost) {
                self.lost.get_or_insert_with(|| reason.clone());
            }
            self.unknown.insert(fact, reason);
        };
        answer.map_err(failed).ok()
    }

    /// A number, which NVML may give as unknown.
    fn number<T: Sentinel + Display>(
        &mut self,
        fact: &'static str,
        answer: Result<T, NvmlError>,
    ) -> Option<T> {
        let value = self.ask(fact, answer)?;
        if value.is_sentinel() {
            self.unknown.insert(fact, format!("not known: NVML says {value}"));
        }
        value.known()
    }
}

impl NvmlDevice {
    /// Asks for everything.
    pub(super) fn of(device: &Device<'_>) -> Self {
        let mut asking = Asking::default();
        let mut it = Self::identity(device, &mut asking);
        it.state(device, &mut asking);
        let ask = &mut asking;
        it.ecc = ask.ask("ecc", device.is_ecc_enabled()).map(|state| state.currently_enabled);
        let ever = |kind| device.total_ecc_errors(kind, EccCounter::Aggregate);
        it.ecc_corrected_ever = ask.number("ecc_corrected_ever", ever(MemoryError::Corrected));
        it.ecc_uncorrected_ever =
            ask.number("ecc_uncorrected_ever", ever(MemoryError::Uncorrected));
        it.health = Health::of(device);
        it.mig = ask.ask("mig", device.mig_mode()).map(|mode| mode.current != 0);
        if it.mig == Some(true) {
            it.mig_instances = instances(device);
        }
        it.confidential_computing =
            ask.ask("confidential_computing", device.check_confidential_compute_status());
        it.pcie_generation = ask.number("pcie_generation", device.current_pcie_link_gen());
        it.pcie_width = ask.number("pcie_width", device.current_pcie_link_width());
        it.computing = computing(device, ask);
        it.nvlinks = ask.ask("nvlinks", links::of(device)).unwrap_or_default();
        it.unknown = asking.unknown;
        it.inaccessible = asking.lost;
        it
    }

    /// A device that NVML lists and lets nobody ask.
    pub(super) fn inaccessible(reason: String) -> Self {
        let unknown = BTreeMap::from([("device", reason.clone())]);
        Self { unknown, inaccessible: Some(reason), ..Self::default() }
    }

    fn identity(device: &Device<'_>, asking: &mut Asking) -> Self {
        let pci = asking.ask("pci_id", device.pci_info());
        let memory = asking.ask("memory", device.memory_info());
        let hex = |id: u32| format!("{id:08x}");
        Self {
            uuid: asking.ask("uuid", device.uuid()),
            pci_device_id: pci.as_ref().and_then(|pci| pci.pci_device_id.known()).map(hex),
            pci_subsystem_id: pci.as_ref().and_then(|pci| pci.pci_sub_system_id?.known()).map(hex),
            pci_id: pci.map(|pci| pci.bus_id),
            name: asking.ask("name", device.name()),
            serial: asking.ask("serial", device.serial()),
            multi_gpu_board: asking.ask("multi_gpu_board", device.is_multi_gpu_board()),
            vbios_version: asking.ask("vbios_version", device.vbios_version()),
            board_part_number: asking.ask("board_part_number", device.board_part_number()),
            memory_bytes: memory.as_ref().and_then(|it| asking.number("memory", Ok(it.total))),
            memory_used_bytes: memory.as_ref().and_then(|it| asking.number("memory", Ok(it.used))),
            ..Self::default()
        }
    }

    fn state(&mut self, device: &Device<'_>, asking: &mut Asking) {
        self.sm_clock_mhz = asking.number("sm_clock_mhz", device.clock_info(Clock::SM));
        self.sm_clock_max_mhz = asking.number("sm_clock_max_mhz", device.max_clock_info(Clock::SM));
        self.memory_clock_mhz = asking.number("memory_clock_mhz", device.clock_info(Clock::Memory));
        let highest = device.max_clock_info(Clock::Memory);
        self.memory_clock_max_mhz = asking.number("memory_clock_max_mhz", highest);
        self.power_mw = asking.number("power_mw", device.power_usage());
        self.power_limit_mw = asking.number("power_limit_mw", device.enforced_power_limit());
        let default = device.power_management_limit_default();
        self.power_limit_default_mw = asking.number("power_limit_default_mw", default);
        let celsius = device.temperature(TemperatureSensor::Gpu);
        self.temperature_c = asking.number("temperature_c", celsius);
        let reasons = asking.ask("throttle_reasons", device.current_throttle_reasons());
        self.throttle_reasons = reasons.map(|reasons| throttle_names(reasons.bits()));
    }

    /// How many of its NVLinks are up.
    pub fn nvlinks_active(&self) -> usize {
        self.nvlinks.iter().filter(|link| link.active).count()
    }
}

fn computing(device: &Device<'_>, asking: &mut Asking) -> Option<Computing> {
    let count = asking.number("computing", device.running_compute_processes_count())?;
    if count > PROCESSES_MAX {
        // Nothing is allocated for so many.
        return Some(Computing { others: count, ..Computing::default() });
    }
    let mut found = Computing::default();
    for process in asking.ask("computing", device.running_compute_processes())? {
        if process.pid == std::process::id() {
            found.self_listed = true;
            continue;
        }
        found.others += 1;
        if let UsedGpuMemory::Used(bytes) = process.used_gpu_memory {
            found.memory_used_bytes = found.memory_used_bytes.saturating_add(bytes);
        }
    }
    Some(found)
}

fn instances(device: &Device<'_>) -> Vec<MigInstance> {
    let count = device.mig_device_count().unwrap_or(0).min(INSTANCES_MAX);
    let described = |index| {
        // Free places among them have no handle.
        let instance = device.mig_device_by_index(index).ok()?;
        Some(MigInstance {
            uuid: instance.uuid().ok(),
            name: instance.name().ok(),
            memory_bytes: instance.memory_info().ok().and_then(|memory| memory.total.known()),
            sm_count: instance
                .attributes()
                .ok()
                .and_then(|found| found.multiprocessor_count.known()),
        })
    };
    (0..count).filter_map(described).collect()
}
