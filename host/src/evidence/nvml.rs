//! The management library's view: NVML, loaded at run time where it is there.
//!
//! ```text
//! device   what it says of one device       links   what it says of how they are joined
//! ```
//!
//! Guarantees: a call that fails costs one fact, and its reason is kept; lists
//! are bounded, whatever a library claims.
//! Deliberately lacks: belief. Any library can call itself NVML.

mod device;
mod links;

pub use device::{Computing, MigInstance, NvmlDevice};
pub use links::{Ancestor, NvLink};

use super::kernel::DEVICES_MAX;
use crate::executor::gpu::telemetry::{Sentinel, reason_of};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use serde::Serialize;

/// What NVML says of the machine, or why it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum NvmlView {
    /// The library answers.
    Loaded {
        /// Version of the kernel driver, such as "580.82.07".
        #[serde(skip_serializing_if = "Option::is_none")]
        driver_version: Option<String>,
        /// Version of the library.
        #[serde(skip_serializing_if = "Option::is_none")]
        nvml_version: Option<String>,
        /// How many devices it claims.
        device_count: u32,
        /// The first 256 of them, in its own order.
        devices: Vec<NvmlDevice>,
        /// What pairs of the first 16 have in common.
        topology: Vec<Ancestor>,
    },
    /// It could not be loaded or initialised.
    Unavailable {
        /// Its words.
        reason: String,
    },
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
        Self::Unavailable { reason: reason_of(error) }
    }

    fn of(nvml: &Nvml) -> Result<Self, NvmlError> {
        let device_count =
            nvml.device_count()?.known().ok_or(NvmlError::UnexpectedVariant(u32::MAX))?;
        // A library that lies may claim four billion.
        let count = device_count.min(DEVICES_MAX as u32);
        // One that is listed but not accessible is counted, and why is all that is known.
        let handles: Vec<_> = (0..count).map(|index| nvml.device_by_index(index)).collect();
        let described = |handle: &Result<_, NvmlError>| match handle {
            Ok(device) => NvmlDevice::of(device),
            Err(error) => NvmlDevice::inaccessible(reason_of(error)),
        };
        let devices = handles.iter().map(described).collect();
        let handles: Vec<_> = handles.into_iter().map(Result::ok).collect();
        Ok(Self::Loaded {
            driver_version: nvml.sys_driver_version().ok(),
            nvml_version: nvml.sys_nvml_version().ok(),
            device_count,
            devices,
            topology: links::topology(nvml, &handles),
        })
    }
}

/// Which devices NVML lists, and no more of them than it takes to name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum NvmlListing {
    /// There is no such library, or no driver behind it.
    #[default]
    Absent,
    /// It is there and fails: there may be devices.
    Failed(String),
    /// It answers.
    Devices {
        /// How many it lists.
        count: u32,
        /// The first 256 of them.
        devices: Vec<NvmlListed>,
    },
}

/// A device that NVML lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NvmlListed {
    /// Where it is, what it is called; or why that is not known.
    pub label: String,
    /// "domain:bus:device.function".
    pub pci_id: Option<String>,
    /// Whether it is in MIG mode.
    pub mig: bool,
}

/// Asks NVML which devices it lists.
pub(super) fn listing() -> NvmlListing {
    let listed = || -> Result<NvmlListing, NvmlError> {
        let nvml = Nvml::init()?;
        let count = nvml.device_count()?.known().ok_or(NvmlError::UnexpectedVariant(u32::MAX))?;
        let listed = |index| NvmlListed::of(index, nvml.device_by_index(index));
        let devices = (0..count.min(DEVICES_MAX as u32)).map(listed).collect();
        Ok(NvmlListing::Devices { count, devices })
    };
    listed().unwrap_or_else(|error| match error {
        NvmlError::LibloadingError(_) | NvmlError::DriverNotLoaded | NvmlError::LibraryNotFound => {
            NvmlListing::Absent
        }
        error => NvmlListing::Failed(reason_of(&error)),
    })
}

impl NvmlListed {
    fn of(index: u32, device: Result<nvml_wrapper::Device<'_>, NvmlError>) -> Self {
        let known = device.and_then(|device| {
            let pci_id = device.pci_info()?.bus_id;
            let name = device.name().unwrap_or_else(|error| reason_of(&error));
            let mig = device.mig_mode().is_ok_and(|mode| mode.current != 0);
            Ok(Self { label: format!("{pci_id} ({name})"), pci_id: Some(pci_id), mig })
        });
        known.unwrap_or_else(|error| Self {
            label: format!("NVML's device {index} ({})", reason_of(&error)),
            pci_id: None,
            mig: false,
        })
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
            assert!(!reason.is_empty());
        }
    }
}
