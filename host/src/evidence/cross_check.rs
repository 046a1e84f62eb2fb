//! Comparing what the CUDA driver, NVML, the kernel driver's files, the PCI bus
//! and this process say.
//!
//! Guarantees: plain data in, findings out; at most [`FINDINGS_MAX`].
//! Deliberately lacks: findings from what is absent. A sandbox may hide NVML or
//! /proc/driver/nvidia, and the CUDA driver may see fewer of the kernel's devices.

use super::finding::{Code, Finding};
use super::inventory::{Inventory, uuid_text};
use super::kernel::FOLDER;
use super::mounts;
use super::process::{CUDA_LIBRARY, NVML_LIBRARY, lacks};
use crate::executor::gpu::names_mig_instance;
use crate::executor::{Kind, LaneFacts};
use crate::protocol::evidence::machine::{
    CudaView, DeviceEntry, FileState, KernelDevice, KernelSource, KernelView, NvmlDevice,
    NvmlSource, NvmlView, PciDevice, PciView, ProcessView, normal_pci_id,
};

/// Most findings of one machine.
pub(super) const FINDINGS_MAX: usize = 64;

/// One device by one source.
struct Seen<'a> {
    source: &'static str,
    pci_id: Option<&'a str>,
    uuid: Option<&'a str>,
    name: Option<&'a str>,
    memory_bytes: Option<u64>,
}

/// Everything that does not fit together.
pub(super) fn findings(found: &Inventory) -> Vec<Finding> {
    let Inventory { cuda, nvml, kernel, pci, process, .. } = found;
    let cuda_seen: Vec<_> = cuda.devices().iter().map(Seen::by_cuda).collect();
    let nvml_seen: Vec<_> = nvml.devices().iter().map(Seen::by_nvml).collect();
    let kernel_seen: Vec<_> = kernel.devices().iter().map(Seen::by_kernel).collect();
    let pci_seen: Vec<_> = pci.devices().iter().map(Seen::by_pci).collect();
    let mut findings = Vec::new();
    findings.extend(device_count(cuda, nvml, process));
    for seen in [&cuda_seen, &nvml_seen, &kernel_seen] {
        listed_twice(seen, &mut findings);
    }
    // A MIG instance differs from the whole device that the others describe.
    let is_whole = |seen: &&Seen<'_>| {
        let mig = seen.pci_id.and_then(|pci_id| nvml.device_at(pci_id)).and_then(|d| d.mig);
        mig != Some(true) && !seen.name.is_some_and(names_mig_instance)
    };
    if matches!(nvml, NvmlView::Loaded(_)) {
        compare(&cuda_seen, &nvml_seen, "NVML", is_whole, &mut findings);
    }
    if matches!(kernel, KernelView::Loaded(_)) {
        compare(&cuda_seen, &kernel_seen, "the kernel driver", is_whole, &mut findings);
        compare(&nvml_seen, &kernel_seen, "the kernel driver", |_| true, &mut findings);
    }
    if matches!(pci, PciView::Loaded(_)) {
        // A device can only be at a place that the bus has; the bus may have more.
        compare(&cuda_seen, &pci_seen, BUS, is_whole, &mut findings);
        compare(&nvml_seen, &pci_seen, BUS, |_| true, &mut findings);
    }
    findings.extend(driver_version(nvml, kernel));
    of_devices::findings(found, &mut findings);
    of_process(cuda, nvml, process, &mut findings);
    for device in kernel.devices() {
        let path = format!("{FOLDER}/gpus/{}/information", device.pci_id);
        findings.extend(mounts::proc_file(&process.all_mounts, &path));
    }
    findings.truncate(FINDINGS_MAX);
    findings
}

/// GPU lanes of a run whose device the CUDA driver does not list, and devices
/// that other processes use; without lanes this process uses none.
pub(super) fn of_lanes(inventory: &Inventory, lanes: &[LaneFacts]) -> Vec<Finding> {
    let is = |lane: &LaneFacts, uuid: &str| {
        lane.kind == Kind::Gpu
            && ["GPU", "MIG"].iter().any(|kind| uuid_text(kind, &lane.uuid) == uuid)
    };
    let listed = |lane| inventory.devices().iter().any(|device| is(lane, &device.uuid));
    let gpus = lanes.iter().enumerate().filter(|(_, lane)| lane.kind == Kind::Gpu);
    let unlisted = gpus.filter(|(_, lane)| !listed(lane)).map(|(g, lane)| {
        let text = format!("lane {g} ran on {}, which the CUDA driver does not list", lane.uuid);
        Finding::new(Code::LaneUnlisted, text)
    });
    let shared = of_devices::shared(inventory, |uuid| lanes.iter().any(|lane| is(lane, uuid)));
    unlisted.chain(shared).take(FINDINGS_MAX).collect()
}

fn device_count(cuda: &CudaView, nvml: &NvmlView, process: &ProcessView) -> Option<Finding> {
    let NvmlView::Loaded(NvmlSource { device_count: managed, devices, .. }) = nvml else {
        return None;
    };
    let (managed, count) = (u64::from(*managed), cuda.count() as u64);
    if managed == count {
        return None;
    }
    let mut text = format!("NVML lists {managed} devices, the CUDA driver {count}");
    let mut explained = false;
    if count < managed {
        // Without the variable CUDA would list all.
        let visible = process.cuda_visible_devices.as_deref();
        let named = visible.map_or(managed, |visible| visible::named(visible, managed));
        let mig = devices.iter().any(|device| device.mig == Some(true));
        explained = visible::explained(visible, managed, count, mig) == visible::Explained::Yes;
        if let Some(visible) = visible {
            text += &format!("; CUDA_VISIBLE_DEVICES is {visible:?}, which names {named}");
        }
        if explained && named != count {
            text += "; CUDA uses one instance of devices in MIG mode";
        }
    }
    let code = if explained { Code::DevicesHidden } else { Code::DeviceCount };
    Some(Finding::new(code, text))
}

fn listed_twice(seen: &[Seen<'_>], findings: &mut Vec<Finding>) {
    for (at, device) in seen.iter().enumerate() {
        let source = device.source;
        if let Some(uuid) = device.uuid
            && seen[..at].iter().any(|other| other.uuid == Some(uuid))
        {
            let text = format!("{source} lists the UUID {uuid} twice");
            findings.push(Finding::new(Code::DeviceListedTwice, text));
        } else if let Some(place) = device.place()
            && source != CUDA
            && seen[..at].iter().any(|other| other.place() == Some(place))
        {
            // To CUDA, MIG instances of one device share its place.
            let text = format!("{source} lists two devices at {}", device.pci_id.unwrap_or("?"));
            findings.push(Finding::new(Code::DeviceListedTwice, text));
        }
    }
}

/// Every device of `ours` against the one at the same place of `theirs`. One that is at no
/// place of theirs may be one whose PCI id they lack: lost, and a finding as such. That
/// explains as many places as there are such devices, and no more.
fn compare<'a>(
    ours: &[Seen<'a>],
    theirs: &[Seen<'a>],
    their_source: &str,
    is_whole: impl Fn(&&Seen<'a>) -> bool,
    findings: &mut Vec<Finding>,
) {
    let without_id = theirs.iter().filter(|other| other.pci_id.is_none()).count();
    let mut explained = Vec::new();
    for device in ours {
        let (Some(place), Some(pci_id)) = (device.place(), device.pci_id) else { continue };
        let Some(other) = theirs.iter().find(|other| other.place() == Some(place)) else {
            // MIG instances of one device share its place.
            if !explained.contains(&place) && explained.len() < without_id {
                explained.push(place);
            }
            if explained.contains(&place) {
                continue;
            }
            let text = format!("{} lists a device at {pci_id}, {their_source} none", device.source);
            findings.push(Finding::new(Code::DeviceUnlisted, text));
            continue;
        };
        if !is_whole(&device) {
            continue;
        }
        let mut differ = |code, what: &str, ours: String, theirs: String| {
            let text = format!(
                "device at {pci_id}: {what} is {ours} to {} and {theirs} to {their_source}",
                device.source
            );
            findings.push(Finding::new(code, text));
        };
        if let (Some(ours), Some(theirs)) = (device.uuid, other.uuid)
            && ours != theirs
        {
            differ(Code::UuidDiffers, "the UUID", ours.to_owned(), theirs.to_owned());
        }
        if let (Some(ours), Some(theirs)) = (device.name, other.name)
            && ours != theirs
        {
            differ(Code::NameDiffers, "the name", format!("{ours:?}"), format!("{theirs:?}"));
        }
        if let (Some(ours), Some(theirs)) = (device.memory_bytes, other.memory_bytes)
            && ours.abs_diff(theirs) > ours.max(theirs) / 10
        {
            // CUDA leaves out what the driver keeps: about 1 %.
            let bytes = |n: u64| if n == 0 { "not known".to_owned() } else { format!("{n} bytes") };
            differ(Code::MemoryDiffers, "the memory", bytes(ours), bytes(theirs));
        }
    }
}

fn driver_version(nvml: &NvmlView, kernel: &KernelView) -> Option<Finding> {
    let NvmlView::Loaded(NvmlSource { driver_version: Some(ours), .. }) = nvml else { return None };
    let KernelView::Loaded(KernelSource { version: Some(theirs), .. }) = kernel else {
        return None;
    };
    let text = format!("the driver's version is {ours} to NVML and {theirs} to the kernel driver");
    (ours != theirs).then(|| Finding::new(Code::DriverVersionDiffers, text))
}

fn of_process(
    cuda: &CudaView,
    nvml: &NvmlView,
    process: &ProcessView,
    findings: &mut Vec<Finding>,
) {
    for (name, value) in [("LD_PRELOAD", &process.ld_preload), ("LD_AUDIT", &process.ld_audit)] {
        if let Some(value) = value {
            let text = format!("{name} is {value:?}");
            findings.push(Finding::new(Code::PreloadVariable, text));
        }
    }
    if !process.preload_file.is_empty() {
        let text = format!("/etc/ld.so.preload names {}", process.preload_file.join(", "));
        findings.push(Finding::new(Code::PreloadFile, text));
    }
    let answers = [
        (matches!(cuda, CudaView::Loaded(_)), CUDA_LIBRARY, "the CUDA driver"),
        (matches!(nvml, NvmlView::Loaded(_)), NVML_LIBRARY, "NVML"),
    ];
    for (_, library, source) in
        answers.iter().filter(|(answers, library, _)| *answers && lacks(process, library))
    {
        let text = format!("{source} answers, and no file named {library} is mapped");
        findings.push(Finding::new(Code::LibraryNotMapped, text));
    }
    for library in &process.libraries {
        if library.file == FileState::Deleted {
            let text = format!("{} is mapped, and its file is gone or replaced", library.path);
            findings.push(Finding::new(Code::LibraryDeleted, text));
        }
        findings.extend(mounts::library_file(&process.all_mounts, &library.path));
    }
}

/// The CUDA driver, as a source.
const CUDA: &str = "the CUDA driver";
/// The PCI bus, as a source.
const BUS: &str = "the PCI bus";

impl<'a> Seen<'a> {
    fn by_cuda(device: &'a DeviceEntry) -> Self {
        Self {
            source: CUDA,
            pci_id: Some(&device.pci_id),
            uuid: Some(&device.uuid),
            name: Some(&device.name),
            memory_bytes: Some(device.memory_bytes),
        }
    }

    fn by_nvml(device: &'a NvmlDevice) -> Self {
        Self {
            source: "NVML",
            pci_id: device.pci_id.as_deref(),
            uuid: device.uuid.as_deref(),
            name: device.name.as_deref(),
            memory_bytes: device.memory_bytes,
        }
    }

    fn by_kernel(device: &'a KernelDevice) -> Self {
        Self {
            source: "the kernel driver",
            pci_id: Some(&device.pci_id),
            uuid: device.uuid.as_deref(),
            name: device.name.as_deref(),
            memory_bytes: None,
        }
    }

    fn by_pci(device: &'a PciDevice) -> Self {
        let pci_id = Some(&*device.pci_id);
        Self { source: BUS, pci_id, uuid: None, name: None, memory_bytes: None }
    }

    fn place(&self) -> Option<[u32; 4]> {
        self.pci_id.and_then(normal_pci_id)
    }
}

mod of_devices;
pub(super) mod visible;

#[cfg(test)]
#[path = "cross_check_tests.rs"]
mod tests;
