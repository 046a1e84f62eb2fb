//! OCSP responses of the made-up vendor of [`super::device`].

use super::device::{
    ALGORITHM, Certificate, Extended, certificates, extension, key, sequence, tlv,
};
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{DerSignature, SigningKey};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384};

/// What a response says of a certificate.
#[derive(Clone, Copy)]
pub enum Says {
    Good,
    Revoked,
    Unknown,
}

/// With what a response names an issuer.
#[derive(Clone, Copy)]
pub enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// A response, to be changed in one thing.
pub struct Answer {
    pub of: Certificate,
    pub issuer: Certificate,
    pub hash: Hash,
    pub says: Says,
    pub from: &'static str,
    pub until: Option<&'static str>,
    /// Whose name it gives, or whose key.
    pub responder: Certificate,
    pub by_key: bool,
    pub signed_by: SigningKey,
    pub brings: Vec<Vec<u8>>,
    /// Whether it has a critical extension.
    pub critical: bool,
}

/// The certificate of whom the made-up intermediate named to answer.
pub fn responder() -> Certificate {
    Certificate {
        ca: None,
        usage: 0x80,
        extended: Some((false, Extended::OcspSigning)),
        ..Certificate::ca("responder", 90, "intermediate", 2)
    }
}

impl Answer {
    /// That certificate `at` of the device `die` is good, by its issuer, in 2026.
    pub fn on(die: u8, at: usize) -> Self {
        let issuer = || certificates(die).into_iter().nth(at + 1).unwrap();
        Self {
            of: certificates(die).into_iter().nth(at).unwrap(),
            issuer: issuer(),
            hash: Hash::Sha384,
            says: Says::Good,
            from: "20260501000000Z",
            until: Some("20260701000000Z"),
            responder: issuer(),
            by_key: false,
            signed_by: issuer().key,
            brings: Vec::new(),
            critical: false,
        }
    }

    /// The same by the made-up responder.
    pub fn by_responder(die: u8, at: usize) -> Self {
        let (responder, brings) = (responder(), vec![responder().der()]);
        Self { signed_by: key(90), responder, brings, by_key: true, ..Self::on(die, at) }
    }

    pub fn der(&self) -> Vec<u8> {
        let id: &[u8] = match self.hash {
            Hash::Sha1 => &[6, 5, 0x2b, 0x0e, 3, 2, 0x1a],
            Hash::Sha256 => &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1],
            Hash::Sha384 => &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2],
            Hash::Sha512 => &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3],
        };
        let digest = |bytes: &[u8]| match self.hash {
            Hash::Sha1 => Sha1::digest(bytes).to_vec(),
            Hash::Sha256 => Sha256::digest(bytes).to_vec(),
            Hash::Sha384 | Hash::Sha512 => Sha384::digest(bytes).to_vec(),
        };
        let [name, bits] = self.issuer.name_and_key().map(|bytes| tlv(4, &digest(&bytes)));
        let of = sequence(&[&sequence(&[id, &[5, 0]]), &name, &bits, &self.of.serial()]);
        let status = match self.says {
            Says::Good => vec![0x80, 0],
            Says::Revoked => {
                let since = tlv(0x18, b"20260401000000Z");
                tlv(0xa1, &[&since[..], &tlv(0xa0, &[0x0a, 1, 1])].concat())
            }
            Says::Unknown => vec![0x82, 0],
        };
        let until = self.until.map_or(Vec::new(), |time| tlv(0xa0, &tlv(0x18, time.as_bytes())));
        let single = sequence(&[&of, &status, &tlv(0x18, self.from.as_bytes()), &until]);
        let [name, bits] = self.responder.name_and_key();
        let who = match self.by_key {
            true => tlv(0xa2, &tlv(4, &Sha1::digest(bits))),
            false => tlv(0xa1, &name),
        };
        let more = match self.critical {
            true => tlv(0xa1, &sequence(&[&extension(&[0x2a, 3, 4], true, &[5, 0])])),
            false => Vec::new(),
        };
        let produced = tlv(0x18, b"20260501000000Z");
        let data = sequence(&[&who, &produced, &sequence(&[&single]), &more]);
        let signature: DerSignature = self.signed_by.sign(&data);
        let brings = match self.brings.is_empty() {
            true => Vec::new(),
            false => tlv(0xa0, &tlv(0x30, &self.brings.concat())),
        };
        let signature = tlv(3, &[&[0], signature.as_bytes()].concat());
        let basic = sequence(&[&data, &ALGORITHM, &signature, &brings]);
        let kind = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
        sequence(&[&[0x0a, 1, 0], &tlv(0xa0, &sequence(&[&kind, &tlv(4, &basic)]))])
    }
}
