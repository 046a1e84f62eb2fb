//! Which GPUs are there, by sources that differ.

use super::*;
use crate::evidence::nvml::NvmlListed;
use crate::executor::gpu::GpuDevice;

/// CUDA's list of the first `count` of some H200s.
fn cuda(count: u32) -> Result<DeviceList, NoGpu> {
    let device = |index| GpuDevice {
        pci_id: format!("0000:{:02x}:00.0", 0xa0 + index),
        ..GpuDevice::example(index)
    };
    match count {
        0 => Err(NoGpu::NoDevice),
        count => Ok((0..count).map(device).collect::<Vec<_>>().into()),
    }
}

/// NVML with `count` devices.
fn nvml(count: u32) -> NvmlListing {
    let device = |index| {
        let pci_id = format!("00000000:{:02X}:00.0", 0xa0 + index);
        NvmlListed { label: format!("{pci_id} (NVIDIA H200)"), pci_id: Some(pci_id), mig: false }
    };
    NvmlListing::Devices { count, devices: (0..count).map(device).collect() }
}

fn no_driver() -> NoGpu {
    NoGpu::NoDriver { reason: "libcuda.so.1: file too short".to_owned() }
}

#[test]
fn without_a_thread_nobody_knows_whether_there_are_gpus() {
    let no_thread = Some("Resource temporarily unavailable".to_owned());
    let others = Others { no_thread, pci: 8, ..Others::default() };
    let error = judged(Err(no_driver()), &others).unwrap_err();
    assert!(matches!(error, NoGpu::NoThread { .. }), "{error}");
    assert_eq!(judged(cuda(2), &others).unwrap().devices.len(), 2);
}

#[test]
fn any_source_that_lists_a_gpu_makes_its_absence_a_failure() {
    let failed = NvmlListing::Failed("driver/library version mismatch".to_owned());
    for (others, says) in [
        (Others { nvml: nvml(8), ..Others::default() }, "NVML lists 8 GPUs"),
        (Others { kernel: 1, ..Others::default() }, "the kernel driver lists 1 GPU\n"),
        (Others { pci: 2, ..Others::default() }, "the PCI bus lists 2 GPUs"),
        (Others { nvml: failed, ..Others::default() }, "NVML is there and fails: driver/library"),
    ] {
        for no_gpu in [NoGpu::NoDevice, no_driver()] {
            let cuda = what_happened(&no_gpu);
            let error = judged(Err(no_gpu), &others).unwrap_err();
            assert!(!error.is_absence(), "{error}");
            let text = error.to_string();
            assert!(text.starts_with(&cuda) && text.contains(says), "{text}");
            assert!(text.ends_with("(--executor cpu)"), "{text}");
        }
    }
}

#[test]
fn a_machine_on_which_nobody_lists_a_gpu_has_none() {
    for nvml in [NvmlListing::Absent, nvml(0)] {
        let others = Others { nvml, visible: Some("0".to_owned()), ..Others::default() };
        assert_eq!(judged(Err(NoGpu::NoDevice), &others).unwrap_err(), NoGpu::NoDevice);
        assert_eq!(judged(Err(no_driver()), &others).unwrap_err(), no_driver());
    }
}

#[test]
fn who_hides_all_gpus_has_none_and_a_slip_hides_nothing() {
    let with = |value: &str| {
        let visible = Some(value.to_owned());
        judged(
            Err(NoGpu::NoDevice),
            &Others { nvml: nvml(2), pci: 2, visible, ..Others::default() },
        )
    };
    for value in ["", "-1", " -1,0", "NoDevFiles"] {
        let error = with(value).unwrap_err();
        assert!(
            error.is_absence() && error.to_string().contains("CUDA_VISIBLE_DEVICES"),
            "{error}"
        );
    }
    for value in ["0", "7", "gpu0", "GPU-beef"] {
        let error = with(value).unwrap_err();
        let told = error.to_string().contains(&format!("CUDA_VISIBLE_DEVICES is {value:?}"));
        assert!(!error.is_absence() && told, "{error}");
    }
}

#[test]
fn gpus_that_cuda_lacks_are_named() {
    let missing = |count, visible: Option<&str>| {
        let visible = visible.map(str::to_owned);
        judged(cuda(count), &Others { nvml: nvml(8), pci: 8, visible, ..Others::default() })
            .unwrap()
            .missing
    };
    assert_eq!(missing(8, None), None);
    let text = missing(7, None).unwrap().to_string();
    let expected = "the CUDA driver lists 7 of 8 GPUs: NVML lists 8, of which CUDA lacks \
                    00000000:A7:00.0 (NVIDIA H200)\nLook";
    assert!(text.starts_with(expected), "{text}");
    // The user hides some, and CUDA lists what is left.
    assert_eq!(missing(2, Some("0,1")), None);
    let text = missing(1, Some("0,1")).unwrap().to_string();
    assert!(text.starts_with("the CUDA driver lists 1 of 2 GPUs"), "{text}");
    assert!(text.contains("CUDA_VISIBLE_DEVICES is \"0,1\""), "{text}");
}

#[test]
fn a_container_may_see_more_of_the_kernel_and_the_bus_than_it_was_given() {
    let others = Others { nvml: nvml(2), kernel: 8, pci: 8, ..Others::default() };
    assert_eq!(judged(cuda(2), &others).unwrap().missing, None);
    let others = Others { kernel: 8, pci: 8, ..Others::default() };
    assert_eq!(judged(cuda(2), &others).unwrap().missing, None, "NVML is not there");
}

#[test]
fn an_instance_of_a_device_in_mig_mode_is_all_that_cuda_lists() {
    let NvmlListing::Devices { count, mut devices } = nvml(2) else { panic!("devices") };
    devices[0].mig = true;
    let others = Others { nvml: NvmlListing::Devices { count, devices }, ..Others::default() };
    assert_eq!(judged(cuda(1), &others).unwrap().missing, None);
    assert!(!judged(Err(NoGpu::NoDevice), &others).unwrap_err().is_absence());
}
