//! Every kind of finding, and silence where all is well.

use super::*;
use crate::evidence::examples::{cuda, device, managed, nvml};
use crate::evidence::process::MappedLibrary;
use crate::protocol::digest::Uuid;
use serde_json::Map;

/// Two devices of which every source says the same.
struct Machine {
    cuda: Vec<DeviceEntry>,
    nvml: Vec<NvmlDevice>,
    kernel: Vec<KernelDevice>,
    process: ProcessView,
}

impl Machine {
    fn honest() -> Self {
        let devices = [device(1), device(2)];
        let kernel = |device: &DeviceEntry| KernelDevice {
            pci_id: device.pci_id.clone(),
            name: Some(device.name.clone()),
            uuid: Some(device.uuid.clone()),
            vbios_version: None,
        };
        let library = |name: &str| MappedLibrary {
            path: format!("/usr/lib/x86_64-linux-gnu/{name}.580.82.07"),
            file: FileState::Present,
            sha256: None,
        };
        Self {
            nvml: devices.iter().map(managed).collect(),
            kernel: devices.iter().map(kernel).collect(),
            cuda: devices.to_vec(),
            process: ProcessView {
                libraries: vec![library("libcuda.so"), library("libnvidia-ml.so")],
                maps_read: true,
                all_mounts: mounts::parse("2 1 0:5 / /proc rw - proc proc rw"),
                ..ProcessView::default()
            },
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let version = Some("580.82.07".to_owned());
        let kernel = KernelView::Loaded { version, devices: self.kernel.clone() };
        findings(&cuda(self.cuda.clone()), &nvml(self.nvml.clone()), &kernel, &self.process)
    }

    fn codes(&self) -> Vec<Code> {
        self.findings().iter().map(|finding| finding.code).collect()
    }
}

/// The codes that a change of the honest machine brings.
fn codes(change: impl FnOnce(&mut Machine)) -> Vec<Code> {
    let mut machine = Machine::honest();
    change(&mut machine);
    machine.codes()
}

fn no_gpu() -> CudaView {
    CudaView::NoGpu { reason: "no driver".to_owned() }
}

#[test]
fn agreement_and_absence_are_silent() {
    assert_eq!(Machine::honest().findings(), []);
    let no_nvml = NvmlView::Unavailable { reason: String::new() };
    let no_kernel = KernelView::Unavailable { reason: String::new() };
    let plain = ProcessView::default();
    let devices = cuda(vec![device(1)]);
    assert_eq!(findings(&devices, &no_nvml, &no_kernel, &plain), []);
    assert_eq!(findings(&no_gpu(), &no_nvml, &no_kernel, &plain), []);
    // A container may see fewer devices than the host's kernel has.
    let fewer = codes(|machine| {
        machine.cuda.truncate(1);
        machine.nvml.truncate(1);
    });
    assert_eq!(fewer, []);
    // A device that was never used has no UUID yet.
    assert_eq!(codes(|machine| machine.kernel[0].uuid = None), []);
}

#[test]
fn multiplied_devices_are_counted() {
    let no_kernel = KernelView::Unavailable { reason: String::new() };
    let eight: Vec<_> = (1..=8).map(|index| managed(&device(index))).collect();
    let plain = ProcessView::default();
    for (view, expected) in [
        (no_gpu(), "NVML lists 8 devices, the CUDA driver 0"),
        (cuda(vec![device(1)]), "NVML lists 8 devices, the CUDA driver 1"),
    ] {
        let found = findings(&view, &nvml(eight.clone()), &no_kernel, &plain);
        assert_eq!(found, [Finding::new(Code::DeviceCount, expected)]);
    }
    // The same device eight times, to a machine whose kernel has one.
    let same = codes(|machine| machine.nvml = vec![machine.nvml[0].clone(); 8]);
    assert_eq!(same.iter().filter(|&&code| code == Code::DeviceListedTwice).count(), 7);
    assert!(same.contains(&Code::DeviceCount));
    // Claimed, but never described: the count speaks for itself.
    let claimed = NvmlView::Loaded {
        driver_version: None,
        nvml_version: None,
        device_count: u32::MAX,
        devices: vec![NvmlDevice::default(); 256],
    };
    let found = findings(&no_gpu(), &claimed, &no_kernel, &plain);
    assert_eq!(found.len(), 1);
    assert!(found[0].text.contains("4294967295"), "{}", found[0]);
}

#[test]
fn devices_hidden_from_cuda_have_a_code_of_their_own() {
    let hidden = |machine: &mut Machine| {
        machine.cuda.truncate(1);
        machine.process.cuda_visible_devices = Some("0".to_owned());
    };
    assert_eq!(codes(hidden), [Code::DevicesHidden]);
    // A variable hides devices. It makes none.
    let more = codes(|machine| {
        machine.nvml.truncate(1);
        machine.process.cuda_visible_devices = Some("0".to_owned());
    });
    assert_eq!(more, [Code::DeviceCount, Code::DeviceUnlisted]);
    let mig = codes(|machine| {
        machine.cuda.truncate(1);
        machine.cuda[0].uuid = "GPU-0".to_owned();
        machine.cuda[0].name = "NVIDIA H200 MIG 1g.18gb".to_owned();
        machine.cuda[0].memory_bytes /= 8;
        machine.nvml.iter_mut().for_each(|device| device.mig = Some(true));
    });
    assert_eq!(mig, [Code::DevicesHidden], "an instance differs from its device");
}

#[test]
fn what_two_sources_say_of_one_device_is_compared() {
    let other = || Some("GPU-0".to_owned());
    assert_eq!(codes(|m| m.nvml[0].uuid = other()), [Code::UuidDiffers; 2]);
    assert_eq!(codes(|m| m.kernel[1].uuid = other()), [Code::UuidDiffers; 2]);
    let name = || Some("NVIDIA H300".to_owned());
    assert_eq!(codes(|m| m.nvml[0].name = name()), [Code::NameDiffers; 2]);
    assert_eq!(codes(|m| m.kernel[0].name = name()), [Code::NameDiffers; 2]);
    assert_eq!(codes(|m| m.nvml[0].memory_bytes = Some(1 << 40)), [Code::MemoryDiffers]);
    let mut machine = Machine::honest();
    machine.nvml[0].pci_id = Some("00000000:77:00.0".to_owned());
    let found = machine.findings();
    let codes: Vec<_> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::DeviceUnlisted; 2]);
    assert_eq!(found[0].text, "the CUDA driver lists a device at 0000:01:00.0, NVML none");
    assert!(found[1].text.ends_with("the kernel driver none"), "{}", found[1]);
}

#[test]
fn nvml_and_the_kernel_driver_are_of_one_version() {
    let kernel = |version: &str| KernelView::Loaded {
        version: Some(version.to_owned()),
        devices: Vec::new(),
    };
    let said = driver_version(&nvml(Vec::new()), &kernel("470.57.02")).unwrap();
    assert_eq!(said.code, Code::DriverVersionDiffers);
    assert_eq!(driver_version(&nvml(Vec::new()), &kernel("580.82.07")), None);
}

#[test]
fn libraries_put_into_the_process_are_found() {
    let so = || Some("/tmp/fake.so".to_owned());
    assert_eq!(codes(|m| m.process.ld_preload = so()), [Code::PreloadVariable]);
    assert_eq!(codes(|m| m.process.ld_audit = so()), [Code::PreloadVariable]);
    assert_eq!(codes(|m| m.process.preload_file = vec!["/a.so".into()]), [Code::PreloadFile]);
    // NVML answers from a library that was preloaded under another name.
    assert_eq!(codes(|m| drop(m.process.libraries.pop())), [Code::LibraryNotMapped]);
    let deleted = codes(|m| m.process.libraries[0].file = FileState::Deleted);
    assert_eq!(deleted, [Code::LibraryDeleted]);
}

#[test]
fn mounts_over_files_and_libraries_are_found() {
    let mounted = |line: &str| codes(|m| m.process.all_mounts.extend(mounts::parse(line)));
    let over_proc = "3 2 0:7 / /proc/driver/nvidia rw - tmpfs tmpfs rw";
    assert_eq!(mounted(over_proc), [Code::DriverFilesMountedOver; 2]);
    let over_library =
        "3 1 8:1 /tmp/fake.so /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.82.07 rw - ext4 a rw";
    assert_eq!(mounted(over_library), [Code::LibraryMountedOver]);
}

#[test]
fn a_lane_on_a_device_that_cuda_does_not_list_is_found() {
    let inventory = Inventory {
        schema: 1,
        cuda: cuda(vec![device(1)]),
        nvml: NvmlView::Unavailable { reason: String::new() },
        kernel: KernelView::Unavailable { reason: String::new() },
        process: ProcessView::default(),
        findings: Vec::new(),
    };
    let lane = |kind, byte| LaneFacts {
        kind,
        uuid: Uuid([byte; 16]),
        model: String::new(),
        memory_bytes: 0,
        sm_count: 0,
        more: Map::new(),
    };
    let lanes = [lane(Kind::Gpu, 1), lane(Kind::Cpu, 9), lane(Kind::Gpu, 9)];
    let found = of_lanes(&inventory, &lanes);
    assert_eq!(found.len(), 1);
    assert!(found[0].text.starts_with("lane 2 ran on 0909"), "{}", found[0]);
}

#[test]
fn a_machine_where_nothing_fits_has_a_bounded_list() {
    let found = codes(|machine| {
        let of = |index: u32| NvmlDevice {
            pci_id: Some(format!("{index:08x}:77:00.0")),
            ..NvmlDevice::default()
        };
        machine.nvml = (0..256).map(of).collect();
    });
    assert_eq!(found.len(), FINDINGS_MAX);
}
