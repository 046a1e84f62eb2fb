//! Real quotes (tests/hardware-evidence): they verify, and nothing near them.

use super::*;
use crate::chain::Certificate;

pub(super) const SNP: &[u8] = include_bytes!("../../../../tests/hardware-evidence/snp_milan.bin");
pub(super) const SNP_VCEK: &[u8] =
    include_bytes!("../../../../tests/hardware-evidence/snp_milan_vcek.der");
pub(super) const DEBUG: &[u8] =
    include_bytes!("../../../../tests/hardware-evidence/snp_milan_debug.bin");
pub(super) const DEBUG_VCEK: &[u8] =
    include_bytes!("../../../../tests/hardware-evidence/snp_milan_debug_vcek.der");
pub(super) const TDX_4: &[u8] = include_bytes!("../../../../tests/hardware-evidence/tdx_4.bin");
pub(super) const TDX_5: &[u8] = include_bytes!("../../../../tests/hardware-evidence/tdx_5.bin");
/// 2026-09-01, when every certificate of the samples was valid.
const THEN: Trust<'static> = Trust { roots: ROOTS, at_unix_s: 1_788_220_800 };

pub(super) fn snp(quote: &[u8], vcek: &[u8]) -> Result<SignedMachine, Fault> {
    let own = [vcek.to_vec()];
    let certificates = Certificates { auxiliary: &[], own: &own };
    verify(Kind::SevSnp, quote, &certificates, None, &THEN)
}

pub(super) fn tdx(quote: &[u8]) -> Result<SignedMachine, Fault> {
    verify(Kind::Tdx, quote, &Certificates::default(), None, &THEN)
}

pub(super) fn code(held: Result<SignedMachine, Fault>) -> &'static str {
    held.map_or_else(|fault| fault.code.name(), |_| "holds")
}

/// A table of certificates as hosts hand it out.
fn table(entries: &[([u8; 16], &[u8])]) -> Vec<u8> {
    let mut offset = 24 * (entries.len() + 1);
    let (mut head, mut data) = (Vec::new(), Vec::new());
    for (guid, der) in entries {
        head.extend(guid);
        head.extend((offset as u32).to_le_bytes());
        head.extend((der.len() as u32).to_le_bytes());
        data.extend(*der);
        offset += der.len();
    }
    [head, vec![0; 24], data].concat()
}

const VCEK: [u8; 16] = 0x63da758d_e664_4564_adc5_f4b93be8accd_u128.to_be_bytes();

#[test]
fn a_report_of_milan_verifies() {
    let machine = snp(SNP, SNP_VCEK).unwrap();
    assert!(machine.measurement().starts_with("7a1e5c266c01"));
    assert!(machine.report_data().starts_with(&[0xd4, 0x47, 0xb5]));
    assert_eq!(machine.versions(), "TCB 0300000000000873, VMPL 0");
    assert!(!machine.is_debug() && machine.registers().is_empty());
    let names: Vec<_> = machine.chain().certificates().iter().map(Certificate::name).collect();
    assert_eq!(names, ["SEV-VCEK", "SEV-Milan", "ARK-Milan"]);
    // Another chip, in debug mode.
    let debug = snp(DEBUG, DEBUG_VCEK).unwrap();
    assert!(debug.is_debug());
    assert_ne!(debug.platform(), machine.platform());
    assert_eq!(code(snp(SNP, DEBUG_VCEK)), "quote-certificate");
    assert_eq!(code(snp(DEBUG, SNP_VCEK)), "quote-certificate");
    assert_eq!(Kind::guess(SNP), Kind::SevSnp);
}

#[test]
fn quotes_of_tdx_verify() {
    let machine = tdx(TDX_4).unwrap();
    assert!(machine.measurement().starts_with("91eb2b44d141"));
    assert!(machine.registers().len() == 4 && !machine.is_debug());
    assert!(machine.platform().is_some());
    assert_eq!(machine.versions(), "TCB 06010300000000000000000000000000");
    let newer = tdx(TDX_5).unwrap();
    assert_ne!(newer.measurement(), machine.measurement());
    assert_ne!(newer.platform(), machine.platform());
    assert_eq!((Kind::guess(TDX_4), Kind::guess(TDX_5)), (Kind::Tdx, Kind::Tdx));
    // A kernel that hands out its whole buffer.
    assert_eq!(code(tdx(&[TDX_4, &[0; 3000]].concat())), "holds");
    assert_eq!(code(tdx(&[TDX_4, &[0, 1]].concat())), "quote-malformed");
}

#[test]
fn only_the_nonce_that_was_asked_with_holds() {
    let own = [SNP_VCEK.to_vec()];
    let certificates = Certificates { auxiliary: &[], own: &own };
    for (kind, quote, machine) in
        [(Kind::SevSnp, SNP, snp(SNP, SNP_VCEK).unwrap()), (Kind::Tdx, TDX_4, tdx(TDX_4).unwrap())]
    {
        let asked = *machine.report_data();
        let with = |nonce: &[u8; 64]| code(verify(kind, quote, &certificates, Some(nonce), &THEN));
        assert_eq!(with(&asked), "holds");
        for byte in 0..64 {
            let mut other = asked;
            other[byte] ^= 1;
            assert_eq!(with(&other), "quote-nonce");
        }
    }
}

#[test]
fn no_byte_of_a_report_can_be_changed() {
    for at in 0..SNP.len() {
        let mut bytes = SNP.to_vec();
        bytes[at] ^= 1 << (at % 8);
        assert_ne!(code(snp(&bytes, SNP_VCEK)), "holds", "byte {at}");
    }
    for at in (0..SNP_VCEK.len()).step_by(3) {
        let mut vcek = SNP_VCEK.to_vec();
        vcek[at] ^= 1 << (at % 8);
        assert_ne!(code(snp(SNP, &vcek)), "holds", "byte {at} of the certificate");
    }
    for length in [0, 3, 4, 1183] {
        assert_eq!(code(snp(&SNP[..length], SNP_VCEK)), "quote-malformed", "{length}");
    }
    assert_eq!(code(snp(&[SNP, &[0]].concat(), SNP_VCEK)), "quote-malformed");
    assert_eq!(code(snp(&vec![2; 70_000], SNP_VCEK)), "quote-too-large");
    assert_eq!(code(tdx(SNP)), "quote-malformed");
    assert_eq!(code(snp(TDX_4, SNP_VCEK)), "quote-malformed");
}

#[test]
fn no_byte_of_a_quote_can_be_changed() {
    for quote in [TDX_4, TDX_5] {
        // What follows the last certificate is white space.
        let end = quote.windows(5).rposition(|window| window == b"-----").unwrap() + 5;
        for at in 0..end {
            let mut bytes = quote.to_vec();
            bytes[at] ^= 1 << (at % 8);
            assert_ne!(code(tdx(&bytes)), "holds", "byte {at}");
        }
        for length in [0, 47, 48, 632, 636, 700, 1200, end - 1] {
            assert_eq!(code(tdx(&quote[..length])), "quote-malformed", "{length}");
        }
    }
}

#[test]
fn certificates_come_with_the_quote_or_are_missing() {
    let with = |auxiliary: &[u8]| {
        let certificates = Certificates { auxiliary, own: &[] };
        code(verify(Kind::SevSnp, SNP, &certificates, None, &THEN))
    };
    assert_eq!(with(&table(&[(VCEK, SNP_VCEK)])), "holds");
    assert_eq!(with(&[]), "chain-missing");
    assert_eq!(with(&table(&[])), "chain-missing");
    assert_eq!(with(&[0; 4096]), "chain-missing");
    assert_eq!(with(&table(&[([9; 16], SNP_VCEK)])), "chain-missing");
    // The chip's certificate in the place of its issuer's.
    assert_eq!(with(&table(&[(VCEK, AMD_INTERMEDIATES[0])])), "quote-certificate");
    assert_eq!(with(&table(&[(VCEK, b"hello")])), "chain-malformed");
    let mut outside = table(&[(VCEK, SNP_VCEK)]);
    outside[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(with(&outside), "quote-malformed");
    assert_eq!(with(&table(&[(VCEK, SNP_VCEK)])[..23]), "quote-malformed");
    assert_eq!(with(&table(&[([9; 16], &b""[..]); 17])), "quote-malformed");
    assert_eq!(with(&vec![0; 70_000]), "quote-too-large");
}

#[test]
fn other_roots_and_times_do_not_do() {
    let own = [SNP_VCEK.to_vec()];
    let certificates = Certificates { auxiliary: &[], own: &own };
    let intel = Trust { roots: &ROOTS[3..], ..THEN };
    assert_eq!(code(verify(Kind::SevSnp, SNP, &certificates, None, &intel)), "chain-missing");
    let amd = Trust { roots: &ROOTS[..3], ..THEN };
    assert_eq!(code(verify(Kind::Tdx, TDX_4, &certificates, None, &amd)), "chain-root");
    for at_unix_s in [1_500_000_000, 2_100_000_000] {
        let then = Trust { at_unix_s, ..THEN };
        for (kind, quote) in [(Kind::SevSnp, SNP), (Kind::Tdx, TDX_4)] {
            let held = verify(kind, quote, &certificates, None, &then);
            assert_eq!(code(held), "chain-validity");
        }
    }
}

/// The digests are those that other programs have of the same certificates: virtee/sev and
/// google/go-sev-guest of AMD's, dcap-qvl and dcap-rs of Intel's.
#[test]
fn the_roots_are_the_makers() {
    let digests = [
        "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
        "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
        "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
        "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3",
    ];
    assert_eq!(
        ROOTS.iter().map(|der| hex::encode(Sha256::digest(der))).collect::<Vec<_>>(),
        digests
    );
    let parsed = |der: &&[u8]| Certificate::of(Maker::Amd, der).unwrap();
    let roots: Vec<_> = ROOTS[..3].iter().map(parsed).collect();
    let lines = ["Milan", "Genoa", "Turin"];
    for (at, intermediate) in AMD_INTERMEDIATES.iter().map(parsed).enumerate() {
        let (root, line) = (&roots[at % 3], lines[at % 3]);
        assert_eq!(root.name(), format!("ARK-{line}"));
        assert_eq!(intermediate.name(), format!("SEV-{}{line}", ["", "VLEK-"][at / 3]));
        // An intermediate's below itself is no chain that is used: it has the least length.
        let ders = [&intermediate, root, root].map(|it| it.der().to_vec());
        let chain = Chain::of(Maker::Amd, &ders).unwrap();
        let fault = chain.verify(Use::Machine, &THEN).unwrap_err();
        assert_eq!((fault.code, fault.detail.contains("is a CA's")), (Code::ChainKeyUsage, true));
    }
}
