//! NVIDIA's public sample (tests/hardware-evidence): it verifies, and nothing near it.

use super::*;
use crate::{Certificate, Comparison, NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT, Rim, Rims};
use rayon::prelude::*;

const REPORT: &str = include_str!("../../../tests/hardware-evidence/hopperAttestationReport.txt");
const CHAIN: &[u8] = include_bytes!("../../../tests/hardware-evidence/hopperCertChain.txt");
const DRIVER: &[u8] =
    include_bytes!("../../../tests/hardware-evidence/Driver_RIM_test_no_gpu.swidtag");
const VBIOS: &[u8] =
    include_bytes!("../../../tests/hardware-evidence/1010_0200_882_96005E0001_test_no_gpu.swidtag");
/// 2024-07-01, when every certificate of the sample was valid.
const THEN_UNIX_S: u64 = 1_719_792_000;

const DEVICES: Trust<'static> = Trust { roots: &[NVIDIA_DEVICE_ROOT], at_unix_s: THEN_UNIX_S };
const RIMS: Trust<'static> = Trust { roots: &[NVIDIA_RIM_ROOT], at_unix_s: THEN_UNIX_S };

fn report() -> Vec<u8> {
    hex::decode(REPORT.trim()).unwrap()
}

fn code(report: &[u8], chain: &[u8], trust: &Trust<'_>) -> Code {
    verify(report, chain, None, trust).unwrap_err().code
}

#[test]
fn the_sample_verifies() {
    let device = verify(&report(), CHAIN, None, &DEVICES).unwrap();
    let said = device.report();
    assert_eq!(said.driver_version().as_deref(), Some("550.90.07"));
    assert_eq!(said.vbios_version().as_deref(), Some("96.00.9F.00.01"));
    assert_eq!((said.board_id(), said.chip_sku().as_deref()), (Some(0x3b1), Some("882")));
    assert_eq!(
        (said.project().as_deref(), said.project_sku().as_deref()),
        (Some("1010"), Some("0200"))
    );
    assert_eq!(said.measurements.len(), 64);
    assert_eq!(said.video_decoder_enabled(), Some(false));
    assert_eq!(device.family(), Some("GH100"));
    assert_eq!(device.chain().certificates()[1].name(), "GH100 A01 GSP BROM");
    assert_eq!(device.die().len(), 64);
    let asked = said.nonce;
    assert!(verify(&report(), CHAIN, Some(&asked), &DEVICES).is_ok());
    for byte in 0..32 {
        let mut other = asked;
        other[byte] ^= 1;
        let fault = verify(&report(), CHAIN, Some(&other), &DEVICES).unwrap_err();
        assert_eq!(fault.code, Code::ReportNonce);
    }
}

/// Whether all bits are tried, which takes a minute of two cores: ATTEST_ALL_BITS=1.
fn all_bits() -> bool {
    std::env::var_os("ATTEST_ALL_BITS").is_some()
}

/// Tries every bit of `bytes` that `which` wants; says how many `holds` was asked about.
fn flipped(
    bytes: &[u8],
    which: impl Fn(usize, usize) -> bool + Sync,
    holds: impl Fn(&[u8]) -> bool + Sync,
) -> usize {
    let tried = (0..bytes.len()).into_par_iter().map(|at| {
        let bits = (0..8).filter(|bit| which(at, *bit));
        let one = |bit: usize| {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << bit;
            assert!(!holds(&changed), "byte {at}, bit {bit}");
        };
        bits.map(one).count()
    });
    tried.sum()
}

/// Whether the sample's device signed this.
fn signed_by_the_sample() -> impl Fn(&[u8]) -> bool + Sync {
    let device = verify(&report(), CHAIN, None, &DEVICES).unwrap();
    let key = device.chain().certificates()[0].key().clone();
    move |bytes| Report::parse(bytes).is_ok_and(|it| key.verify_fixed(&it.signed, &it.signature))
}

/// The measurements, 55 bytes each, in the sample's report.
const RECORD: std::ops::Range<usize> = 45..45 + 64 * 55;

#[test]
fn no_bit_of_the_report_can_be_flipped() {
    let honest = report();
    // Every bit of the request, of headers and nonces, and of every byte one.
    let which = |at: usize, bit: usize| {
        all_bits()
            || at < RECORD.start
            || (RECORD.end..RECORD.end + 34).contains(&at)
            || bit == at % 8
    };
    let tried = flipped(&honest, which, signed_by_the_sample());
    assert!(tried > honest.len() + 500, "{tried}");
    for length in [0, 1, 36, 37, 44, 45, 100, 4020, 4021, 4116] {
        assert_eq!(code(&honest[..length], CHAIN, &DEVICES), Code::ReportMalformed, "{length}");
    }
    assert_eq!(code(&[&honest[..], &[0]].concat(), CHAIN, &DEVICES), Code::ReportMalformed);
    assert_eq!(code(&[0x11; 8193], CHAIN, &DEVICES), Code::ReportTooLarge);
    assert_eq!(Report::from_hex(&REPORT.to_uppercase()).unwrap_err().code, Code::ReportMalformed);
    assert!(Report::from_hex(REPORT).is_ok());
}

/// Whether a chain holds in which this takes the place of certificate `which`.
fn chain_with(which: usize) -> (Vec<u8>, impl Fn(&[u8]) -> bool + Sync) {
    let chain = Chain::parse(CHAIN).unwrap();
    let ders: Vec<Vec<u8>> = chain.certificates().iter().map(|c| c.der().to_vec()).collect();
    let own = ders[which].clone();
    let holds = move |changed: &[u8]| {
        let mut ders = ders.clone();
        ders[which] = changed.to_vec();
        Chain::from_ders(&ders).is_ok_and(|chain| chain.verify(Use::Device, &DEVICES).is_ok())
    };
    (own, holds)
}

#[test]
fn no_bit_of_the_certificates_can_be_flipped() {
    for which in 0..5 {
        let (own, holds) = chain_with(which);
        let which = |at: usize, bit: usize| at.is_multiple_of(3) && bit == at % 8;
        flipped(&own, |at, bit| all_bits() || which(at, bit), holds);
    }
}

#[test]
fn chains_that_are_cut_turned_or_early_do_not_verify() {
    let text = std::str::from_utf8(CHAIN).unwrap();
    let pems: Vec<&str> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
    assert_eq!(pems.len(), 5);
    assert_eq!(code(&report(), pems[..4].concat().as_bytes(), &DEVICES), Code::ChainRoot);
    assert_eq!(code(&report(), pems[..2].concat().as_bytes(), &DEVICES), Code::ChainLength);
    let without = [pems[0], pems[1], pems[3], pems[4]].concat();
    assert_eq!(code(&report(), without.as_bytes(), &DEVICES), Code::ChainIssuer);
    assert_eq!(code(&report(), pems.repeat(2).concat().as_bytes(), &DEVICES), Code::ChainLength);
    assert_eq!(code(&report(), &vec![b'-'; 20_000], &DEVICES), Code::ChainTooLarge);
    assert_eq!(code(&report(), b"hello", &DEVICES), Code::ChainMalformed);
    let rims = Trust { roots: RIMS.roots, ..DEVICES };
    assert_eq!(code(&report(), CHAIN, &rims), Code::ChainRoot);
    let early = Trust { at_unix_s: 1_500_000_000, ..DEVICES };
    assert_eq!(code(&report(), CHAIN, &early), Code::ChainValidity);
}

#[test]
fn the_roots_are_the_vendors() {
    let name = |der| Certificate::from_der(der).unwrap().name();
    assert_eq!(name(NVIDIA_DEVICE_ROOT), "NVIDIA Device Identity CA");
    assert_eq!(name(NVIDIA_RIM_ROOT), "NVIDIA CoRIM signing Root CA");
}

/// The sample's manifests are signed by the vendor, and of other versions than its report: of
/// that nothing can be compared, and this says so.
#[test]
fn the_manifests_verify_and_are_of_other_versions() {
    let (driver, vbios) = (Rim::verify(DRIVER, &RIMS).unwrap(), Rim::verify(VBIOS, &RIMS).unwrap());
    assert_eq!((driver.version.as_str(), driver.count()), ("545.00", 21));
    assert_eq!((vbios.version.as_str(), vbios.count()), ("96.00.5E.00.01", 12));
    let report = Report::parse(&report()).unwrap();
    // As many of their golden values are nevertheless the report's.
    assert_eq!(driver.differing(&report).len(), 15);
    assert_eq!(vbios.differing(&report), [1, 2, 3, 9, 11]);
    let missing = "driver 550.90.07, VBIOS 96.00.9F.00.01".to_owned();
    assert_eq!(Rims::new(vec![driver, vbios]).compare(&report), Comparison::Unknown { missing });
}

#[test]
fn changed_manifests_do_not_verify() {
    let text = std::str::from_utf8(DRIVER).unwrap();
    let code = |text: &str| Rim::verify(text.as_bytes(), &RIMS).unwrap_err().code;
    assert_eq!(code(&text.replacen("0e0ee161", "0e0ee162", 1)), Code::RimDigest);
    assert_eq!(code(&text.replacen("545.00", "550.90.07", 1)), Code::RimDigest);
    assert_eq!(code(&text.replacen("Dc2Cm4YrVzFF", "Dc2Cm4YrVzFG", 1)), Code::RimDigest);
    assert_eq!(code(&text.replacen("/BgnH+hp", "/BgnH+hq", 1)), Code::RimSignature);
    assert_eq!(code(&text.replacen("URI=\"\"", "URI=\"#a\"", 1)), Code::RimSignatureForm);
    let later = Trust { at_unix_s: 1_790_000_000, ..RIMS };
    assert_eq!(Rim::verify(DRIVER, &later).unwrap_err().code, Code::ChainValidity);
    let devices = Trust { roots: DEVICES.roots, ..RIMS };
    assert_eq!(Rim::verify(DRIVER, &devices).unwrap_err().code, Code::ChainRoot);
}
