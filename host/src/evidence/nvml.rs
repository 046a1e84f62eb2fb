//! The management library's view: NVML, loaded at run time if it is there.
//!
//! ```text
//! device   what it says about one device       links   what it says about how they are joined
//! ```
//!
//! Guarantees: a call that fails costs one fact, and its reason is kept; lists
//! are bounded, whatever a library claims.
//! Deliberately lacks: belief. Any library can call itself NVML.

mod device;
mod links;

use super::kernel::DEVICES_MAX;
use crate::executor::gpu::telemetry::{Sentinel, reason_of};
use crate::protocol::evidence::machine::{NvmlSource, NvmlView};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

/// Asks NVML for everything, then calls `meanwhile` with the library still
/// mapped.
pub(super) fn view<T>(meanwhile: impl FnOnce() -> T) -> (NvmlView, T) {
    match Nvml::init() {
        Ok(nvml) => {
            let view = of(&nvml).unwrap_or_else(|error| failed(&error));
            (view, meanwhile())
        }
        Err(error) => (failed(&error), meanwhile()),
    }
}

fn failed(error: &NvmlError) -> NvmlView {
    NvmlView::Unavailable { reason: reason_of(error) }
}

fn of(nvml: &Nvml) -> Result<NvmlView, NvmlError> {
    let device_count =
        nvml.device_count()?.known().ok_or(NvmlError::UnexpectedVariant(u32::MAX))?;
    // A library that lies may claim four billion.
    let count = device_count.min(DEVICES_MAX as u32);
    // One that is listed but not accessible is counted, and why is all that is known.
    let handles: Vec<_> = (0..count).map(|index| nvml.device_by_index(index)).collect();
    let described = |handle: &Result<_, NvmlError>| match handle {
        Ok(device) => device::describe(device),
        Err(error) => device::inaccessible(reason_of(error)),
    };
    let devices = handles.iter().map(described).collect();
    let handles: Vec<_> = handles.into_iter().map(Result::ok).collect();
    Ok(NvmlView::Loaded(NvmlSource {
        driver_version: nvml.sys_driver_version().ok(),
        nvml_version: nvml.sys_nvml_version().ok(),
        device_count,
        devices,
        topology: links::topology(nvml, &handles),
    }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::evidence::machine::normal_pci_id;

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
        if let (NvmlView::Unavailable { reason }, ()) = view(|| ()) {
            assert!(!reason.is_empty());
        }
    }
}
