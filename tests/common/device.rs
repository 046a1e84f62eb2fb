//! A made-up vendor: its root, its devices' certificates, the reports that they sign, and its
//! manifests. They go through the same code as NVIDIA's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{DerSignature, Signature, SigningKey};
use sha2::{Digest as _, Sha384};

/// 2026-01-01 and 2036-01-01, between which all certificates are valid.
pub const VALID: [&str; 2] = ["20260101000000Z", "20360101000000Z"];

/// The key that `seed` stands for.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 48]).unwrap()
}

/// An element in DER.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..128 => vec![short as u8],
        middle @ 128..256 => vec![0x81, middle as u8],
        long => [&[0x82], &(long as u16).to_be_bytes()[..]].concat(),
    };
    [&[tag], &length[..], content].concat()
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// 1.2.840.10045.4.3.3, ECDSA with SHA-384.
pub const ALGORITHM: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];

fn public(key: &SigningKey) -> Vec<u8> {
    // id-ecPublicKey, secp384r1
    let algorithm =
        sequence(&[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &[6, 5, 0x2b, 0x81, 4, 0, 0x22]]);
    let point = key.verifying_key().to_sec1_point(false);
    sequence(&[&algorithm, &tlv(3, &[&[0], point.as_bytes()].concat())])
}

pub fn named(name: &str) -> Vec<u8> {
    sequence(&[&tlv(0x31, &sequence(&[&[6, 3, 0x55, 4, 3], &tlv(0x0c, name.as_bytes())]))])
}

pub fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&tlv(6, id), critical, &tlv(4, value)])
}

/// A purpose, by the last number of its identifier.
#[derive(Clone, Copy)]
pub enum Extended {
    CodeSigning = 3,
    OcspSigning = 9,
}

/// What a certificate says, to be changed in one thing.
pub struct Certificate {
    pub subject: &'static str,
    pub issuer: &'static str,
    pub key: SigningKey,
    pub issuer_key: SigningKey,
    /// Its serial number's last byte.
    pub serial: u8,
    pub valid: [&'static str; 2],
    /// None: it has no basic constraints.
    pub ca: Option<bool>,
    pub path_length: Option<u8>,
    /// Bits of the key's use, the first at the top: 0x80 signatures, 0x04 certificates.
    pub usage: u8,
    pub fwid: Option<[u8; 48]>,
    /// DMTF's "maker:product:serial".
    pub info: Option<&'static str>,
    /// An extended key usage, critical or not: signing OCSP responses, or code.
    pub extended: Option<(bool, Extended)>,
    /// An extension that nobody knows, critical or not.
    pub unknown: Option<bool>,
}

impl Certificate {
    /// A CA's.
    pub fn ca(subject: &'static str, seed: u8, issuer: &'static str, issuer_seed: u8) -> Self {
        Self {
            subject,
            issuer,
            key: key(seed),
            issuer_key: key(issuer_seed),
            serial: seed,
            valid: VALID,
            ca: Some(true),
            path_length: None,
            usage: 0x04,
            fwid: None,
            info: None,
            extended: None,
            unknown: None,
        }
    }

    /// Its serial number, in DER.
    pub fn serial(&self) -> [u8; 4] {
        [2, 2, 1, self.serial]
    }

    /// Its subject's name and its key's bits, as digests of issuers are made of.
    pub fn name_and_key(&self) -> [Vec<u8>; 2] {
        let point = self.key.verifying_key().to_sec1_point(false);
        [named(self.subject), point.as_bytes().to_vec()]
    }

    pub fn der(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        if let Some(ca) = self.ca {
            let ca: &[u8] = if ca { &[1, 1, 0xff] } else { &[] };
            let length = self.path_length.map_or(Vec::new(), |most| tlv(2, &[most]));
            extensions.push(extension(&[0x55, 0x1d, 19], true, &sequence(&[ca, &length])));
        }
        let unused = self.usage.trailing_zeros() as u8;
        extensions.push(extension(&[0x55, 0x1d, 15], true, &tlv(3, &[unused, self.usage])));
        if let Some(fwid) = &self.fwid {
            let sha384 = [6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
            let digest = sequence(&[&sha384, &tlv(4, fwid)]);
            let value = sequence(&[&[2, 1, 1], &public(&self.key), &digest]);
            extensions.push(extension(&[0x67, 0x81, 5, 5, 4, 1], false, &value));
        }
        if let Some(info) = self.info {
            let id = [6, 10, 0x2b, 6, 1, 4, 1, 0x83, 0x1c, 0x82, 0x12, 1];
            let other = tlv(0xa0, &[&id[..], &tlv(0xa0, &tlv(0x0c, info.as_bytes()))].concat());
            extensions.push(extension(&[0x55, 0x1d, 17], false, &sequence(&[&other])));
        }
        if let Some((critical, used)) = self.extended {
            let id = [6, 8, 0x2b, 6, 1, 5, 5, 7, 3, used as u8];
            extensions.push(extension(&[0x55, 0x1d, 37], critical, &sequence(&[&id])));
        }
        if let Some(critical) = self.unknown {
            extensions.push(extension(&[0x2a, 3, 4], critical, &[5, 0]));
        }
        let [from, until] = self.valid.map(|time| tlv(0x18, time.as_bytes()));
        // RFC 5280 has years below 2050 in the short form.
        let short = |time: Vec<u8>| tlv(0x17, &time[4..]);
        let tbs = sequence(&[
            &tlv(0xa0, &[2, 1, 2]),
            &self.serial(),
            &ALGORITHM,
            &named(self.issuer),
            &sequence(&[&short(from), &short(until)]),
            &named(self.subject),
            &public(&self.key),
            &tlv(0xa3, &tlv(0x30, &extensions.concat())),
        ]);
        let signature: DerSignature = self.issuer_key.sign(&tbs);
        sequence(&[&tbs, &ALGORITHM, &tlv(3, &[&[0], signature.as_bytes()].concat())])
    }
}

/// The root: all chains end in it.
pub fn root() -> Vec<u8> {
    Certificate::ca("made-up root", 1, "made-up root", 1).der()
}

/// The firmware of all devices.
pub const FWID: [u8; 48] = [0xf1; 48];

/// A device's chain, its own certificate first: its attestation key, its die's, an
/// intermediate's, the root's. `die` tells devices apart.
pub fn certificates(die: u8) -> [Certificate; 4] {
    let own = Certificate {
        ca: None,
        usage: 0x80,
        fwid: Some(FWID),
        info: Some("NVIDIA:GH100:0123456789ABCDEF"),
        ..Certificate::ca("attestation key", die + 100, "die", die)
    };
    [
        own,
        Certificate::ca("die", die, "intermediate", 2),
        Certificate::ca("intermediate", 2, "made-up root", 1),
        Certificate::ca("made-up root", 1, "made-up root", 1),
    ]
}

pub fn pem(ders: &[Vec<u8>]) -> Vec<u8> {
    let one = |der: &Vec<u8>| {
        let text = STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    ders.iter().map(one).collect::<String>().into_bytes()
}

/// The chain of the device `die`, in PEM.
pub fn chain(die: u8) -> Vec<u8> {
    pem(&certificates(die).map(|certificate| certificate.der()))
}

/// Measurement i, from 1.
pub fn measurement(i: u8) -> [u8; 48] {
    [i; 48]
}

/// A report that the device `die` signs for `nonce`, of driver 580.95.05 and VBIOS
/// 96.00.9F.00.01.
pub fn report(die: u8, nonce: &[u8; 32]) -> Vec<u8> {
    report_by(&key(die + 100), nonce, &FWID)
}

pub fn report_by(key: &SigningKey, nonce: &[u8; 32], fwid: &[u8; 48]) -> Vec<u8> {
    let block = |i: u8| [&[i, 1, 51, 0, 1, 48, 0][..], &measurement(i)].concat();
    let record: Vec<u8> = (1..=40).flat_map(block).collect();
    let field = |kind: u16, value: &[u8]| {
        [&kind.to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), value].concat()
    };
    let opaque =
        [field(3, b"580.95.05\0"), field(6, &[0, 0x9f, 0, 0x96, 1, 0, 0, 0]), field(20, fwid)]
            .concat();
    let signed = [
        &[0x11, 0xe0, 1, 0xff][..],
        nonce,
        &[0],
        &[0x11, 0x60, 0, 0, 40],
        &(record.len() as u32).to_le_bytes()[..3],
        &record,
        &[9; 32],
        &(opaque.len() as u16).to_le_bytes(),
        &opaque,
    ]
    .concat();
    let signature: Signature = key.sign(&signed);
    [&signed[..], &signature.to_bytes()].concat()
}

/// A manifest's parts, to be put together otherwise.
pub struct Manifest {
    /// The root element without its signature and its end, canonical.
    pub body: String,
    pub signature: String,
}

impl Manifest {
    /// Of `version`, with the golden values of measurements from `first` on, 20 of them.
    pub fn new(version: &str, first: u8) -> Self {
        let resource = |i: u8| {
            let value = hex::encode(measurement(i + 1));
            format!(
                "<Resource active=\"True\" alternatives=\"1\" index=\"{i}\" name=\"m\" \
                 size=\"48\" type=\"Measurement\" ns2:Hash0=\"{value}\"></Resource>"
            )
        };
        let resources: String = (first..first + 20).map(resource).collect();
        let body = format!(
            "<SoftwareIdentity xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
             xmlns:ns2=\"http://www.w3.org/2001/04/xmlenc#sha384\" tagId=\"t\">\
             <Meta colloquialVersion=\"{version}\" product=\"GH100\"></Meta>\
             <Payload>{resources}</Payload>"
        );
        let signature = Self::signed(&body);
        Self { body, signature }
    }

    /// The signature of a document that is `body` and the end of its root.
    pub fn signed(body: &str) -> String {
        let digest = STANDARD.encode(Sha384::digest(format!("{body}</SoftwareIdentity>")));
        let info = format!(
            "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"></ds:CanonicalizationMethod>\
             <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384\"></ds:SignatureMethod>\
             <ds:Reference URI=\"\"><ds:Transforms>\
             <ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"></ds:Transform>\
             <ds:Transform Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"></ds:Transform></ds:Transforms>\
             <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#sha384\"></ds:DigestMethod>\
             <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
        );
        let canonical = format!(
            "<ds:SignedInfo xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
             xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" \
             xmlns:ns2=\"http://www.w3.org/2001/04/xmlenc#sha384\">{info}"
        );
        let signer = Certificate {
            ca: Some(false),
            usage: 0x80,
            ..Certificate::ca("signer", 50, "intermediate", 2)
        };
        let [_, _, intermediate, root] = certificates(3);
        let value: Signature = signer.key.sign(canonical.as_bytes());
        let certificates: String = [signer, intermediate, root]
            .iter()
            .map(|certificate| {
                let text = STANDARD.encode(certificate.der());
                format!("<ds:X509Certificate>{text}</ds:X509Certificate>")
            })
            .collect();
        format!(
            "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo>{info}\
             <ds:SignatureValue>{}</ds:SignatureValue>\
             <ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>",
            STANDARD.encode(value.to_bytes())
        )
    }

    /// The whole document.
    pub fn text(&self) -> String {
        format!("{}{}</SoftwareIdentity>", self.body, self.signature)
    }
}
