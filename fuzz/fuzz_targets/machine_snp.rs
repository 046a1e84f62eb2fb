//! SEV-SNP reports with tables of certificates: the report, then the table; with the sample's
//! certificate, of which only the sample's own report may hold.
#![no_main]

use attest_device_report::Trust;
use attest_device_report::machine::{Certificates, Kind, ROOTS, verify};
use libfuzzer_sys::fuzz_target;

const VCEK: &[u8] = include_bytes!("../../tests/hardware-evidence/snp_milan_vcek.der");
const REPORT: &[u8] = include_bytes!("../../tests/hardware-evidence/snp_milan.bin");

fuzz_target!(|data: &[u8]| {
    let (report, auxiliary) = data.split_at(data.len().min(REPORT.len()));
    let trust = Trust { roots: ROOTS, at_unix_s: 1_788_220_800 };
    let own = [VCEK.to_vec()];
    let certificates = Certificates { auxiliary, own: &own };
    if let Ok(machine) = verify(Kind::SevSnp, report, &certificates, None, &trust) {
        // All that is signed.
        assert_eq!(report[..0x2a0], REPORT[..0x2a0]);
        assert_eq!(machine.chain().certificates().last().map(|last| last.der()), Some(ROOTS[0]));
    }
});
