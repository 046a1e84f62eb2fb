//! SEV-SNP reports with tables of certificates: the report, then the table; with one sample's
//! certificate. Only what the samples say may hold.
#![no_main]

use attest_device_report::Trust;
use attest_device_report::machine::{Certificates, Kind, ROOTS, verify};
use libfuzzer_sys::fuzz_target;

const VCEK: &[u8] = include_bytes!("../../tests/hardware-evidence/snp_milan_vcek.der");
const REPORTS: [&[u8]; 2] = [
    include_bytes!("../../tests/hardware-evidence/snp_milan.bin"),
    include_bytes!("../../tests/hardware-evidence/snp_milan_debug.bin"),
];

fuzz_target!(|data: &[u8]| {
    let (report, auxiliary) = data.split_at(data.len().min(REPORTS[0].len()));
    let trust = Trust { roots: ROOTS, at_unix_s: 1_788_220_800 };
    let own = [VCEK.to_vec()];
    let certificates = Certificates { auxiliary, own: &own };
    if let Ok(machine) = verify(Kind::SevSnp, report, &certificates, None, &trust) {
        // All that is signed.
        assert!(REPORTS.iter().any(|sample| sample[..0x2a0] == report[..0x2a0]));
        assert_eq!(machine.chain().certificates().last().map(|last| last.der()), Some(ROOTS[0]));
    }
});
