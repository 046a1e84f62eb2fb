//! Quotes of TDX: what holds has Intel's root and one of the samples' words.
#![no_main]

use attest_device_report::Trust;
use attest_device_report::machine::{Certificates, Kind, ROOTS, verify};
use libfuzzer_sys::fuzz_target;

const QUOTES: [&[u8]; 2] = [
    include_bytes!("../../tests/hardware-evidence/tdx_4.bin"),
    include_bytes!("../../tests/hardware-evidence/tdx_5.bin"),
];

fuzz_target!(|data: &[u8]| {
    let trust = Trust { roots: ROOTS, at_unix_s: 1_788_220_800 };
    if let Ok(machine) = verify(Kind::Tdx, data, &Certificates::default(), None, &trust) {
        assert_eq!(machine.chain().certificates().last().map(|last| last.der()), Some(ROOTS[3]));
        // All that is signed: header and body.
        assert!(QUOTES.iter().any(|quote| quote[..632] == data[..632]));
    }
});
