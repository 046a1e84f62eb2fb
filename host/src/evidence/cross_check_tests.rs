//! Every kind of finding, and silence if all is well.

use super::*;
use crate::evidence::examples::{absent, cuda, device, managed, nvml};
use crate::evidence::inventory::Sources;
use crate::protocol::digest::Uuid;
use crate::protocol::evidence::document::LaneDetails;
use crate::protocol::evidence::machine::{
    Computing, CudaSource, KernelSource, MappedLibrary, MigEntry, NotDescribed, NvmlSource,
    PciSource,
};

/// Two devices of which every source says the same.
struct Machine {
    cuda: Vec<DeviceEntry>,
    nvml: Vec<NvmlDevice>,
    kernel: Vec<KernelDevice>,
    pci: Vec<PciDevice>,
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
        let on_bus = |device: &DeviceEntry| PciDevice {
            pci_id: device.pci_id.clone(),
            device_id: "233510de".to_owned(),
            subsystem_id: Some("18be10de".to_owned()),
            ..PciDevice::default()
        };
        let library = |name: &str| MappedLibrary {
            path: format!("/usr/lib/x86_64-linux-gnu/{name}.580.82.07"),
            file: FileState::Present,
            sha256: None,
        };
        Self {
            nvml: devices.iter().map(managed).collect(),
            kernel: devices.iter().map(kernel).collect(),
            pci: devices.iter().map(on_bus).collect(),
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
        let kernel = KernelView::Loaded(KernelSource { version, devices: self.kernel.clone() });
        let pci = PciView::Loaded(PciSource { devices: self.pci.clone() });
        let (cuda, nvml) = (cuda(self.cuda.clone()), nvml(self.nvml.clone()));
        let process = self.process.clone();
        Sources::of(cuda, nvml, kernel, pci, process).compared(&[], "").findings
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
    let of = |cuda| {
        let (nvml, kernel) = (no_nvml.clone(), no_kernel.clone());
        Inventory { cuda, nvml, kernel, process: plain.clone(), ..absent() }
    };
    assert_eq!(findings(&of(devices)), []);
    assert_eq!(findings(&of(no_gpu())), []);
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
    let eight: Vec<_> = (1..=8).map(|index| managed(&device(index))).collect();
    for (view, expected) in [
        (no_gpu(), "NVML lists 8 devices, the CUDA driver 0"),
        (cuda(vec![device(1)]), "NVML lists 8 devices, the CUDA driver 1"),
    ] {
        let found = findings(&Inventory { cuda: view, nvml: nvml(eight.clone()), ..absent() });
        assert_eq!(found, [Finding::new(Code::DeviceCount, expected)]);
    }
    // The same device eight times, to a machine whose kernel has one.
    let same = codes(|machine| machine.nvml = vec![machine.nvml[0].clone(); 8]);
    assert_eq!(same.iter().filter(|&&code| code == Code::DeviceListedTwice).count(), 7);
    assert!(same.contains(&Code::DeviceCount));
    // Claimed, but never described: the count speaks for itself.
    let claimed = NvmlView::Loaded(NvmlSource {
        driver_version: None,
        nvml_version: None,
        device_count: u32::MAX,
        devices: vec![NvmlDevice::default(); 256],
        topology: Vec::new(),
    });
    let found = findings(&Inventory { nvml: claimed, ..absent() });
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
    let visible = |count: usize, value: &str| {
        codes(|machine| {
            machine.cuda.truncate(count);
            machine.process.cuda_visible_devices = Some(value.to_owned());
        })
    };
    for (count, value) in [(0, ""), (0, "-1"), (1, "1,-1,0"), (1, "GPU-02"), (1, "1,2")] {
        assert_eq!(visible(count, value), [Code::DevicesHidden], "{value:?}");
    }
    // A value that names more or fewer than CUDA lists explains nothing.
    for (count, value) in [(1, "0,1"), (0, "0"), (1, ""), (1, "-1"), (1, "0,GPU-02")] {
        assert_eq!(visible(count, value), [Code::DeviceCount], "{value:?}");
    }
    // One that the driver cannot describe is listed all the same.
    let machine = Machine::honest();
    let mut described = cuda(machine.cuda[..1].to_vec());
    if let CudaView::Loaded(CudaSource { not_described, .. }) = &mut described {
        not_described.push(NotDescribed { index: 1, reason: "ECC".to_owned() });
    }
    let found = Inventory { cuda: described, nvml: nvml(machine.nvml), ..absent() };
    assert_eq!(findings(&found), []);
    // A variable hides devices. It makes none.
    let more = codes(|machine| {
        machine.nvml.truncate(1);
        machine.process.cuda_visible_devices = Some("0".to_owned());
    });
    assert_eq!(more, [Code::DeviceCount, Code::DeviceUnlisted]);
    let mig = codes(|machine| {
        machine.cuda.truncate(1);
        machine.cuda[0].uuid = "MIG-0".to_owned();
        machine.cuda[0].mig = Some(MigEntry { parent_uuid: None });
        machine.cuda[0].name = "NVIDIA H200 MIG 1g.18gb".to_owned();
        machine.cuda[0].memory_bytes /= 8;
        machine.nvml.iter_mut().for_each(|device| device.mig = Some(true));
    });
    assert_eq!(mig, [Code::DevicesHidden], "an instance differs from its device");
    let several = codes(|machine| {
        machine.cuda.truncate(1);
        machine.nvml.iter_mut().for_each(|device| device.mig = Some(true));
        machine.process.cuda_visible_devices = Some("MIG-a,MIG-b".to_owned());
        machine.cuda[0].mig = Some(MigEntry { parent_uuid: None });
    });
    assert_eq!(several, [Code::DevicesHidden], "older drivers take the first instance only");
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
    let mut unknown = Machine::honest();
    unknown.cuda[0].memory_bytes = 0;
    let text = unknown.findings()[0].text.clone();
    assert!(text.contains("the memory is not known to the CUDA driver and 1"), "{text}");
    let mut machine = Machine::honest();
    machine.nvml[0].pci_id = Some("00000000:77:00.0".to_owned());
    let found = machine.findings();
    let codes: Vec<_> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::DeviceUnlisted; 3]);
    assert_eq!(found[0].text, "the CUDA driver lists a device at 0000:01:00.0, NVML none");
    assert!(found[1].text.ends_with("the kernel driver none"), "{}", found[1]);
    assert!(found[2].text.ends_with("the PCI bus none"), "{}", found[2]);
}

#[test]
fn devices_without_a_pci_id_explain_as_many_that_are_not_found_and_no_more() {
    let unlisted = |change: &dyn Fn(&mut Machine)| {
        let found = codes(change);
        found.into_iter().filter(|&code| code == Code::DeviceUnlisted).count()
    };
    let elsewhere = |device: &mut DeviceEntry, place: u32| {
        device.pci_id = format!("0000:{place:02x}:00.0");
    };
    // NVML lost the one that CUDA still lists.
    assert_eq!(unlisted(&|machine| machine.nvml[0].pci_id = None), 0);
    // Neither the kernel's files nor the bus lack an id: both say that it is not there.
    let one = |machine: &mut Machine| {
        machine.nvml[0].pci_id = None;
        elsewhere(&mut machine.cuda[0], 0x77);
    };
    assert_eq!(unlisted(&one), 2);
    let both = |machine: &mut Machine| {
        one(machine);
        elsewhere(&mut machine.cuda[1], 0x78);
    };
    // Two by the kernel, two by the bus, and the one for which NVML has no excuse.
    assert_eq!(unlisted(&both), 5);
    // A malformed id is not a missing one.
    assert_eq!(unlisted(&|machine| machine.nvml[0].pci_id = Some("?".to_owned())), 1);
    // Instances of one device are at one place.
    let instances = |machine: &mut Machine| {
        machine.nvml[0].pci_id = None;
        machine.cuda[1].pci_id = machine.cuda[0].pci_id.clone();
    };
    assert_eq!(unlisted(&instances), 0);
}

#[test]
fn a_place_that_the_bus_lacks_is_found_and_a_bus_without_gpus_is_not() {
    let moved = |machine: &mut Machine| machine.pci[0].pci_id = "0000:77:00.0".to_owned();
    assert_eq!(codes(moved), [Code::DeviceUnlisted; 2], "CUDA and NVML list it");
    // A container shows the whole host's bus.
    let more = |machine: &mut Machine| {
        let other = PciDevice { pci_id: "0000:78:00.0".to_owned(), ..machine.pci[0].clone() };
        machine.pci.push(other);
    };
    assert_eq!(codes(more), []);
    // WSL and some sandboxes: GPUs are not on the bus at all.
    let pci = PciView::Unavailable { reason: "no display device".to_owned() };
    assert_eq!(findings(&Inventory { cuda: cuda(vec![device(1)]), pci, ..absent() }), []);
}

#[test]
fn what_two_sources_say_of_a_card_is_compared() {
    let ids = codes(|m| m.nvml[0].pci_device_id = Some("20b010de".to_owned()));
    assert_eq!(ids, [Code::PciIdsDiffer]);
    let ids = codes(|m| m.nvml[1].pci_subsystem_id = Some("00000000".to_owned()));
    assert_eq!(ids, [Code::PciIdsDiffer]);
    let firmware = |ours: &str, theirs: &str| {
        codes(|m| {
            m.nvml[0].vbios_version = Some(ours.to_owned());
            m.kernel[0].vbios_version = Some(theirs.to_owned());
        })
    };
    assert_eq!(firmware("96.00.5E.00.01", "96.00.5e.00.01"), []);
    assert_eq!(firmware("96.00.5E.00.01", "90.00.5e.00.01"), [Code::VbiosDiffers]);
    assert_eq!(codes(|m| m.nvml[0].ecc = Some(false)), [Code::EccDiffers]);
    assert_eq!(codes(|m| m.nvml[0].ecc = Some(true)), []);
}

#[test]
fn mig_is_one_thing_to_cuda_and_nvml() {
    let cut = codes(|m| m.nvml[0].mig = Some(true));
    assert_eq!(cut, [Code::MigModeDiffers], "CUDA has the whole device");
    let part = codes(|m| {
        m.cuda[0].mig = Some(MigEntry { parent_uuid: None });
        m.cuda[0].name = "NVIDIA H200 MIG 1g.18gb".to_owned();
        m.nvml[0].mig = Some(false);
    });
    assert_eq!(part, [Code::MigModeDiffers]);
    assert_eq!(codes(|m| m.nvml[0].mig = Some(false)), []);
}

#[test]
fn a_board_has_one_number() {
    let serials = |first: &str, second: &str| {
        let (first, second) = (first.to_owned(), second.to_owned());
        move |m: &mut Machine| {
            m.nvml[0].serial = Some(first);
            m.nvml[1].serial = Some(second);
        }
    };
    assert_eq!(codes(serials("1650123", "1650124")), []);
    assert_eq!(codes(serials("1650123", "1650123")), [Code::SerialListedTwice]);
    for none in ["", "0", "N/A"] {
        assert_eq!(codes(serials(none, none)), [], "{none:?} is no number");
    }
    let one_board = codes(|m| {
        serials("1650123", "1650123")(m);
        m.nvml[1].multi_gpu_board = Some(true);
    });
    assert_eq!(one_board, []);
}

#[test]
fn other_processes_are_told_from_this_one() {
    let tenants = |others, self_listed, lanes: &[LaneFacts]| {
        let mut machine = Machine::honest();
        let computing = Computing { others, memory_used_bytes: 1 << 30, self_listed };
        machine.nvml[0].computing = Some(computing);
        let inventory = Inventory {
            cuda: cuda(machine.cuda.clone()),
            nvml: nvml(machine.nvml.clone()),
            ..absent()
        };
        of_lanes(&inventory, lanes).iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    let shared = [Code::DeviceShared];
    let lane = [lane(Kind::Gpu, 1)];
    assert_eq!(tenants(0, false, &[]), []);
    assert_eq!(tenants(1, false, &[]), shared, "this process computes nothing");
    assert_eq!(tenants(1, true, &lane), shared);
    assert_eq!(tenants(1, false, &lane), [], "a container's own process has another number");
    assert_eq!(tenants(2, false, &lane), shared);
}

fn lane(kind: Kind, byte: u8) -> LaneFacts {
    LaneFacts {
        kind,
        uuid: Uuid([byte; 16]),
        model: String::new(),
        memory_bytes: 0,
        sm_count: 0,
        details: LaneDetails::default(),
    }
}

#[test]
fn nvml_and_the_kernel_driver_are_of_one_version() {
    let kernel = |version: &str| {
        KernelView::Loaded(KernelSource { version: Some(version.to_owned()), devices: Vec::new() })
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
    let inventory = Inventory { cuda: cuda(vec![device(1)]), ..absent() };
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
