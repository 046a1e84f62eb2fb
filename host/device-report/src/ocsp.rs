//! Revocation: what the issuers of a device's certificates say of them, in OCSP responses
//! (RFC 6960) that are handed in.
//!
//! Guarantees: a response counts for a certificate only if it names the certificate by its
//! issuer's name and key and its serial number, holds at the time given, and is signed by a CA
//! of the certificate's own chain above it, or by a responder that such a CA named; one that
//! says "revoked" outweighs all others, also when it has run out.
//! Deliberately lacks: fetching, and the nonce of a request: responses are files, and their
//! times say how fresh they are.

use crate::chain::{Certificate, Chain, first_element};
use crate::fault::{Code, Fault};
use crate::keys::Algorithm;
use crate::ocsp_form::{Basic, CertStatus, Data, OcspResponse, Responder, Single, Status};
use crate::verify::Trust;
use der::oid::ObjectIdentifier as Oid;
use der::{Decode as _, Encode as _};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384};
use x509_cert::ext::Extensions;

/// Longest response, bytes.
pub const OCSP_BYTES_MAX: usize = 32 * 1024;
/// Most certificates that one response may be about, and that it may bring.
const PARTS_MAX: usize = 16;

const BASIC: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const SHA1: Oid = Oid::new_unwrap("1.3.14.3.2.26");
const SHA256: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.2");

/// A response that was parsed; its signature is checked for each certificate that it is
/// about.
#[derive(Clone, Debug)]
pub struct Response {
    data: Data,
    signed: Vec<u8>,
    signature: Vec<u8>,
    certificates: Vec<Vec<u8>>,
}

/// What is known of a chain's revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Their issuers say of all certificates between the device's own and the root that they
    /// are good.
    Good,
    /// Of some nothing is known; why, of the first.
    Unknown(String),
}

fn malformed(detail: impl AsRef<str>) -> Fault {
    Fault::new(Code::OcspMalformed, detail)
}

impl Response {
    /// Parses a response in DER.
    ///
    /// # Errors
    /// `ocsp-too-large`, `ocsp-status` or `ocsp-malformed`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > OCSP_BYTES_MAX {
            let detail = format!("{} bytes; at most {OCSP_BYTES_MAX}", bytes.len());
            return Err(Fault::new(Code::OcspTooLarge, detail));
        }
        let wrong = |error: der::Error| malformed(format!("not an OCSP response: {error}"));
        let outer = OcspResponse::from_der(bytes).map_err(wrong)?;
        if outer.status != Status::Successful {
            return Err(Fault::new(Code::OcspStatus, format!("the answer is {:?}", outer.status)));
        }
        let inner = outer.bytes.filter(|bytes| bytes.kind == BASIC);
        let inner = inner.ok_or_else(|| malformed("expected a basic response"))?;
        let inner = inner.response.as_bytes();
        let basic = Basic::from_der(inner).map_err(wrong)?;
        let signed = first_element(inner).ok_or_else(|| malformed("expected signed data"))?;
        if Algorithm::of(&basic.algorithm) != Some(Algorithm::EcdsaSha384) {
            return Err(malformed("not signed by ECDSA with SHA-384"));
        }
        let certificates = basic.certificates.unwrap_or_default();
        let (said, brought) = (basic.data.responses.len(), certificates.len());
        if said == 0 || said > PARTS_MAX || brought > PARTS_MAX || basic.data.version.is_some() {
            return Err(malformed(format!("{said} answers, {brought} certificates")));
        }
        let singles = basic.data.responses.iter().map(|single| &single.extensions);
        if singles.chain([&basic.data.extensions]).any(has_critical) {
            return Err(malformed("an extension is critical"));
        }
        let certificates = certificates.iter().map(|any| any.to_der().map_err(wrong));
        Ok(Self {
            signed: signed.to_vec(),
            signature: basic.signature.as_bytes().unwrap_or_default().to_vec(),
            certificates: certificates.collect::<Result<_, _>>()?,
            data: basic.data,
        })
    }

    /// The answers on a certificate of this issuer.
    fn on<'a>(
        &'a self,
        own: &'a Certificate,
        issuer: &'a Certificate,
    ) -> impl Iterator<Item = &'a Single> {
        self.data.responses.iter().filter(move |single| names(single, own, issuer))
    }

    /// That it is signed by one of `above`, the first of them the issuer's, or by a responder
    /// whose certificate one of them signed.
    fn check_signed(&self, above: &[Certificate], at_unix_s: u64) -> Result<(), Fault> {
        if let Some(issuer) = above.iter().find(|issuer| self.is_by(issuer)) {
            return self.check_signature(issuer);
        }
        let brought = self.certificates.iter().filter_map(|der| Certificate::from_der(der).ok());
        let Some(responder) = brought.into_iter().find(|brought| self.is_by(brought)) else {
            let detail =
                "the responder is no CA of the chain, and brings no certificate of its own";
            return Err(Fault::new(Code::OcspResponder, detail));
        };
        if !above.iter().any(|issuer| responder.check_issued_by(issuer).is_ok()) {
            let detail = format!("no CA of the chain issued the responder's {}", responder.named());
            return Err(Fault::new(Code::OcspResponder, detail));
        }
        responder
            .check_validity(at_unix_s)
            .map_err(|fault| Fault { code: Code::OcspTime, ..fault })?;
        if !responder.may_sign_ocsp() {
            let detail = format!("{} is not for signing responses", responder.named());
            return Err(Fault::new(Code::OcspKeyUsage, detail));
        }
        self.check_signature(&responder)
    }

    /// Whether it names this certificate's key as the one that signs.
    fn is_by(&self, signer: &Certificate) -> bool {
        match &self.data.responder {
            Responder::Name(name) => name == signer.subject(),
            Responder::Key(digest) => {
                digest.as_bytes() == Sha1::digest(signer.key_bits()).as_slice()
            }
        }
    }

    fn check_signature(&self, signer: &Certificate) -> Result<(), Fault> {
        match signer.key().verify_der(Algorithm::EcdsaSha384, &self.signed, &self.signature) {
            true => Ok(()),
            false => {
                let detail = format!("the responder {:?} did not sign this", signer.name());
                Err(Fault::new(Code::OcspSignature, detail))
            }
        }
    }
}

fn has_critical(extensions: &Option<Extensions>) -> bool {
    extensions.iter().flatten().any(|extension| extension.critical)
}

/// Whether it is about this certificate.
fn names(single: &Single, own: &Certificate, issuer: &Certificate) -> bool {
    fn digests<D: Digest>(name: &[u8], key: &[u8]) -> [Vec<u8>; 2] {
        [name, key].map(|bytes| D::digest(bytes).to_vec())
    }
    if single.of.serial != *own.serial_number() {
        return false;
    }
    let (name, key) = (issuer.subject().to_der().unwrap_or_default(), issuer.key_bits());
    let [name, key] = match single.of.hash.oid {
        SHA1 => digests::<Sha1>(&name, key),
        SHA256 => digests::<Sha256>(&name, key),
        SHA384 => digests::<Sha384>(&name, key),
        _ => return false,
    };
    name == single.of.issuer_name_hash.as_bytes() && key == single.of.issuer_key_hash.as_bytes()
}

fn check_time(single: &Single, at_unix_s: u64) -> Result<(), Fault> {
    let from_s = single.this_update.to_unix_duration().as_secs();
    let Some(until_s) = single.next_update.map(|time| time.to_unix_duration().as_secs()) else {
        return Err(Fault::new(Code::OcspTime, "the response does not say until when it holds"));
    };
    match (from_s..=until_s).contains(&at_unix_s) {
        true => Ok(()),
        false => Err(Fault::new(
            Code::OcspTime,
            format!("it holds from {from_s} until {until_s}, and not {at_unix_s} s after 1970"),
        )),
    }
}

/// The responses that a verifier has.
#[derive(Clone, Debug, Default)]
pub struct Ocsp {
    all: Vec<Response>,
}

impl Ocsp {
    /// A collection of these.
    pub fn new(all: Vec<Response>) -> Self {
        Self { all }
    }

    /// What its responses say of a chain that verified, at the time of `trust`. They are asked
    /// about each certificate but the root, which nobody answers for, and the device's own,
    /// which the device made: of that one a "revoked" counts if there is one.
    ///
    /// # Errors
    /// `ocsp-revoked`.
    pub fn standing(&self, chain: &Chain, trust: &Trust<'_>) -> Result<Standing, Fault> {
        let all = chain.certificates();
        let mut standing = Standing::Good;
        for at in 0..all.len() - 1 {
            match self.on(&all[at], &all[at + 1..], trust.at_unix_s) {
                Err(fault) if fault.code == Code::OcspRevoked => return Err(fault),
                Err(fault) if at > 0 && standing == Standing::Good => {
                    standing = Standing::Unknown(format!(
                        "{}: {}: {}",
                        all[at].named(),
                        fault.code.name(),
                        fault.detail
                    ));
                }
                Err(_) | Ok(()) => {}
            }
        }
        Ok(standing)
    }

    /// That a certificate with these CAs above it is good.
    fn on(&self, own: &Certificate, above: &[Certificate], at_unix_s: u64) -> Result<(), Fault> {
        let mut verdict = Err(Fault::new(Code::OcspMissing, "no response is about it"));
        for response in &self.all {
            for single in response.on(own, &above[0]) {
                let fresh = match single.status {
                    CertStatus::Revoked(_) => Ok(()),
                    CertStatus::Good(_) | CertStatus::Unknown(_) => check_time(single, at_unix_s),
                };
                let held = fresh
                    .and_then(|()| response.check_signed(above, at_unix_s))
                    .and_then(|()| said(single, own));
                match held {
                    Err(fault) if fault.code == Code::OcspRevoked => return Err(fault),
                    Ok(()) => verdict = Ok(()),
                    Err(fault) if verdict.is_err() => verdict = Err(fault),
                    Err(_) => {}
                }
            }
        }
        verdict
    }
}

/// What an answer that holds says.
fn said(single: &Single, own: &Certificate) -> Result<(), Fault> {
    match &single.status {
        CertStatus::Good(_) => Ok(()),
        CertStatus::Unknown(_) => {
            Err(Fault::new(Code::OcspUnknown, "the responder does not know the certificate"))
        }
        CertStatus::Revoked(revoked) => {
            let since_s = revoked.since.to_unix_duration().as_secs();
            let reason = revoked.reason.as_ref().and_then(|any| any.value().first().copied());
            let reason = reason.map(|reason| format!(", reason {reason}")).unwrap_or_default();
            let detail = format!("{} is revoked since {since_s} s after 1970{reason}", own.named());
            Err(Fault::new(Code::OcspRevoked, detail))
        }
    }
}
