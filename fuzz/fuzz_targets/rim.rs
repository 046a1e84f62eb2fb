//! Reference integrity manifests: only what the vendor signed may hold.
#![no_main]

use attest_device_report::{NVIDIA_RIM_ROOT, Rim, Trust};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let trust = Trust { roots: &[NVIDIA_RIM_ROOT], at_unix_s: 1_719_792_000 };
    if let Ok(rim) = Rim::verify(data, &trust) {
        assert!(rim.version == "545.00" || rim.version == "96.00.5E.00.01", "{}", rim.version);
    }
});
