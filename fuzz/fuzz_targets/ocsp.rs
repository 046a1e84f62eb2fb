//! OCSP responses: what is read is about the sample's chain only if it says so, and nobody but
//! its CAs can speak for it.
#![no_main]

use attest_device_report::{Chain, NVIDIA_DEVICE_ROOT, Ocsp, Response, Standing, Trust};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let text = include_bytes!("../../tests/hardware-evidence/hopperCertChain.txt");
    Chain::parse(text).expect("the sample's chain")
});

fuzz_target!(|data: &[u8]| {
    let Ok(response) = Response::parse(data) else { return };
    let trust = Trust { roots: &[NVIDIA_DEVICE_ROOT], at_unix_s: 1_719_792_000 };
    let standing = Ocsp::new(vec![response]).standing(&CHAIN, &trust);
    assert!(matches!(standing, Ok(Standing::Unknown(_))), "{standing:?}");
});
