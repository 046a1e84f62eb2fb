//! Devices for the tests of this folder.

use super::inventory::{Inventory, uuid_text};
use super::{Code, Finding, Observed};
use crate::executor::cpu::{CpuExecutor, CpuOptions};
use crate::executor::lanes::{Execution, LaneExecution, RunOptions, execute};
use crate::executor::{DeviceTiming, Executor, IdleTime, Kind, LaneFacts, SmActivity, SmTiles};
use crate::mining::issue::{Request, issue};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::document::{
    LaneDetails, LeftOut, MigInstanceOf, PeerBlocks, RunNotes, Stated,
};
use crate::protocol::evidence::machine::{
    Ancestor, Bandwidth, Computing, CudaSource, CudaView, DeviceBandwidth, DeviceEntry, Figure,
    FileState, KernelDevice, KernelSource, KernelView, MappedLibrary, MigEntry, MigInstance, Mount,
    NvLink, NvmlDevice, NvmlSource, NvmlView, PciDevice, PciSource, PciView, PeerBandwidth,
    ProcessView, Rate, Way,
};
use crate::protocol::evidence::telemetry::{Health, LaneTelemetry, Sampled, Series, Spread};
use crate::protocol::names::Root;
use std::time::Duration;

/// A device as the CUDA driver sees it.
pub fn device(index: u32) -> DeviceEntry {
    DeviceEntry {
        index,
        name: "NVIDIA H200".to_owned(),
        uuid: uuid_text("GPU", &Uuid([index as u8; 16])),
        mig: None,
        compute_capability: "9.0".to_owned(),
        sm_count: 132,
        memory_bytes: 150_000_000_000,
        clock_khz: 1_980_000,
        memory_clock_khz: 3_201_000,
        memory_bus_bits: 6144,
        l2_bytes: 50 << 20,
        pci_id: format!("0000:{index:02x}:00.0"),
        ecc: true,
    }
}

/// The same device as NVML sees it.
pub fn managed(device: &DeviceEntry) -> NvmlDevice {
    NvmlDevice {
        uuid: Some(device.uuid.clone()),
        pci_id: Some(format!("0000{}", device.pci_id)),
        name: Some(device.name.clone()),
        memory_bytes: Some(150_754_820_096),
        ..NvmlDevice::default()
    }
}

/// A CUDA driver with these devices.
pub fn cuda(devices: Vec<DeviceEntry>) -> CudaView {
    let (driver_version, cuda_version) = ("580.82.07".to_owned(), "13.0".to_owned());
    let places = |at: usize| (0..devices.len()).map(move |to| if at == to { '-' } else { '1' });
    let peer_access = (0..devices.len()).map(|at| places(at).collect()).collect();
    let not_described = Vec::new();
    CudaView::Loaded(CudaSource {
        driver_version,
        cuda_version,
        devices,
        not_described,
        peer_access,
    })
}

/// An NVML with these devices.
pub fn nvml(devices: Vec<NvmlDevice>) -> NvmlView {
    let device_count = devices.len() as u32;
    let driver_version = Some("580.82.07".to_owned());
    let (nvml_version, topology) = (None, Vec::new());
    NvmlView::Loaded(NvmlSource { driver_version, nvml_version, device_count, devices, topology })
}

/// A machine of which nothing is known.
pub fn absent() -> Inventory {
    let reason = String::new;
    Inventory {
        schema: 1,
        cuda: CudaView::NoGpu { reason: reason() },
        nvml: NvmlView::Unavailable { reason: reason() },
        kernel: KernelView::Unavailable { reason: reason() },
        pci: PciView::Unavailable { reason: reason() },
        process: ProcessView::default(),
        machine_id: None,
        bandwidth: None,
        findings: Vec::new(),
    }
}

/// Error counts of which all are known.
pub fn healthy() -> Health {
    Health {
        ecc_corrected: Some(3),
        ecc_uncorrected: Some(0),
        rows_remapped_corrected: Some(0),
        rows_remapped_uncorrected: Some(1),
        remap_pending: Some(false),
        remap_failed: Some(false),
    }
}

/// Readings of which all are known.
pub fn sampled(before: Health, after: Health) -> Sampled {
    let spread = Some(Spread { min: 1, median: 2, max: 3, last: 2 });
    Sampled {
        samples: 1,
        cpu_ms: Some(1),
        sm_clock_mhz: spread,
        memory_clock_mhz: spread,
        power_mw: spread,
        temperature_c: spread,
        utilization_percent: spread,
        memory_utilization_percent: spread,
        energy_mj: Some(1),
        throttle_reasons: Some(vec!["SW_POWER_CAP".to_owned()]),
        series: Series {
            at_ms: vec![0],
            sm_clock_mhz: vec![1],
            power_mw: vec![2],
            temperature_c: vec![3],
        },
        before,
        after,
    }
}

/// A run of two lanes that met, was gone on with, and of which everything is known.
/// Its first lane is `lane`, the other a CPU.
pub fn finished(lane: LaneExecution) -> Execution {
    let request = Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(2),
        sync_interval: Some(1),
        ..Request::default()
    };
    let challenge = issue(&request).unwrap();
    let cpu = || Box::new(CpuExecutor::new(CpuOptions::default())) as Box<dyn Executor>;
    let lanes = vec![cpu(), cpu()];
    let mut run = execute(&challenge, lanes, &RunOptions::default(), &|_| ()).unwrap();
    let LaneExecution { roots, start, barriers, .. } = run.lanes[0].clone();
    let end = barriers.last().copied();
    let idle = vec![IdleTime { after_iteration: 1, ns: 40_000 }];
    let device = Some(DeviceTiming { idle, ..DeviceTiming::default() });
    run.lanes[0] = LaneExecution { roots, start, barriers, end, device, ..lane };
    run.resumed_after = 1;
    run.notes = RunNotes {
        executor_chosen: Some("asked for".to_owned()),
        devices_missing: None,
        devices_left_out: vec![LeftOut { index: 1, reason: "broken".to_owned() }],
    };
    run
}

/// A lane and a machine of which every fact is known: a MIG instance, for that
/// has the most.
pub fn full() -> (LaneExecution, Observed) {
    let text = |text: &str| Some(text.to_owned());
    let real = DeviceEntry { mig: Some(MigEntry { parent_uuid: text("GPU-0") }), ..device(1) };
    let instance = MigInstance {
        uuid: text("MIG-0"),
        name: text("NVIDIA H200 MIG 1g.18gb"),
        memory_bytes: Some(1),
        sm_count: Some(16),
    };
    let link = NvLink {
        link: 0,
        active: true,
        version: text("4.0"),
        remote_pci_id: text("00000000:05:00.0"),
    };
    let managed = NvmlDevice {
        pci_device_id: text("233510de"),
        pci_subsystem_id: text("18be10de"),
        serial: text("1650123"),
        multi_gpu_board: Some(false),
        vbios_version: text("96.00"),
        board_part_number: text("692"),
        memory_used_bytes: Some(1),
        sm_clock_mhz: Some(1),
        sm_clock_max_mhz: Some(1980),
        memory_clock_mhz: Some(1),
        memory_clock_max_mhz: Some(3201),
        power_mw: Some(1),
        power_limit_mw: Some(700_000),
        power_limit_default_mw: Some(700_000),
        temperature_c: Some(1),
        throttle_reasons: Some(Vec::new()),
        ecc: Some(true),
        ecc_corrected_ever: Some(0),
        ecc_uncorrected_ever: Some(0),
        mig: Some(true),
        confidential_computing: Some(false),
        device_report: Some(false),
        confidential_dev_tools: Some(false),
        pcie_generation: Some(5),
        pcie_width: Some(16),
        computing: Some(Computing::default()),
        health: healthy(),
        mig_instances: vec![instance],
        nvlinks: vec![link],
        unknown: [("mig", "no permission".to_owned())].into(),
        ..managed(&real)
    };
    let on_bus = PciDevice {
        pci_id: real.pci_id.clone(),
        device_id: "233510de".to_owned(),
        subsystem_id: text("18be10de"),
        link_speed: text("32.0 GT/s PCIe"),
        link_width: Some(16),
        link_speed_max: text("32.0 GT/s PCIe"),
        link_width_max: Some(16),
        numa_node: Some(0),
    };
    let known = KernelDevice {
        pci_id: real.pci_id.clone(),
        name: text("NVIDIA H200"),
        uuid: text("GPU-0"),
        vbios_version: text("96.00"),
    };
    let mount = Mount { at: "/a".to_owned(), root: "/".to_owned(), fs_type: "ext4".to_owned() };
    let (path, file) = ("/usr/lib/libcuda.so.1".to_owned(), FileState::Present);
    let process = ProcessView {
        ld_preload: text("/a.so"),
        ld_audit: text("/a.so"),
        ld_library_path: text("/a"),
        cuda_visible_devices: text("0"),
        preload_file: vec!["/a.so".to_owned()],
        libraries: vec![MappedLibrary { path, file, sha256: text("00") }],
        mounts: vec![mount],
        ..ProcessView::default()
    };
    let rate =
        Rate { bytes_per_s: 2, bytes_per_s_min: 1, bytes_per_s_max: 3, copy_bytes: 1, runs: 7 };
    let (rate, unknown) = (Figure::Measured(rate), Figure::Unknown { unknown: "no".to_owned() });
    let bandwidth = Bandwidth {
        devices: vec![DeviceBandwidth {
            index: 0,
            memory: rate.clone(),
            to_device: rate.clone(),
            to_host: unknown,
        }],
        peers: vec![PeerBandwidth { from: 0, to: 1, way: Way::Direct, copy: rate }],
    };
    let details = LaneDetails {
        kernel_variant: text("text"),
        kernel_notes: Some(vec!["text".to_owned()]),
        ptx_digest: Some(Digest([7; 32])),
        exactness_check: text("text"),
        compute_capability: text("text"),
        pci_id: Some(real.pci_id.clone()),
        clock_khz: Some(1),
        memory_clock_khz: Some(1),
        driver_version: text("text"),
        driver_cuda_version: Some(1),
        mig: Some(Stated(MigInstanceOf { name: "a".to_owned(), parent_uuid: text("b") })),
        arena_bytes: Some(1),
        peer_blocks: Some(PeerBlocks::StagedCopies),
        ..LaneDetails::default()
    };
    let facts = LaneFacts {
        kind: Kind::Gpu,
        uuid: Uuid([1; 16]),
        model: real.name.clone(),
        memory_bytes: 1,
        sm_count: 2,
        details,
    };
    let lane = LaneExecution {
        facts,
        roots: vec![Root::default()],
        tile_roots: Vec::new(),
        states: Vec::new(),
        sm_tiles: SmTiles::Counted(vec![128, 0]),
        sm_activity: Some(SmActivity { spans: vec![Some((0, 2)), None] }),
        elapsed: Duration::from_millis(1),
        start: None,
        barriers: Vec::new(),
        end: None,
        device: None,
    };
    let mut nvml = nvml(vec![managed]);
    if let NvmlView::Loaded(NvmlSource { nvml_version, topology, .. }) = &mut nvml {
        *nvml_version = text("13.580");
        topology.push(Ancestor { devices: [0, 1], ancestor: "system" });
    }
    let inventory = Inventory {
        cuda: cuda(vec![real]),
        nvml,
        kernel: KernelView::Loaded(KernelSource {
            version: text("580.82.07"),
            devices: vec![known],
        }),
        pci: PciView::Loaded(PciSource { devices: vec![on_bus] }),
        process,
        machine_id: text("0123456789abcdef0123456789abcdef"),
        bandwidth: Some(bandwidth),
        findings: vec![Finding::new(Code::NameDiffers, "a")],
        ..absent()
    };
    let telemetry = LaneTelemetry::Sampled(Box::new(sampled(healthy(), healthy())));
    let machine_report = text("available");
    (lane, Observed { inventory, telemetry: vec![Some(telemetry)], machine_report })
}
