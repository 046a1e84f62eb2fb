//! The management library's view: NVML, loaded at run time where it is there.

use super::kernel::DEVICES_MAX;
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use serde::Serialize;

/// What NVML says of the machine, or why it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum NvmlView {
    /// The library answers.
    Loaded {
        /// Version of the kernel driver, such as "580.82.07".
        driver_version: Option<String>,
        /// Version of the library.
        nvml_version: Option<String>,
        /// How many devices it claims.
        device_count: u32,
        /// The first 256 of them, in its own order.
        devices: Vec<NvmlDevice>,
    },
    /// It could not be loaded or initialised.
    Unavailable {
        /// Its words.
        reason: String,
    },
}

/// What NVML says of a device. A fact that it does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NvmlDevice {
    /// "GPU-xxxxxxxx-…".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// "domain:bus:device.function".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci_id: Option<String>,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Serial number of the board.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
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
    /// Power drawn now, mW.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_mw: Option<u32>,
    /// Power limit in force, mW.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_limit_mw: Option<u32>,
    /// Temperature, °C.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<u32>,
    /// Why clocks are held down now, NVML's bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle_reasons: Option<u64>,
    /// Whether error-correcting memory is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc: Option<bool>,
    /// Whether the device is cut into MIG instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig: Option<bool>,
}

impl NvmlView {
    /// Asks NVML for everything, then calls `meanwhile` with the library still
    /// mapped.
    pub fn read<T>(meanwhile: impl FnOnce() -> T) -> (Self, T) {
        match Nvml::init() {
            Ok(nvml) => {
                let view = Self::of(&nvml).unwrap_or_else(|error| Self::failed(&error));
                (view, meanwhile())
            }
            Err(error) => (Self::failed(&error), meanwhile()),
        }
    }

    /// Its devices; none where it is not there.
    pub fn devices(&self) -> &[NvmlDevice] {
        match self {
            Self::Loaded { devices, .. } => devices,
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

    fn failed(error: &NvmlError) -> Self {
        // The loader's words are in the innermost cause.
        let mut reason: &dyn std::error::Error = error;
        while let Some(cause) = reason.source() {
            reason = cause;
        }
        Self::Unavailable { reason: reason.to_string() }
    }

    fn of(nvml: &Nvml) -> Result<Self, NvmlError> {
        let device_count = nvml.device_count()?;
        // A library that lies may claim four billion.
        let devices =
            (0..device_count).take(DEVICES_MAX).map(|index| match nvml.device_by_index(index) {
                Ok(device) => describe(&device),
                // Listed but not accessible: counted, with nothing known of it.
                Err(_) => NvmlDevice::default(),
            });
        Ok(Self::Loaded {
            driver_version: nvml.sys_driver_version().ok(),
            nvml_version: nvml.sys_nvml_version().ok(),
            device_count,
            devices: devices.collect(),
        })
    }
}

fn describe(device: &nvml_wrapper::Device<'_>) -> NvmlDevice {
    let memory = device.memory_info().ok();
    NvmlDevice {
        uuid: device.uuid().ok(),
        pci_id: device.pci_info().ok().map(|info| info.bus_id),
        name: device.name().ok(),
        serial: device.serial().ok(),
        vbios_version: device.vbios_version().ok(),
        board_part_number: device.board_part_number().ok(),
        memory_bytes: memory.as_ref().map(|memory| memory.total),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        sm_clock_mhz: device.clock_info(Clock::SM).ok(),
        sm_clock_max_mhz: device.max_clock_info(Clock::SM).ok(),
        memory_clock_mhz: device.clock_info(Clock::Memory).ok(),
        power_mw: device.power_usage().ok(),
        power_limit_mw: device.enforced_power_limit().ok(),
        temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
        throttle_reasons: device.current_throttle_reasons().ok().map(|reasons| reasons.bits()),
        ecc: device.is_ecc_enabled().ok().map(|state| state.currently_enabled),
        mig: device.mig_mode().ok().map(|mode| mode.current != 0),
    }
}

/// Domain, bus, device and function as numbers: CUDA writes the domain with
/// four digits, NVML with eight.
pub(super) fn normal_pci_id(text: &str) -> Option<[u32; 4]> {
    let (place, function) = text.rsplit_once('.')?;
    let mut parts = place.split(':').map(|part| u32::from_str_radix(part, 16));
    let numbers = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
    let function = u32::from_str_radix(function, 16).ok()?;
    parts.next().is_none().then_some([numbers[0], numbers[1], numbers[2], function])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_ids_compare_whichever_way_they_are_written() {
        // CUDA writes 0000:19:00.0, NVML 00000000:19:00.0; case differs too.
        assert_eq!(normal_pci_id("0000:1A:00.0"), normal_pci_id("00000000:1a:00.0"));
        assert_ne!(normal_pci_id("0000:19:00.0"), normal_pci_id("0001:19:00.0"));
        for broken in ["", "0000:19:00", "19:00.0", "0000:19:00.0.1", "0:0:0:0.0", "x:19:00.0"] {
            assert_eq!(normal_pci_id(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_machine_without_nvml_says_why() {
        if let (NvmlView::Unavailable { reason }, ()) = NvmlView::read(|| ()) {
            assert!(reason.contains("libnvidia-ml"), "{reason}");
        }
    }
}
