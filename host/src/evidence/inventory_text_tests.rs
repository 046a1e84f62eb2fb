//! Machines in words: none, one device, an HGX board, a MIG instance, WSL.

use super::*;
use crate::evidence::examples::{absent, cuda, device, managed, nvml};
use crate::evidence::finding::{Code, Finding};
use crate::protocol::evidence::machine::{
    Ancestor, Bandwidth, Computing, CudaSource, DeviceBandwidth, Figure, FileState, KernelSource,
    MigEntry, MigInstance, NvLink, NvmlSource, PciSource, PeerBandwidth, ProcessView, Rate, Way,
};
use crate::protocol::evidence::telemetry::Health;

#[test]
fn a_machine_without_a_gpu_is_one_line_and_a_value() {
    let cuda = CudaView::NoGpu { reason: "no GPU is used: because\ntry this".to_owned() };
    let found = Inventory { cuda, ..absent() };
    assert_eq!(found.to_string(), "no GPU is used: because");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["cuda"]["status"], "no-gpu");
    assert_eq!(json["cuda"]["reason"], "no GPU is used: because\ntry this");
    assert!(json.get("bandwidth").is_none(), "what was not measured is absent");
}

#[test]
fn where_cuda_fails_the_others_are_told() {
    let cuda = CudaView::NoGpu { reason: "no GPU is used: cuInit failed\ntry this".to_owned() };
    let real = device(1);
    let kernel = KernelDevice { pci_id: real.pci_id.clone(), ..KernelDevice::default() };
    let on_bus = PciDevice {
        pci_id: real.pci_id.clone(),
        device_id: "233510de".to_owned(),
        ..PciDevice::default()
    };
    let found = Inventory {
        cuda,
        nvml: nvml(vec![managed(&real)]),
        kernel: KernelView::Loaded(KernelSource {
            version: Some("580.1".to_owned()),
            devices: vec![kernel],
        }),
        pci: PciView::Loaded(PciSource { devices: vec![on_bus] }),
        ..absent()
    };
    let text = found.to_string();
    for part in [
        "no GPU is used: cuInit failed\nNVML lists 1 (driver 580.82.07)",
        "\n  00000000:01:00.0  NVIDIA H200  GPU-01010101-",
        "\nthe kernel driver lists 1 (driver 580.1)\n  0000:01:00.0  unknown  unknown",
        "\nthe PCI bus lists 1\n  0000:01:00.0  233510de",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_device_that_is_not_described_is_told_beside_the_others() {
    let mut described = cuda(vec![device(0)]);
    if let CudaView::Loaded(CudaSource { not_described, .. }) = &mut described {
        not_described.push(NotDescribed { index: 1, reason: "it is broken".to_owned() });
    }
    let found = Inventory { cuda: described, ..absent() };
    let text = found.to_string();
    assert!(text.contains("\n1: cannot be used: it is broken"), "{text}");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["cuda"]["not_described"][0]["index"], 1);
}

#[test]
fn a_device_shows_every_field_that_is_promised() {
    let real = device(1);
    let library = MappedLibrary {
        path: "/usr/lib/libcuda.so.1".to_owned(),
        file: FileState::Present,
        sha256: None,
    };
    let health = Health {
        ecc_corrected: Some(7),
        ecc_uncorrected: Some(0),
        rows_remapped_corrected: Some(1),
        rows_remapped_uncorrected: Some(2),
        remap_pending: Some(true),
        remap_failed: Some(false),
    };
    let managed = NvmlDevice {
        serial: Some("1650123456789".to_owned()),
        power_mw: Some(75_300),
        power_limit_mw: Some(600_000),
        power_limit_default_mw: Some(700_000),
        temperature_c: Some(41),
        throttle_reasons: Some(vec!["SW_POWER_CAP".to_owned()]),
        mig: Some(false),
        confidential_computing: Some(false),
        computing: Some(Computing { others: 2, memory_used_bytes: 5 << 20, self_listed: true }),
        health,
        unknown: [("vbios_version", "no permission".to_owned())].into(),
        ..managed(&real)
    };
    let on_bus = PciDevice {
        pci_id: real.pci_id.clone(),
        device_id: "233510de".to_owned(),
        subsystem_id: Some("18be10de".to_owned()),
        link_speed: Some("32.0 GT/s PCIe".to_owned()),
        link_width: Some(16),
        numa_node: Some(1),
        ..PciDevice::default()
    };
    let found = Inventory {
        pci: PciView::Loaded(PciSource { devices: vec![on_bus] }),
        process: ProcessView { libraries: vec![library], ..ProcessView::default() },
        findings: vec![Finding::new(Code::NameDiffers, "two names")],
        nvml: nvml(vec![managed]),
        cuda: cuda(vec![real]),
        ..absent()
    };
    let text = found.to_string();
    for part in [
        "driver 580.82.07, CUDA 13.0",
        "\n1    NVIDIA H200  0000:01:00.0  132  139.7 GiB  on   ?/1980  75/600  41  none\n",
        "\n1: NVIDIA H200\n",
        "GPU-01010101-",
        "compute capability  9.0",
        "139.7 GiB, ECC on",
        "50.0 MiB",
        "SM 1980 MHz, memory 3201 MHz × 6144 bits",
        "233510de, subsystem 18be10de",
        "PCI link            32.0 GT/s PCIe × 16\n",
        "NUMA node           1",
        "serial              1650123456789",
        "75 W of 600 W (made for 700 W)",
        "clocks held down by SW_POWER_CAP",
        "7 corrected, 0 not",
        "rows remapped       3, one is pending",
        "other processes     2 compute here, with 5 MiB",
        "unknown             vbios_version (no permission)",
        "library /usr/lib/libcuda.so.1",
        "\nFINDING name-differs: two names",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["cuda"]["devices"][0]["memory_bytes"], 150_000_000_000_u64);
    assert_eq!(json["nvml"]["devices"][0]["health"]["remap_pending"], true);
    assert!(json["nvml"]["devices"][0].get("name").is_some());
    assert!(json["nvml"]["devices"][0].get("pcie_width").is_none(), "unknown facts are absent");
    assert_eq!(json["pci"]["devices"][0]["numa_node"], 1);
}

/// Eight devices, each with 18 links to switches.
fn hgx() -> Inventory {
    let devices: Vec<_> = (0..8).map(device).collect();
    let linked = |real: &DeviceEntry| NvmlDevice {
        nvlinks: (0..18)
            .map(|link| NvLink {
                link,
                active: link != 17 || real.index != 3,
                version: Some("4.0".to_owned()),
                remote_pci_id: Some(format!("00000000:{:02x}:00.0", 5 + link % 4)),
            })
            .collect(),
        ..managed(real)
    };
    let mut nvml = nvml(devices.iter().map(linked).collect());
    if let NvmlView::Loaded(NvmlSource { topology, .. }) = &mut nvml {
        let pairs = (0..8).flat_map(|a| (a + 1..8).map(move |b| [a, b]));
        topology.extend(pairs.map(|devices| Ancestor { devices, ancestor: "system" }));
    }
    Inventory { nvml, cuda: cuda(devices), ..absent() }
}

#[test]
fn eight_devices_are_a_table_that_fits_in_a_terminal() {
    let text = hgx().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("GPU  name "), "{text}");
    for (at, line) in lines[2..10].iter().enumerate() {
        assert!(line.starts_with(&format!("{at}    NVIDIA H200  0000:0{at}:00.0")), "{line}");
        assert!(line.ends_with(if at == 3 { "17 of 18 up" } else { "18 of 18 up" }), "{line}");
    }
    assert!(lines[..12].iter().all(|line| line.chars().count() <= 100), "{text}");
    assert_eq!(lines[10], "peer access: between all of them");
    assert_eq!(lines[11], "in common over PCIe (NVML's numbers): system, each pair");
}

#[test]
fn pairs_that_differ_are_told_one_by_one() {
    let mut found = hgx();
    if let CudaView::Loaded(CudaSource { peer_access, .. }) = &mut found.cuda {
        peer_access[0].replace_range(1..2, "0");
    }
    if let NvmlView::Loaded(NvmlSource { topology, .. }) = &mut found.nvml {
        topology.truncate(2);
        topology[0].ancestor = "numa-node";
    }
    let text = found.to_string();
    assert!(text.contains("\n  0   -0111111\n  1   1-111111\n"), "{text}");
    assert!(text.contains("numa-node (0-1), system (0-2)"), "{text}");
}

#[test]
fn a_mig_instance_is_named_as_one() {
    let whole = managed(&device(0));
    let instance = DeviceEntry {
        name: "NVIDIA H200 MIG 1g.18gb".to_owned(),
        uuid: "MIG-0a0a".to_owned(),
        mig: Some(MigEntry { parent_uuid: whole.uuid.clone() }),
        ..device(0)
    };
    let listed = MigInstance {
        uuid: Some("MIG-0a0a".to_owned()),
        name: Some("NVIDIA H200 MIG 1g.18gb".to_owned()),
        memory_bytes: Some(18 << 30),
        sm_count: Some(16),
    };
    let managed = NvmlDevice { mig: Some(true), mig_instances: vec![listed], ..whole };
    let found = Inventory { nvml: nvml(vec![managed]), cuda: cuda(vec![instance]), ..absent() };
    let text = found.to_string();
    assert!(text.contains("MIG                 an instance of GPU-00000000-"), "{text}");
    assert!(text.contains("MIG mode            on"), "{text}");
    assert!(text.contains("instance          NVIDIA H200 MIG 1g.18gb MIG-0a0a"), "{text}");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["cuda"]["devices"][0]["mig"]["parent_uuid"].as_str().unwrap().len(), 40);
}

#[test]
fn hidden_devices_and_absent_sources_are_told() {
    let process =
        ProcessView { cuda_visible_devices: Some("2".to_owned()), ..ProcessView::default() };
    // As under WSL: no NVML, no kernel driver's files, no device on the bus.
    let found = Inventory { cuda: cuda(vec![device(0)]), process, ..absent() };
    let text = found.to_string();
    assert!(text.contains("CUDA_VISIBLE_DEVICES is \"2\": other devices are hidden"), "{text}");
    assert!(text.contains("\n0    NVIDIA H200  0000:00:00.0  132  139.7 GiB  on   ?/1980  ?  "));
    assert!(text.contains("NVML is not available"), "{text}");
}

#[test]
fn what_a_library_says_cannot_steer_a_terminal() {
    let real = device(1);
    let managed = NvmlDevice { serial: Some("\u{1b}[2J".to_owned()), ..managed(&real) };
    let found = Inventory { nvml: nvml(vec![managed]), cuda: cuda(vec![real]), ..absent() };
    assert!(!found.to_string().contains('\u{1b}'));
}

#[test]
fn bandwidths_are_a_table_and_a_matrix() {
    let rate = |gb_s: u64| {
        let bytes_per_s = gb_s * 1_000_000_000;
        let (bytes_per_s_min, bytes_per_s_max) = (bytes_per_s - 1, bytes_per_s + 1);
        let (copy_bytes, runs) = (1 << 30, 7);
        Figure::Measured(Rate { bytes_per_s, bytes_per_s_min, bytes_per_s_max, copy_bytes, runs })
    };
    let unknown = || Figure::Unknown { unknown: "no memory".to_owned() };
    let device = |index| DeviceBandwidth {
        index,
        memory: rate(4000),
        to_device: rate(55),
        to_host: if index == 0 { rate(54) } else { unknown() },
    };
    let peer = |from, to, way, copy| PeerBandwidth { from, to, way, copy };
    let measured = Bandwidth {
        devices: vec![device(0), device(2)],
        peers: vec![peer(0, 2, Way::Direct, rate(380)), peer(2, 0, Way::ThroughHost, rate(40))],
    };
    let text = bandwidth(&measured);
    assert!(
        text.contains("\n0    4000.0                    55.0                     54.0\n"),
        "{text}"
    );
    assert!(text.contains("unknown (no memory)"), "{text}");
    assert!(text.contains("\nGPU  0      2\n0    -      380.0\n2    40.0*  -\n"), "{text}");
    let json = serde_json::to_value(&measured).unwrap();
    assert_eq!(json["peers"][1]["way"], "through-host");
    assert_eq!(json["devices"][1]["to_host"]["unknown"], "no memory");
}
