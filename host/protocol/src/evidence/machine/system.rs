//! What the kernel driver's files, the PCI bus and the process itself say.

use super::super::described::{Described, described, words};
use serde::Serialize;
use serde_json::Value;

/// What the kernel driver's files say, or why they say nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum KernelView {
    /// The files are there.
    Loaded(KernelSource),
    /// They are not, or can't be read: no driver, or a sandbox that hides them.
    Unavailable {
        /// The system's words.
        reason: String,
    },
}

described! {
    /// What the kernel driver's files say.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct KernelSource => ClaimedKernelSource {
        /// The kernel driver's version, such as "580.82.07".
        #[serde(skip_serializing_if = "Option::is_none")]
        pub version: Option<String>,
        /// Its devices, by PCI id.
        pub devices: Vec<KernelDevice>,
    }
}

impl Described for KernelView {
    type Claimed = ClaimedKernelSource;
    fn claimed(value: &Value) -> Option<ClaimedKernelSource> {
        KernelSource::claimed(value)
    }
    fn bound(&mut self, text_chars_max: usize) {
        if let Self::Loaded(source) = self {
            source.bound(text_chars_max);
        }
    }
}

impl KernelView {
    /// Its devices; none if the files are not there.
    pub fn devices(&self) -> &[KernelDevice] {
        match self {
            Self::Loaded(source) => &source.devices,
            Self::Unavailable { .. } => &[],
        }
    }
}

described! {
    /// What the kernel driver's files say about a device.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct KernelDevice => ClaimedKernelDevice {
        /// "domain:bus:device.function": the name of its folder.
        pub pci_id: String,
        /// Name.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub name: Option<String>,
        /// "GPU-xxxxxxxx-…"; absent until the device is used for the first time.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub uuid: Option<String>,
        /// Version of its firmware.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub vbios_version: Option<String>,
    }
}

/// What the PCI bus says, or why it says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum PciView {
    /// It has NVIDIA's display devices.
    Loaded(PciSource),
    /// It can't be read, or has none.
    Unavailable {
        /// Why.
        reason: String,
    },
}

described! {
    /// What the PCI bus says.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct PciSource => ClaimedPciSource {
        /// By PCI id.
        pub devices: Vec<PciDevice>,
    }
}

impl Described for PciView {
    type Claimed = ClaimedPciSource;
    fn claimed(value: &Value) -> Option<ClaimedPciSource> {
        PciSource::claimed(value)
    }
    fn bound(&mut self, text_chars_max: usize) {
        if let Self::Loaded(source) = self {
            source.bound(text_chars_max);
        }
    }
}

impl PciView {
    /// Its devices; none if it says nothing.
    pub fn devices(&self) -> &[PciDevice] {
        match self {
            Self::Loaded(source) => &source.devices,
            Self::Unavailable { .. } => &[],
        }
    }
}

described! {
    /// A device on the bus. A fact that can't be read is absent.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct PciDevice => ClaimedPciDevice {
        /// "domain:bus:device.function".
        pub pci_id: String,
        /// Device and vendor, as in 233510de.
        pub device_id: String,
        /// Subsystem device and vendor.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub subsystem_id: Option<String>,
        /// Such as "32.0 GT/s PCIe".
        #[serde(skip_serializing_if = "Option::is_none")]
        pub link_speed: Option<String>,
        /// Lanes in use.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub link_width: Option<u32>,
        /// The fastest that the device can.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub link_speed_max: Option<String>,
        /// The most lanes that the device can.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub link_width_max: Option<u32>,
        /// Its NUMA node, where it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub numa_node: Option<u32>,
    }
}

described! {
    /// Facts about this process.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct ProcessView => ClaimedProcess {
        /// LD_PRELOAD, as the process was started with it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ld_preload: Option<String>,
        /// LD_AUDIT.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ld_audit: Option<String>,
        /// LD_LIBRARY_PATH.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub ld_library_path: Option<String>,
        /// CUDA_VISIBLE_DEVICES.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cuda_visible_devices: Option<String>,
        /// What /etc/ld.so.preload names.
        pub preload_file: Vec<String>,
        /// The driver libraries that are mapped.
        pub libraries: Vec<MappedLibrary>,
        /// Mounts over the kernel driver's files or over those libraries.
        pub mounts: Vec<Mount>,
        aside "Whether /proc/self/maps could be read." maps_read: bool,
        aside "All mounts, for comparing." all_mounts: Vec<Mount>,
    }
}

described! {
    /// A driver library of this process.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct MappedLibrary => ClaimedMappedLibrary {
        /// The file that it was mapped from.
        pub path: String,
        /// Whether that file is still there.
        pub file: FileState,
        /// Digest of the file that is at this path now, where it can be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub sha256: Option<String>,
    }
}

/// Whether a mapped file is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// It is.
    Present,
    /// It was deleted or replaced since.
    Deleted,
}

described! {
    /// A mount of this process's namespace.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct Mount => ClaimedMount {
        /// Where it is mounted.
        pub at: String,
        /// What part of its file system is mounted there.
        pub root: String,
        /// Type of the file system, such as "proc".
        pub fs_type: String,
    }
}

words! { FileState }
