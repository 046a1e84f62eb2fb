//! Reports that devices sign: parsed, and verified with the sample's certificates, of which
//! only the sample's own report may hold.
#![no_main]

use attest_device_report::{NVIDIA_DEVICE_ROOT, Report, Trust, verify};
use libfuzzer_sys::fuzz_target;

const CHAIN: &[u8] = include_bytes!("../../tests/hardware-evidence/hopperCertChain.txt");

fuzz_target!(|data: &[u8]| {
    let Ok(report) = Report::parse(data) else { return };
    assert!(report.measurements.len() <= attest_device_report::MEASUREMENTS_MAX);
    let _ = (report.vbios_version(), report.driver_version(), report.fwid());
    let trust = Trust { roots: &[NVIDIA_DEVICE_ROOT], at_unix_s: 1_719_792_000 };
    if let Ok(device) = verify(data, CHAIN, None, &trust) {
        assert_eq!(device.report().driver_version().as_deref(), Some("550.90.07"));
    }
});
