//! Certificates of devices and of signers of manifests.
#![no_main]

use attest_device_report::{
    CERTIFICATES_MAX, Chain, NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT, Trust, Use,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(chain) = Chain::parse(data) else { return };
    assert!(chain.certificates().len() <= CERTIFICATES_MAX);
    for root in [NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT] {
        let trust = Trust { roots: &[root], at_unix_s: 1_719_792_000 };
        if chain.verify(Use::Device, &trust).is_ok() {
            assert_eq!(chain.certificates().last().map(|last| last.der()), Some(root));
        }
    }
});
