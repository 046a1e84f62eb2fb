//! Made-up makers of processors, one in the manner of AMD and one of Intel: their roots, their
//! processors' certificates, and the quotes that they sign. They go through the same code as
//! the real ones.

use super::device::{VALID, tlv};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p384::ecdsa::signature::Signer as _;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PSS_SHA384, RsaKeyPair,
};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// A key of a made-up maker.
pub enum Key {
    /// Of a CA of AMD's, in PKCS #8.
    Rsa(&'static [u8]),
    /// Of a chip of AMD's.
    P384(u8),
    /// Of Intel's, in PKCS #8.
    P256(Vec<u8>),
}

pub static AMD_ROOT: Key = Key::Rsa(include_bytes!("made-up-rsa-1.der"));
pub static AMD_INTERMEDIATE: Key = Key::Rsa(include_bytes!("made-up-rsa-2.der"));
/// Of Intel's root, platform CA, processor, and quoting enclave (the attestation key).
pub static INTEL: LazyLock<[Key; 4]> = LazyLock::new(|| {
    let new = || {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap()
    };
    [(); 4].map(|()| Key::P256(new().as_ref().to_vec()))
});

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

const SHA384: [u8; 15] = [0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 5, 0];

impl Key {
    fn rsa(pkcs8: &[u8]) -> RsaKeyPair {
        RsaKeyPair::from_pkcs8(pkcs8).unwrap()
    }
    fn p256(pkcs8: &[u8], fixed: bool) -> EcdsaKeyPair {
        let form = match fixed {
            true => &ECDSA_P256_SHA256_FIXED_SIGNING,
            false => &ECDSA_P256_SHA256_ASN1_SIGNING,
        };
        EcdsaKeyPair::from_pkcs8(form, pkcs8, &SystemRandom::new()).unwrap()
    }

    /// SubjectPublicKeyInfo.
    fn public(&self) -> Vec<u8> {
        let ec: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
        let (algorithm, bits) = match self {
            Self::Rsa(pkcs8) => (
                [&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1][..], &[5, 0]].concat(),
                Self::rsa(pkcs8).public_key().as_ref().to_vec(),
            ),
            Self::P384(seed) => (
                [ec, &[6, 5, 0x2b, 0x81, 4, 0, 0x22]].concat(),
                super::device::key(*seed).verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            ),
            Self::P256(pkcs8) => (
                [ec, &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]].concat(),
                Self::p256(pkcs8, false).public_key().as_ref().to_vec(),
            ),
        };
        sequence(&[&tlv(0x30, &algorithm), &tlv(3, &[&[0], &bits[..]].concat())])
    }

    /// How it signs certificates.
    fn algorithm(&self) -> Vec<u8> {
        match self {
            Self::Rsa(_) => {
                let mgf1 = [&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8][..], &SHA384];
                let parameters = sequence(&[
                    &tlv(0xa0, &SHA384),
                    &tlv(0xa1, &tlv(0x30, &mgf1.concat())),
                    &[0xa2, 3, 2, 1, 48],
                ]);
                sequence(&[&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10], &parameters])
            }
            Self::P384(_) => sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]]),
            Self::P256(_) => sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]),
        }
    }

    /// A signature as certificates have it.
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(pkcs8) => {
                let key = Self::rsa(pkcs8);
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PSS_SHA384, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Self::P384(seed) => {
                let signature: p384::ecdsa::DerSignature = super::device::key(*seed).sign(message);
                signature.as_bytes().to_vec()
            }
            Self::P256(pkcs8) => {
                let key = Self::p256(pkcs8, false);
                key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }
        }
    }

    /// r and s, of fixed width; of keys over P-256.
    fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        let Self::P256(pkcs8) = self else { panic!("not over P-256") };
        let key = Self::p256(pkcs8, true);
        key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// The point without its first byte; of keys over P-256.
    fn point(&self) -> [u8; 64] {
        let Self::P256(pkcs8) = self else { panic!("not over P-256") };
        Self::p256(pkcs8, true).public_key().as_ref()[1..].try_into().unwrap()
    }
}

/// What a certificate says, to be changed in one thing.
pub struct Certificate {
    pub subject: &'static str,
    pub issuer: &'static str,
    pub key: &'static Key,
    pub issuer_key: &'static Key,
    pub valid: [&'static str; 2],
    /// None: it has no basic constraints.
    pub ca: Option<bool>,
    /// None: it does not say what its key is for.
    pub usage: Option<u8>,
    /// Identifiers and values of what else it has.
    pub extensions: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Certificate {
    fn ca(
        subject: &'static str,
        key: &'static Key,
        issuer: &'static str,
        issuer_key: &'static Key,
    ) -> Self {
        let (valid, extensions) = (VALID, Vec::new());
        Self {
            subject,
            issuer,
            key,
            issuer_key,
            valid,
            ca: Some(true),
            usage: Some(0x04),
            extensions,
        }
    }

    pub fn der(&self) -> Vec<u8> {
        let named = |name: &str| {
            let common = sequence(&[&[6, 3, 0x55, 4, 3], &tlv(0x0c, name.as_bytes())]);
            sequence(&[&tlv(0x31, &common)])
        };
        let extension = |id: &[u8], critical: bool, value: &[u8]| {
            let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
            sequence(&[&tlv(6, id), critical, &tlv(4, value)])
        };
        let mut extensions = Vec::new();
        if let Some(ca) = self.ca {
            let ca: &[u8] = if ca { &[1, 1, 0xff] } else { &[] };
            extensions.extend(extension(&[0x55, 0x1d, 19], true, &sequence(&[ca])));
        }
        if let Some(usage) = self.usage {
            let value = tlv(3, &[usage.trailing_zeros() as u8, usage]);
            extensions.extend(extension(&[0x55, 0x1d, 15], true, &value));
        }
        for (id, value) in &self.extensions {
            extensions.extend(extension(id, false, value));
        }
        let short = |time: &str| tlv(0x17, &time.as_bytes()[2..]);
        let extensions = match extensions.is_empty() {
            true => Vec::new(),
            false => tlv(0xa3, &tlv(0x30, &extensions)),
        };
        let algorithm = self.issuer_key.algorithm();
        let tbs = sequence(&[
            &tlv(0xa0, &[2, 1, 2]),
            &[2, 1, 7],
            &algorithm,
            &named(self.issuer),
            &sequence(&self.valid.map(short).each_ref().map(Vec::as_slice)),
            &named(self.subject),
            &self.key.public(),
            &extensions,
        ]);
        let signature = self.issuer_key.sign(&tbs);
        sequence(&[&tbs, &algorithm, &tlv(3, &[&[0], &signature[..]].concat())])
    }
}

pub const CHIP: [u8; 64] = [0xc1; 64];
/// Boot loader 3, TEE 0, SNP 8, microcode 115.
pub const TCB: [u8; 8] = [3, 0, 0, 0, 0, 0, 8, 115];

static CHIP_KEY: Key = Key::P384(120);

/// An identifier under AMD's 1.3.6.1.4.1.3704.1.
fn amd(rest: &[u8]) -> Vec<u8> {
    [&[0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1][..], rest].concat()
}

/// The chip's certificate, its intermediate's, the root's.
pub fn amd_certificates() -> [Certificate; 3] {
    let level = |id: u8, value: u8| (amd(&[3, id]), vec![2, 1, value]);
    let chip = Certificate {
        ca: None,
        usage: None,
        extensions: vec![
            level(1, TCB[0]),
            level(2, TCB[1]),
            level(3, TCB[6]),
            level(8, TCB[7]),
            (amd(&[4]), CHIP.to_vec()),
        ],
        ..Certificate::ca("SEV-VCEK", &CHIP_KEY, "SEV-Made-up", &AMD_INTERMEDIATE)
    };
    [
        chip,
        Certificate::ca("SEV-Made-up", &AMD_INTERMEDIATE, "ARK-Made-up", &AMD_ROOT),
        Certificate::ca("ARK-Made-up", &AMD_ROOT, "ARK-Made-up", &AMD_ROOT),
    ]
}

/// A table of certificates as hosts hand it out: of the chip's key and of its issuer's.
pub fn table(chip: &[u8], intermediate: &[u8]) -> Vec<u8> {
    const GUIDS: [u128; 2] =
        [0x63da758d_e664_4564_adc5_f4b93be8accd, 0x4ab7b379_bbac_4fe4_a02f_05aef327c782];
    let entry = |guid: u128, offset: usize, length: usize| {
        let place = [(offset as u32).to_le_bytes(), (length as u32).to_le_bytes()];
        [&guid.to_be_bytes()[..], &place.concat()].concat()
    };
    [
        entry(GUIDS[0], 72, chip.len()),
        entry(GUIDS[1], 72 + chip.len(), intermediate.len()),
        vec![0; 24],
        chip.to_vec(),
        intermediate.to_vec(),
    ]
    .concat()
}

/// The table of an honest host.
pub fn amd_table() -> Vec<u8> {
    let [chip, intermediate, _] = amd_certificates();
    table(&chip.der(), &intermediate.der())
}

/// The policy's bit for debugging is in the third byte from 8.
pub const SNP_DEBUG: (usize, u8) = (10, 0x0b);

/// A report of SEV-SNP that the chip signs, with bytes set before that.
pub fn snp(report_data: &[u8; 64], set: &[(usize, u8)]) -> Vec<u8> {
    let mut report = vec![0; 0x2a0];
    report[0] = 3;
    report[0x0a] = 3;
    report[0x34] = 1;
    report[0x50..0x90].copy_from_slice(report_data);
    report[0x90..0xc0].copy_from_slice(&[0x7a; 48]);
    report[0x180..0x188].copy_from_slice(&TCB);
    report[0x1a0..0x1e0].copy_from_slice(&CHIP);
    for &(at, value) in set {
        report[at] = value;
    }
    let signature: p384::ecdsa::Signature = super::device::key(120).sign(&report);
    let signature = signature.to_bytes();
    for number in signature.chunks(48) {
        report.extend(number.iter().rev());
        report.extend([0; 24]);
    }
    report.resize(1184, 0);
    report
}

/// Intel's made-up certificates: the processor's, the platform CA's, the root's.
pub fn intel_certificates() -> [Certificate; 3] {
    let [root, platform, processor, _] = &*INTEL;
    // 1.2.840.113741.1.13.1, and the PPID below it.
    let id = vec![0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 1, 13, 1];
    let ppid = sequence(&[&tlv(6, &[&id[..], &[1]].concat()), &tlv(4, &[0x99; 16])]);
    let processor = Certificate {
        ca: Some(false),
        usage: Some(0xc0),
        extensions: vec![(id, sequence(&[&ppid]))],
        ..Certificate::ca("PCK", processor, "platform CA", platform)
    };
    [
        processor,
        Certificate::ca("platform CA", platform, "Intel made-up", root),
        Certificate::ca("Intel made-up", root, "Intel made-up", root),
    ]
}

/// Its root: signatures over P-256 are different each time.
static INTEL_ROOT: LazyLock<Vec<u8>> = LazyLock::new(|| intel_certificates()[2].der());

/// These certificates in DER, the root as it always is unless its key was changed.
pub fn intel_ders(all: &[Certificate; 3]) -> [Vec<u8>; 3] {
    let [processor, platform, root] = all;
    let root = match std::ptr::eq(root.key, &INTEL[0]) {
        true => INTEL_ROOT.clone(),
        false => root.der(),
    };
    [processor.der(), platform.der(), root]
}

/// What a quote of TDX is made of, to be changed in one thing.
pub struct Tdx {
    /// Bits of the body's bytes that are flipped before it is signed. (A byte that is set could
    /// have had that value already, if it is part of a digest of a random key.)
    pub body: Vec<(usize, u8)>,
    /// Bits of the bytes of the quoting enclave's report.
    pub enclave: Vec<(usize, u8)>,
    /// What signs the enclave's report, of [`INTEL`].
    pub signer: usize,
    pub certificates: Vec<u8>,
    /// The type of the certification data.
    pub certification: u16,
}

/// The lowest byte of TDATTRIBUTES in a body.
pub const TDX_DEBUG: (usize, u8) = (120, 1);

impl Default for Tdx {
    fn default() -> Self {
        let certificates = super::device::pem(&intel_ders(&intel_certificates()));
        let (body, enclave) = (Vec::new(), Vec::new());
        Self { body, enclave, signer: 2, certificates, certification: 5 }
    }
}

impl Tdx {
    /// A quote of version 4.
    pub fn quote(&self, report_data: &[u8; 64]) -> Vec<u8> {
        let attestation = &INTEL[3];
        let maker = 0x939a7233_f79c_4ca9_940a_0db3957f0607_u128.to_be_bytes();
        let head = [&[4, 0, 2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0][..], &maker, &[0; 20]].concat();
        let mut body = vec![0; 584];
        body[136..184].copy_from_slice(&[0x6d; 48]);
        body[520..].copy_from_slice(report_data);
        for &(at, bits) in &self.body {
            body[at] ^= bits;
        }
        let signed = [head, body].concat();
        let mut enclave = vec![0; 384];
        enclave[48] = 0x11;
        let signer = "dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5";
        enclave[128..160].copy_from_slice(&hex::decode(signer).unwrap());
        enclave[256] = 2;
        let authentication = [5; 32];
        let made = Sha256::new().chain_update(attestation.point()).chain_update(authentication);
        enclave[320..352].copy_from_slice(&made.finalize());
        for &(at, bits) in &self.enclave {
            enclave[at] ^= bits;
        }
        let long = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
        let inner = [
            &enclave[..],
            &INTEL[self.signer].sign_fixed(&enclave),
            &[32, 0],
            &authentication,
            &self.certification.to_le_bytes(),
            &long(&self.certificates),
            &self.certificates,
        ]
        .concat();
        let data = [
            &attestation.sign_fixed(&signed)[..],
            &attestation.point(),
            &[6, 0],
            &long(&inner),
            &inner,
        ]
        .concat();
        [&signed[..], &long(&data), &data].concat()
    }
}

/// The roots of both.
pub fn roots() -> [Vec<u8>; 2] {
    [amd_certificates()[2].der(), INTEL_ROOT.clone()]
}

/// As a result carries bytes.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
