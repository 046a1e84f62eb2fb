//! A device by NVML.

use super::links;
use crate::executor::gpu::telemetry::{Sentinel, health, reason_of, throttle_names};
use crate::protocol::evidence::machine::{Computing, MigInstance, NvmlDevice};
use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Most processes that are asked about; a library that lies may claim more.
const PROCESSES_MAX: u32 = 4096;
/// Most MIG instances of a device that are asked about.
const INSTANCES_MAX: u32 = 16;

/// Keeps the reasons of what is not told.
#[derive(Default)]
struct Asking {
    unknown: BTreeMap<&'static str, String>,
    /// The reason, if the device is lost.
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

/// Asks for everything.
pub(super) fn describe(device: &Device<'_>) -> NvmlDevice {
    let mut asking = Asking::default();
    let mut it = identity(device, &mut asking);
    state(&mut it, device, &mut asking);
    let ask = &mut asking;
    it.ecc = ask.ask("ecc", device.is_ecc_enabled()).map(|state| state.currently_enabled);
    let ever = |kind| device.total_ecc_errors(kind, EccCounter::Aggregate);
    it.ecc_corrected_ever = ask.number("ecc_corrected_ever", ever(MemoryError::Corrected));
    it.ecc_uncorrected_ever = ask.number("ecc_uncorrected_ever", ever(MemoryError::Uncorrected));
    it.health = health(device);
    it.mig = ask.ask("mig", device.mig_mode()).map(|mode| mode.current != 0);
    if it.mig == Some(true) {
        it.mig_instances = instances(device);
    }
    it.confidential_computing =
        ask.ask("confidential_computing", device.check_confidential_compute_status());
    let certificate = device.confidential_compute_gpu_certificate();
    it.device_report =
        ask.ask("device_report", certificate).map(|it| !it.attestation_cert_chain.is_empty());
    // Most drivers do not know of it: that is no fact about the device.
    it.confidential_dev_tools = device.is_cc_dev_mode_enabled().ok();
    it.pcie_generation = ask.number("pcie_generation", device.current_pcie_link_gen());
    it.pcie_width = ask.number("pcie_width", device.current_pcie_link_width());
    it.computing = computing(device, ask);
    it.nvlinks = ask.ask("nvlinks", links::of(device)).unwrap_or_default();
    it.unknown = asking.unknown;
    it.inaccessible = asking.lost;
    it
}

/// A device that NVML lists and lets nobody ask.
pub(super) fn inaccessible(reason: String) -> NvmlDevice {
    let unknown = BTreeMap::from([("device", reason.clone())]);
    NvmlDevice { unknown, inaccessible: Some(reason), ..NvmlDevice::default() }
}

fn identity(device: &Device<'_>, asking: &mut Asking) -> NvmlDevice {
    let pci = asking.ask("pci_id", device.pci_info());
    let memory = asking.ask("memory", device.memory_info());
    let hex = |id: u32| format!("{id:08x}");
    NvmlDevice {
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
        ..NvmlDevice::default()
    }
}

fn state(it: &mut NvmlDevice, device: &Device<'_>, asking: &mut Asking) {
    it.sm_clock_mhz = asking.number("sm_clock_mhz", device.clock_info(Clock::SM));
    it.sm_clock_max_mhz = asking.number("sm_clock_max_mhz", device.max_clock_info(Clock::SM));
    it.memory_clock_mhz = asking.number("memory_clock_mhz", device.clock_info(Clock::Memory));
    let highest = device.max_clock_info(Clock::Memory);
    it.memory_clock_max_mhz = asking.number("memory_clock_max_mhz", highest);
    it.power_mw = asking.number("power_mw", device.power_usage());
    it.power_limit_mw = asking.number("power_limit_mw", device.enforced_power_limit());
    let default = device.power_management_limit_default();
    it.power_limit_default_mw = asking.number("power_limit_default_mw", default);
    let celsius = device.temperature(TemperatureSensor::Gpu);
    it.temperature_c = asking.number("temperature_c", celsius);
    let reasons = asking.ask("throttle_reasons", device.current_throttle_reasons());
    it.throttle_reasons = reasons.map(|reasons| throttle_names(reasons.bits()));
}

fn computing(device: &Device<'_>, asking: &mut Asking) -> Option<Computing> {
    let count = asking.number("computing", device.running_compute_processes_count())?;
    if count > PROCESSES_MAX {
        // Nothing is allocated for that many.
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
