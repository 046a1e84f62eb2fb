//! The same quotes before programs that know nothing of this one: AMD's by virtee/sev, which
//! verifies them, too, and Intel's by dcap-qvl, which needs Intel's collateral to verify and
//! reads them here.

use super::sample_tests::{DEBUG, DEBUG_VCEK, SNP, SNP_VCEK, TDX_4, TDX_5, code, snp, tdx};
use super::{AMD_INTERMEDIATES, ROOTS};
use dcap_qvl::quote::Quote;
use sev::certs::snp::{Chain, Verifiable as _};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser as _;

fn read(quote: &[u8]) -> Option<AttestationReport> {
    AttestationReport::from_bytes(quote).ok()
}

#[test]
fn the_same_is_read_from_reports_of_milan() {
    for (quote, vcek) in [(SNP, SNP_VCEK), (DEBUG, DEBUG_VCEK)] {
        let theirs = read(quote).expect("a report");
        let chain = Chain::from_der(ROOTS[0], AMD_INTERMEDIATES[0], vcek).expect("certificates");
        (&chain, &theirs).verify().expect("it holds");
        let ours = snp(quote, vcek).unwrap();
        assert_eq!(*ours.report_data(), theirs.report_data);
        assert_eq!(ours.measurement(), hex::encode(theirs.measurement));
        assert_eq!(ours.is_debug(), theirs.policy.debug_allowed());
        assert!(ours.versions().ends_with(&format!("VMPL {}", theirs.vmpl)));
        let tcb = theirs.reported_tcb;
        let levels = [tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode];
        assert!(ours.versions().contains(&hex::encode(levels)), "{}", ours.versions());
    }
}

/// Not every byte: theirs signs what it has parsed written out again, without reserved bytes.
#[test]
fn what_a_verdict_tells_cannot_be_changed_before_either() {
    let chain = Chain::from_der(ROOTS[0], AMD_INTERMEDIATES[0], SNP_VCEK).expect("certificates");
    let vcek = chain.verify().expect("a chain");
    let [policy, vmpl, nonce_and_measurement, chip, signature] =
        [0x08..0x0b, 0x30..0x34, 0x50..0xc0, 0x1a0..0x1e0, 0x2a0..0x2d0];
    for at in policy.chain(vmpl).chain(nonce_and_measurement).chain(chip).chain(signature) {
        let mut bytes = SNP.to_vec();
        bytes[at] ^= 1 << (at % 8);
        let theirs = read(&bytes).is_some_and(|report| (vcek, &report).verify().is_ok());
        assert!(!theirs && code(snp(&bytes, SNP_VCEK)) != "holds", "byte {at}");
    }
    let other = Chain::from_der(ROOTS[0], AMD_INTERMEDIATES[0], DEBUG_VCEK).expect("certificates");
    assert!((&other, &read(SNP).expect("a report")).verify().is_err());
    assert_eq!(code(snp(SNP, DEBUG_VCEK)), "quote-certificate");
}

#[test]
fn the_same_is_read_from_quotes_of_tdx() {
    for (quote, version) in [(TDX_4, 4), (TDX_5, 5)] {
        let theirs = Quote::parse(quote).expect("a quote");
        let report = theirs.report.as_td10().expect("of a TD");
        assert_eq!(theirs.header.version, version);
        let ours = tdx(quote).unwrap();
        assert_eq!(*ours.report_data(), report.report_data);
        assert_eq!(ours.measurement(), hex::encode(report.mr_td));
        let registers = [report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3];
        assert_eq!(ours.registers(), registers.map(hex::encode));
        assert_eq!(ours.is_debug(), report.td_attributes[0] != 0);
        assert!(ours.versions().ends_with(&hex::encode(report.tee_tcb_svn)), "{}", ours.versions());
        let pem = theirs.raw_cert_chain().expect("of type 5");
        let certificates = pem.windows(27).filter(|it| it == b"-----BEGIN CERTIFICATE-----");
        assert_eq!(ours.chain().certificates().len(), certificates.count());
    }
}
