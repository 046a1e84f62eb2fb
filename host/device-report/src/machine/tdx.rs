//! A TDX quote, of version 4 or 5.
//!
//! Guarantees: every byte is signed, or signed in what is signed, or zero; the key that signed
//! the quote is one that Intel's quoting enclave made, on a processor that Intel certified.
//! Deliberately lacks: Intel's lists of versions (TCB information, the enclave's identity),
//! which change: of the enclave its signer, product and debug bit are checked.

use super::{Said, malformed};
use crate::bytes::Bytes;
use crate::chain::Certificate;
use crate::fault::{Code, Fault};
use crate::keys::PublicKey;
use crate::pem::ders_of;
use der::asn1::OctetStringRef;
use der::oid::ObjectIdentifier as Oid;
use der::{Decode as _, Reader as _, SliceReader};
use sha2::{Digest as _, Sha256};

/// ECDSA over P-256.
const ATTESTATION_KEY: u16 = 2;
const TEE_TDX: u32 = 0x81;
/// Who made the quoting enclave: Intel.
const INTEL: [u8; 16] = 0x939a7233_f79c_4ca9_940a_0db3957f0607_u128.to_be_bytes();
/// Certification data: what the quoting enclave said, and a chain in PEM.
const ENCLAVE_REPORT: u16 = 6;
const PCK_CHAIN: u16 = 5;
/// Bodies of version 5 by their type, with their lengths.
const BODIES: [(u16, u32); 3] = [(2, 584), (3, 648), (4, 885)];
/// TD Under Debug: any of these bits makes a TD untrusted.
const UNDER_DEBUG: u64 = 0xff;

/// MRSIGNER of Intel's TD quoting enclave.
const ENCLAVE_SIGNER: [u8; 32] = [
    0xdc, 0x9e, 0x2a, 0x7c, 0x6f, 0x94, 0x8f, 0x17, 0x47, 0x4e, 0x34, 0xa7, 0xfc, 0x43, 0xed, 0x03,
    0x0f, 0x7c, 0x15, 0x63, 0xf1, 0xba, 0xbd, 0xdf, 0x63, 0x40, 0xc8, 0x2e, 0x0e, 0x54, 0xa8, 0xc5,
];
/// ISVPRODID of it.
const ENCLAVE_PRODUCT: u16 = 2;
/// Attributes of it: initialised, with the provisioning key; not in debug mode.
const ENCLAVE_ATTRIBUTES: [u8; 16] = [0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Which of its attributes count: not that it is of 64 bits, nor XFRM.
const ENCLAVE_MASK: [u8; 16] =
    [0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];

/// Intel's description of a processor, and its PPID in it.
const SGX_EXTENSION: Oid = Oid::new_unwrap("1.2.840.113741.1.13.1");
const PPID: Oid = Oid::new_unwrap("1.2.840.113741.1.13.1.1");

/// A quote that was parsed and not verified.
#[derive(Clone, Debug)]
pub(super) struct Quote {
    pub(super) said: Said,
    signed: Vec<u8>,
    signature: [u8; 64],
    /// The attestation key, as the quote has it: a point without its first byte.
    key: [u8; 64],
    enclave: Enclave,
    /// In PEM.
    chain: Vec<u8>,
}

/// What the quoting enclave said of the attestation key, signed by the processor's key.
#[derive(Clone, Debug)]
struct Enclave {
    report: [u8; 384],
    signature: [u8; 64],
    authentication: Vec<u8>,
}

impl Quote {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut from = Bytes::new(bytes, Code::QuoteMalformed);
        let version = from.u16("the version")?;
        let key_type = from.u16("the attestation key's type")?;
        let tee = from.u32("the TEE's type")?;
        if !matches!(version, 4 | 5) || key_type != ATTESTATION_KEY || tee != TEE_TDX {
            let detail = format!(
                "expected version 4 or 5, key type {ATTESTATION_KEY} and TEE {TEE_TDX:#x}, got \
                 {version}, {key_type} and {tee:#x}"
            );
            return Err(malformed(detail));
        }
        let _versions = from.u32("the enclaves' versions")?;
        if from.array("the enclave's maker")? != INTEL {
            return Err(Fault::new(Code::QuoteEnclave, "the quoting enclave is not Intel's"));
        }
        let _user_data = from.take(20, "user data")?;
        let body_bytes = match version {
            4 => BODIES[0].1,
            _ => {
                let (kind, length) = (from.u16("the body's type")?, from.u32("its length")?);
                if !BODIES.contains(&(kind, length)) {
                    let detail = format!("a body of type {kind} and {length} bytes is unknown");
                    return Err(malformed(detail));
                }
                length
            }
        };
        let said = body(from.take(body_bytes as usize, "the body")?)?;
        let signed = bytes[..from.at()].to_vec();
        let length = from.u32("the signature's length")?;
        let data = from.take(length as usize, "the signature")?;
        // Kernels may hand out the whole of their buffer.
        if from.take(from.left(), "the end")?.iter().any(|&byte| byte != 0) {
            return Err(malformed("bytes follow the quote"));
        }
        let mut from = Bytes::new(data, Code::QuoteMalformed);
        let signature = from.array("the signature")?;
        let key = from.array("the attestation key")?;
        let mut from = certification(&mut from, ENCLAVE_REPORT)?;
        let report = from.array("the enclave's report")?;
        let report_signature = from.array("its signature")?;
        let length = from.u16("the authentication data's length")?;
        let authentication = from.take(usize::from(length), "authentication data")?.to_vec();
        let mut from = certification(&mut from, PCK_CHAIN)?;
        let chain = from.take(from.left(), "the certificates")?.to_vec();
        let enclave = Enclave { report, signature: report_signature, authentication };
        Ok(Self { said, signed, signature, key, enclave, chain })
    }

    /// The processor's certificates, in DER.
    pub(super) fn certificates(&self) -> Result<Vec<Vec<u8>>, Fault> {
        ders_of(&self.chain)
    }

    /// That the key of `leaf` signed the enclave's report, the enclave is Intel's and made the
    /// attestation key, and this key signed the quote.
    pub(super) fn check(&self, leaf: &Certificate) -> Result<(), Fault> {
        let Enclave { report, signature, authentication } = &self.enclave;
        if leaf.extension(SGX_EXTENSION).is_none() {
            let detail = format!("certificate {:?} is no processor's", leaf.name());
            return Err(Fault::new(Code::QuoteCertificate, detail));
        }
        if !leaf.key().verify_fixed(report, signature) {
            let detail = "the processor's key did not sign the quoting enclave's report";
            return Err(Fault::new(Code::QuoteSignature, detail));
        }
        let enclave = |detail: &str| Err(Fault::new(Code::QuoteEnclave, detail));
        let attributes = &report[48..64];
        let masked = attributes.iter().zip(ENCLAVE_MASK).map(|(own, mask)| own & mask);
        let product = u16::from_le_bytes([report[256], report[257]]);
        if report[128..160] != ENCLAVE_SIGNER || product != ENCLAVE_PRODUCT {
            return enclave("the quoting enclave is not Intel's of TDX");
        }
        // MISCSELECT is before the attributes, after the processor's versions.
        if report[16..20] != [0; 4] || !masked.eq(ENCLAVE_ATTRIBUTES) {
            return enclave("the quoting enclave is not in production mode");
        }
        let made = Sha256::new().chain_update(self.key).chain_update(authentication).finalize();
        if report[320..352] != made[..] || report[352..384] != [0; 32] {
            return enclave("the quoting enclave did not make the attestation key");
        }
        let point = [&[4], &self.key[..]].concat();
        match PublicKey::P256(point).verify_fixed(&self.signed, &self.signature) {
            true => Ok(()),
            false => {
                let detail = "the attestation key did not sign this quote";
                Err(Fault::new(Code::QuoteSignature, detail))
            }
        }
    }
}

/// The whole of what is left: certification data of this type.
fn certification<'a>(from: &mut Bytes<'a>, expected: u16) -> Result<Bytes<'a>, Fault> {
    let kind = from.u16("the certification data's type")?;
    if kind != expected {
        let detail = format!("certification data of type {kind}; expected {expected}");
        return Err(match expected {
            PCK_CHAIN => Fault::new(Code::ChainMissing, detail),
            _ => malformed(detail),
        });
    }
    let length = from.u32("the certification data's length")?;
    let data = from.take(length as usize, "certification data")?;
    match from.left() {
        0 => Ok(Bytes::new(data, Code::QuoteMalformed)),
        left => Err(malformed(format!("{left} bytes follow the certification data"))),
    }
}

/// What a body says; versions of the module add fields at its end.
fn body(bytes: &[u8]) -> Result<Said, Fault> {
    let mut from = Bytes::new(bytes, Code::QuoteMalformed);
    let versions: [u8; 16] = from.array("TEE_TCB_SVN")?;
    let _module = from.take(48, "MRSEAM")?;
    let module_signer: [u8; 48] = from.array("MRSIGNERSEAM")?;
    let module_attributes = from.u64("SEAMATTRIBUTES")?;
    if module_signer != [0; 48] || module_attributes != 0 {
        return Err(Fault::new(Code::QuoteModule, "MRSIGNERSEAM or SEAMATTRIBUTES is not zero"));
    }
    let attributes = from.u64("TDATTRIBUTES")?;
    let _xfam = from.u64("XFAM")?;
    let measurement = from.array("MRTD")?;
    let _configuration = from.take(3 * 48, "MRCONFIGID, MROWNER and MROWNERCONFIG")?;
    let registers = (0..4).map(|_| from.array("an RTMR")).collect::<Result<_, _>>()?;
    let report_data = from.array("REPORTDATA")?;
    Ok(Said {
        report_data,
        measurement,
        registers,
        is_debug: attributes & UNDER_DEBUG != 0,
        chip: None,
        versions: format!("TCB {}", hex::encode(versions)),
    })
}

/// The processor's name in its certificate.
pub(super) fn ppid(leaf: &Certificate) -> Option<Vec<u8>> {
    let mut outer = SliceReader::new(leaf.extension(SGX_EXTENSION)?).ok()?;
    outer
        .sequence(|list| {
            let mut found = None;
            while !list.is_finished() {
                let entry = list.tlv_bytes()?;
                let named = SliceReader::new(entry)?.sequence(|pair| {
                    let id = Oid::decode(pair)?;
                    let value = pair.tlv_bytes()?;
                    Ok::<_, der::Error>((id, value))
                })?;
                if named.0 == PPID {
                    found =
                        <&OctetStringRef>::from_der(named.1).ok().map(|id| id.as_bytes().to_vec());
                }
            }
            Ok::<_, der::Error>(found)
        })
        .ok()?
}
