//! GPUs that do not initialise: the others carry on where the challenge allows
//! it, and a CPU only where it was asked for or there is no GPU at all.

use crate::common::assert_documented;
use crate::faults::challenge;
use crate::faults::wrapper::{Alive, Fault, Faulty};
use attest::executor::cpu::CpuOptions;
use attest::executor::gpu::{Capability, DeviceList, GpuDevice, MissingGpus, NoGpu};
use attest::executor::{ExecError, Executor, Kind};
use attest::mining::devices::DeviceRules;
use attest::mining::executors::{Choice, ChooseError, Chosen, Machine, choose_from};
use attest::mining::mine::{MineOptions, mine};
use attest::protocol::digest::Uuid;
use cuda_driver::Failure;

/// A machine with `gpus` GPUs of which `broken` do not open.
fn chosen(
    choice: &Choice,
    lanes: Option<u64>,
    gpus: Result<usize, NoGpu>,
    broken: &[u32],
) -> Result<Chosen, ChooseError> {
    let list = gpus.map(|count| (0..count as u32).map(device).collect::<Vec<_>>().into());
    chosen_of(choice, &DeviceRules::default(), lanes, list, broken)
}

fn chosen_of(
    choice: &Choice,
    rules: &DeviceRules,
    lanes: Option<u64>,
    list: Result<DeviceList, NoGpu>,
    broken: &[u32],
) -> Result<Chosen, ChooseError> {
    let alive = Alive::default();
    let mut open = |index: u32| {
        if broken.contains(&index) {
            return Err(ExecError::Device {
                what: "opening the device".into(),
                device: format!("GPU {index}"),
                cause: "cuDevicePrimaryCtxRetain returned CUDA_ERROR_ECC_UNCORRECTABLE (214)"
                    .into(),
                advice: "take the device out of service".into(),
            });
        }
        Ok(Box::new(Faulty::new(index as u8 + 1, Fault::None, &alive)) as Box<dyn Executor>)
    };
    let machine =
        Machine { cpu: CpuOptions::default(), devices: &|| list.clone(), open: &mut open };
    choose_from(choice, rules, &challenge(lanes, 4, 2), machine)
}

#[test]
fn the_others_carry_on_and_the_evidence_names_who_did_not() {
    let Chosen { executors, no_gpu, notes } = chosen(&Choice::Auto, None, Ok(4), &[1]).unwrap();
    assert!(executors.len() == 3 && no_gpu.is_none());
    let options = MineOptions { notes, ..MineOptions::default() };
    let mined = mine(&challenge(None, 4, 2), executors, &options, &|_| ()).unwrap();
    let left_out = &mined.result.evidence.value()["devices_left_out"];
    assert_eq!(left_out[0]["index"], 1);
    assert!(left_out[0]["reason"].as_str().unwrap().contains("CUDA_ERROR_ECC_UNCORRECTABLE"));
    assert_documented(mined.result.evidence.value());
}

#[test]
fn a_spare_takes_the_place_of_one_that_fails() {
    let chosen = chosen(&Choice::Auto, Some(2), Ok(3), &[0]).unwrap();
    let models: Vec<&str> = chosen.executors.iter().map(|e| e.facts().model.as_str()).collect();
    assert_eq!(models, ["device 2", "device 3"]);
}

#[test]
fn too_few_are_a_failure_that_names_the_broken_one() {
    for (choice, lanes) in [
        (Choice::Auto, Some(3)),
        (Choice::Gpus(vec![]), Some(3)),
        (Choice::Gpus(vec![0, 1]), None), // these were asked for by name
    ] {
        let error = chosen(&choice, lanes, Ok(3), &[1]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("GPU 1"), "{choice:?}: {error}");
    }
    // All broken: never a CPU instead.
    let error = chosen(&Choice::Auto, None, Ok(2), &[0, 1]).map(|_| ()).unwrap_err();
    assert!(matches!(error, ChooseError::Device(_)), "{error}");
}

#[test]
fn a_cpu_executes_only_where_it_was_asked_for_or_nothing_else_is_there() {
    for (choice, gpus, why) in [
        (Choice::Cpu, Ok(2), "asked for"),
        (Choice::Auto, Err(NoGpu::NoDevice), "the CUDA driver lists no device"),
    ] {
        let Chosen { executors, notes, .. } = chosen(&choice, None, gpus, &[]).unwrap();
        assert_eq!(executors[0].facts().kind, Kind::Cpu);
        let options = MineOptions { notes, ..MineOptions::default() };
        let mined = mine(&challenge(None, 4, 2), executors, &options, &|_| ()).unwrap();
        let evidence = mined.result.evidence.value();
        assert_eq!(evidence["executor"], "cpu");
        assert!(evidence["executor_chosen"].as_str().unwrap().contains(why), "{evidence}");
        assert_documented(evidence);
    }
    let asked = chosen(&Choice::Gpus(vec![]), None, Err(NoGpu::NoDevice), &[]).map(|_| ());
    assert!(matches!(asked, Err(ChooseError::NoGpu(NoGpu::NoDevice))));
}

#[test]
fn a_cpu_does_not_stand_in_for_gpus_behind_a_driver_that_fails() {
    let failure = Failure { function: "cuInit", code: 802 };
    for choice in [Choice::Auto, Choice::Gpus(vec![])] {
        let error = chosen(&choice, None, Err(failure.into()), &[]).map(|_| ()).unwrap_err();
        assert!(matches!(error, ChooseError::NoGpu(NoGpu::Driver { .. })), "{error}");
        let text = error.to_string();
        let told = text.contains("CUDA_ERROR_SYSTEM_NOT_READY") && text.contains("--executor cpu");
        assert!(told, "{text}");
    }
    let cpu = chosen(&Choice::Cpu, None, Err(failure.into()), &[]).unwrap();
    assert_eq!(cpu.executors[0].facts().kind, Kind::Cpu);
}

#[test]
fn a_gpu_that_is_missing_is_an_error_unless_others_are_named() {
    let list = || {
        let devices = (0..2).map(device).collect::<Vec<_>>();
        let which = "NVML lists 3, of which CUDA lacks 0000:02:00.0".to_owned();
        let missing = Some(MissingGpus { expected: 3, listed: 2, which });
        Ok(DeviceList { missing, ..devices.into() })
    };
    let of = |choice: &Choice, rules| chosen_of(choice, rules, None, list(), &[]);
    let any = DeviceRules::default();
    for choice in [Choice::Auto, Choice::Gpus(vec![])] {
        let error = of(&choice, &any).map(|_| ()).unwrap_err();
        assert!(matches!(error, ChooseError::Missing(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("0000:02:00.0") && text.contains("--devices"), "{text}");
    }
    let Chosen { executors, notes, .. } = of(&Choice::Gpus(vec![1]), &any).unwrap();
    let options = MineOptions { notes, ..MineOptions::default() };
    let mined = mine(&challenge(None, 4, 2), executors, &options, &|_| ()).unwrap();
    let evidence = mined.result.evidence.value();
    assert!(evidence["devices_missing"].as_str().unwrap().contains("2 of 3 GPUs"), "{evidence}");
    assert_documented(evidence);
    let rules = DeviceRules { gpu_count: Some(3), ..any };
    let error = of(&Choice::Gpus(vec![1]), &rules).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("of which CUDA lacks 0000:02:00.0"), "{error}");
}

#[test]
fn devices_that_are_not_described_are_left_out() {
    let list = || {
        let mut list = DeviceList::from((0..3).map(device).collect::<Vec<_>>());
        let error = ExecError::Device {
            what: "describing the device".into(),
            device: "GPU 0".into(),
            cause: "cuDeviceGetName returned CUDA_ERROR_ECC_UNCORRECTABLE (214)".into(),
            advice: "take the device out of service".into(),
        };
        list.set_broken(0, error);
        Ok(list)
    };
    let rules = DeviceRules::default();
    let Chosen { executors, notes, .. } =
        chosen_of(&Choice::Auto, &rules, None, list(), &[]).unwrap();
    let models: Vec<&str> = executors.iter().map(|e| e.facts().model.as_str()).collect();
    assert_eq!(models, ["device 2", "device 3"]);
    assert_eq!(notes.devices_left_out[0].index, 0);
    let reason = &notes.devices_left_out[0].reason;
    assert!(reason.starts_with("describing the device failed on GPU 0"), "{reason}");
    // Not where it is counted on.
    for (choice, lanes) in [(Choice::Auto, Some(3)), (Choice::Gpus(vec![1, 0]), None)] {
        let error = chosen_of(&choice, &rules, lanes, list(), &[]).map(|_| ()).unwrap_err();
        assert!(matches!(error, ChooseError::Device(_)), "{error}");
    }
}

#[test]
fn a_device_that_does_not_open_is_no_gpu_to_count_on() {
    let list = || Ok(DeviceList::from((0..4).map(device).collect::<Vec<_>>()));
    let count = |count, lanes, broken: &[u32]| {
        let rules = DeviceRules { gpu_count: Some(count), ..DeviceRules::default() };
        chosen_of(&Choice::Auto, &rules, lanes, list(), broken).map(|chosen| chosen.executors.len())
    };
    assert_eq!(count(4, None, &[]).unwrap(), 4);
    assert_eq!(count(3, None, &[1]).unwrap(), 3);
    assert_eq!(count(4, Some(2), &[]).unwrap(), 2, "the challenge takes fewer");
    let error = count(4, None, &[1]).unwrap_err();
    assert!(matches!(error, ChooseError::Devices(_)), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("4 GPUs are expected and there are 3: GPU 0"), "{text}");
    assert!(text.contains("opening the device failed on GPU 1"), "{text}");
}

#[test]
fn a_mig_instance_to_spare_is_left_out() {
    let list = || {
        let mut devices: Vec<GpuDevice> = (0..3).map(device).collect();
        devices[1].parent_uuid = Some(Uuid([9; 16]));
        Ok(DeviceList::from(devices))
    };
    let rules = |gpu_count| DeviceRules { gpu_count, ..DeviceRules::default() };
    let auto = |gpu_count, lanes| chosen_of(&Choice::Auto, &rules(gpu_count), lanes, list(), &[]);
    for gpu_count in [None, Some(2)] {
        let Chosen { executors, notes, .. } = auto(gpu_count, None).unwrap();
        assert_eq!(executors.len(), 2);
        assert_eq!(notes.devices_left_out[0].index, 1);
        let reason = &notes.devices_left_out[0].reason;
        assert!(reason.contains("is a MIG instance"), "{reason}");
    }
    let named = chosen_of(&Choice::Gpus(vec![0, 1]), &rules(None), None, list(), &[]);
    for refused in [auto(Some(3), None), auto(None, Some(3)), named] {
        let error = refused.map(|_| ()).unwrap_err();
        assert!(matches!(error, ChooseError::Devices(_)), "{error}");
    }
}

/// A whole H200 at `index`.
pub fn device(index: u32) -> GpuDevice {
    GpuDevice {
        index,
        name: "NVIDIA H200".to_owned(),
        uuid: Uuid([index as u8 + 1; 16]),
        parent_uuid: None,
        capability: Capability { major: 9, minor: 0 },
        sm_count: 132,
        memory_bytes: 150_000_000_000,
        clock_khz: 1_980_000,
        memory_clock_khz: 3_201_000,
        memory_bus_bits: 6144,
        l2_bytes: 62_914_560,
        pci_id: format!("0000:{index:02x}:00.0"),
        ecc: true,
    }
}
