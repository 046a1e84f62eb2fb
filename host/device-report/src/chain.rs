//! X.509 certificate chains to a root that the caller trusts.
//!
//! Guarantees: a chain that verifies consists of certificates with its maker's algorithms only,
//! each valid at the time given and signed by the next with a key that may sign certificates,
//! and ends, byte for byte, in a trusted root; no critical extension is passed over.
//! Deliberately lacks: name constraints and policies, which the makers' certificates do not
//! have: as critical extensions they are refused.

use crate::fault::{Code, Fault};
use crate::keys::{Algorithm, Maker, PublicKey};
use crate::pem::ders_of;
use crate::verify::Trust;
use der::oid::ObjectIdentifier as Oid;
use der::{Decode, Encode, Reader, SliceReader};
use sha2::{Digest as _, Sha256};
use x509_cert::Version;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

/// Most certificates of a chain.
pub const CERTIFICATES_MAX: usize = 8;
/// Fewest: the attestation key's, its die's, and the root.
const CERTIFICATES_MIN: usize = 3;
/// Longest certificate, bytes.
const CERTIFICATE_BYTES_MAX: usize = 4096;

/// "NVIDIA Device Identity CA", in DER: what devices' chains end in.
pub const NVIDIA_DEVICE_ROOT: &[u8] = include_bytes!("nvidia-device-root.der");
/// "NVIDIA CoRIM signing Root CA", in DER: what the chains of reference manifests end in.
pub const NVIDIA_RIM_ROOT: &[u8] = include_bytes!("nvidia-rim-root.der");

const KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.15");
const SUBJECT_ALT_NAME: Oid = Oid::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: Oid = Oid::new_unwrap("2.5.29.19");
const SUBJECT_KEY_ID: Oid = Oid::new_unwrap("2.5.29.14");
const AUTHORITY_KEY_ID: Oid = Oid::new_unwrap("2.5.29.35");
/// tcg-dice-TcbInfo's sibling: the public key and the FWID of a DICE layer.
const DICE_FWID: Oid = Oid::new_unwrap("2.23.133.5.4.1");
const SHA384: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.2");
/// DMTF's device information: "maker:product:serial".
const DMTF_DEVICE_INFO: Oid = Oid::new_unwrap("1.3.6.1.4.1.412.274.1");
const EXTENDED_KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.37");
const OCSP_SIGNING: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.9");
const COMMON_NAME: Oid = Oid::new_unwrap("2.5.4.3");

/// What a chain's first key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Signing a device's reports: its certificate also names firmware.
    Device,
    /// Signing reference manifests.
    Rim,
    /// Signing a machine's quotes. AMD's certificates of chips say nothing of their keys' use.
    Machine,
}

/// What a certificate's extended key usage says.
#[derive(Clone, Debug)]
struct ExtendedUse {
    critical: bool,
    ocsp_signing: bool,
}

/// One certificate, parsed.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Vec<u8>,
    parsed: x509_cert::Certificate,
    key: PublicKey,
    algorithm: Algorithm,
    usage: Option<KeyUsage>,
    extended: Option<ExtendedUse>,
    constraints: Option<BasicConstraints>,
    key_id: Option<Vec<u8>>,
    issuer_key_id: Option<Vec<u8>>,
    fwid: Option<Vec<u8>>,
    device_info: Option<String>,
}

impl Certificate {
    /// Parses one of NVIDIA's in DER.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn from_der(der: &[u8]) -> Result<Self, Fault> {
        Self::of(Maker::Nvidia, der)
    }

    /// Parses one of `maker`'s in DER.
    ///
    /// # Errors
    /// `chain-malformed`, `chain-algorithm` or `chain-extension`.
    pub fn of(maker: Maker, der: &[u8]) -> Result<Self, Fault> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(malformed(format!("a certificate of {} bytes", der.len())));
        }
        let parsed = x509_cert::Certificate::from_der(der)
            .map_err(|error| malformed(format!("not a certificate: {error}")))?;
        let tbs = first_element(der).ok_or_else(|| malformed("not a certificate"))?;
        let fields = parsed.tbs_certificate();
        if fields.version() != Version::V3 {
            return Err(malformed("expected version 3"));
        }
        // The signature covers the one, and not the other.
        let is_one = fields.signature() == parsed.signature_algorithm();
        let algorithm = Algorithm::of(fields.signature()).filter(|_| is_one);
        let key = PublicKey::of(fields.subject_public_key_info());
        maker.check(algorithm, key.as_ref())?;
        let (Some(algorithm), Some(key)) = (algorithm, key) else {
            return Err(Fault::new(Code::ChainAlgorithm, "not a known algorithm"));
        };
        let mut certificate = Self {
            der: der.to_vec(),
            tbs: tbs.to_vec(),
            key,
            algorithm,
            usage: None,
            extended: None,
            constraints: None,
            key_id: None,
            issuer_key_id: None,
            fwid: None,
            device_info: None,
            parsed,
        };
        certificate.read_extensions()?;
        Ok(certificate)
    }

    fn read_extensions(&mut self) -> Result<(), Fault> {
        let extensions = self.parsed.tbs_certificate().extensions().cloned().unwrap_or_default();
        let mut seen = Vec::new();
        for extension in &extensions {
            let (id, value) = (extension.extn_id, extension.extn_value.as_bytes());
            if seen.contains(&id) {
                return Err(Fault::new(Code::ChainExtension, format!("{id} occurs twice")));
            }
            seen.push(id);
            let wrong = || malformed(format!("extension {id} is malformed"));
            match id {
                KEY_USAGE => self.usage = Some(KeyUsage::from_der(value).map_err(|_| wrong())?),
                BASIC_CONSTRAINTS => {
                    let constraints = BasicConstraints::from_der(value).map_err(|_| wrong())?;
                    self.constraints = Some(constraints);
                }
                SUBJECT_KEY_ID => {
                    use x509_cert::ext::pkix::SubjectKeyIdentifier as Id;
                    let key_id = Id::from_der(value).map_err(|_| wrong())?;
                    self.key_id = Some(key_id.0.as_bytes().to_vec());
                }
                AUTHORITY_KEY_ID => {
                    use x509_cert::ext::pkix::AuthorityKeyIdentifier as Id;
                    let key_id = Id::from_der(value).map_err(|_| wrong())?.key_identifier;
                    self.issuer_key_id = key_id.map(|id| id.as_bytes().to_vec());
                }
                EXTENDED_KEY_USAGE => {
                    let uses = ExtendedKeyUsage::from_der(value).map_err(|_| wrong())?;
                    let (critical, ocsp_signing) =
                        (extension.critical, uses.0.contains(&OCSP_SIGNING));
                    self.extended = Some(ExtendedUse { critical, ocsp_signing });
                }
                SUBJECT_ALT_NAME => self.device_info = device_info(value),
                DICE_FWID => {
                    let (key, fwid) = dice(value).ok_or_else(wrong)?;
                    if key.is_empty() {
                        return Err(wrong());
                    }
                    self.fwid = Some(fwid);
                }
                _ => {
                    if extension.critical {
                        let detail = format!("critical and unknown: {id}");
                        return Err(Fault::new(Code::ChainExtension, detail));
                    }
                }
            }
        }
        Ok(())
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
    /// Its public key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
    /// The value of its extension `id`, if it has one.
    pub(crate) fn extension(&self, id: Oid) -> Option<&[u8]> {
        let extensions = self.parsed.tbs_certificate().extensions()?;
        let found = extensions.iter().find(|extension| extension.extn_id == id)?;
        Some(found.extn_value.as_bytes())
    }
    /// Whether its issuer has the name of `other`'s subject.
    pub(crate) fn names_issuer(&self, other: &Self) -> bool {
        self.parsed.tbs_certificate().issuer() == other.parsed.tbs_certificate().subject()
    }
    /// SHA-384 of the firmware that its key belongs to, if it names any.
    pub fn fwid(&self) -> Option<&[u8]> {
        self.fwid.as_deref()
    }
    /// Its serial number, in hexadecimal.
    pub fn serial(&self) -> String {
        hex::encode(self.parsed.tbs_certificate().serial_number().as_bytes())
    }
    /// SHA-256 of its public key, as the certificate has it, in hexadecimal.
    pub fn key_digest(&self) -> String {
        let info = self.parsed.tbs_certificate().subject_public_key_info();
        hex::encode(Sha256::digest(info.to_der().unwrap_or_default()))
    }
    /// Its subject's common name; empty if it has none.
    pub fn name(&self) -> String {
        let subject = self.parsed.tbs_certificate().subject();
        let names = subject.iter().filter(|part| part.oid == COMMON_NAME);
        let name =
            names.last().map(|part| String::from_utf8_lossy(part.value.value()).into_owned());
        name.unwrap_or_default().chars().filter(|c| (' '..='~').contains(c)).take(64).collect()
    }

    pub(crate) fn named(&self) -> String {
        format!("certificate {:?}", self.name())
    }

    /// The name of whom it is of.
    pub(crate) fn subject(&self) -> &x509_cert::name::Name {
        self.parsed.tbs_certificate().subject()
    }
    /// Its serial number.
    pub(crate) fn serial_number(&self) -> &x509_cert::serial_number::SerialNumber {
        self.parsed.tbs_certificate().serial_number()
    }
    /// Its public key's bits, as digests of keys are made of.
    pub(crate) fn key_bits(&self) -> &[u8] {
        let info = self.parsed.tbs_certificate().subject_public_key_info();
        info.subject_public_key.raw_bytes()
    }
    /// Whether it allows signing what is said of its issuer's certificates.
    pub(crate) fn may_sign_ocsp(&self) -> bool {
        let may_sign = self.usage.as_ref().is_none_or(KeyUsage::digital_signature);
        may_sign && self.extended.as_ref().is_some_and(|uses| uses.ocsp_signing)
    }

    pub(crate) fn check_validity(&self, at_unix_s: u64) -> Result<(), Fault> {
        let validity = self.parsed.tbs_certificate().validity();
        let from_s = validity.not_before.to_unix_duration().as_secs();
        let until_s = validity.not_after.to_unix_duration().as_secs();
        match (from_s..=until_s).contains(&at_unix_s) {
            true => Ok(()),
            false => Err(Fault::new(
                Code::ChainValidity,
                format!(
                    "{} is valid from {} until {}, and not {at_unix_s} s after 1970",
                    self.named(),
                    validity.not_before,
                    validity.not_after
                ),
            )),
        }
    }

    /// That it may sign certificates, `below` of which lie between it and the first.
    fn check_is_ca(&self, below: usize) -> Result<(), Fault> {
        let constraints = self.constraints.as_ref().filter(|constraints| constraints.ca);
        let Some(constraints) = constraints else {
            return Err(Fault::new(Code::ChainNotCa, format!("{} is no CA's", self.named())));
        };
        if constraints.path_len_constraint.is_some_and(|most| below > usize::from(most)) {
            let detail = format!("{} has {below} CAs below it", self.named());
            return Err(Fault::new(Code::ChainPathLength, detail));
        }
        self.check_usage("certificate signing", KeyUsage::key_cert_sign)
    }

    fn check_usage(&self, what: &str, allows: fn(&KeyUsage) -> bool) -> Result<(), Fault> {
        match self.usage.as_ref().is_some_and(allows) {
            true => Ok(()),
            false => Err(Fault::new(
                Code::ChainKeyUsage,
                format!("{} does not allow {what}", self.named()),
            )),
        }
    }

    pub(crate) fn check_issued_by(&self, issuer: &Self) -> Result<(), Fault> {
        let (own, its) = (self.parsed.tbs_certificate(), issuer.parsed.tbs_certificate());
        let keys_differ =
            self.issuer_key_id.as_ref().zip(issuer.key_id.as_ref()).is_some_and(|(a, b)| a != b);
        if own.issuer() != its.subject() || keys_differ {
            let detail = format!("{} was not issued by {:?}", self.named(), issuer.name());
            return Err(Fault::new(Code::ChainIssuer, detail));
        }
        let signature = self.parsed.signature().as_bytes().unwrap_or_default();
        match issuer.key.verify_der(self.algorithm, &self.tbs, signature) {
            true => Ok(()),
            false => {
                let detail = format!("{:?} did not sign {}", issuer.name(), self.named());
                Err(Fault::new(Code::ChainSignature, detail))
            }
        }
    }
}

/// Certificates, each followed by its issuer's.
#[derive(Clone, Debug)]
pub struct Chain {
    certificates: Vec<Certificate>,
}

impl Chain {
    /// Parses a chain of NVIDIA's in PEM, the first key's certificate first and the root last.
    ///
    /// # Errors
    /// `chain-too-large`, `chain-malformed`, `chain-length`, or what is wrong with a
    /// certificate.
    pub fn parse(pem: &[u8]) -> Result<Self, Fault> {
        Self::from_ders(&ders_of(pem)?)
    }

    /// Of certificates of NVIDIA's in DER.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_ders(ders: &[Vec<u8>]) -> Result<Self, Fault> {
        Self::of(Maker::Nvidia, ders)
    }

    /// Of certificates of `maker`'s in DER.
    ///
    /// # Errors
    /// `chain-length`, or what is wrong with a certificate.
    pub fn of(maker: Maker, ders: &[Vec<u8>]) -> Result<Self, Fault> {
        if !(CERTIFICATES_MIN..=CERTIFICATES_MAX).contains(&ders.len()) {
            let detail = format!(
                "{} certificates; expected {CERTIFICATES_MIN} to {CERTIFICATES_MAX}",
                ders.len()
            );
            return Err(Fault::new(Code::ChainLength, detail));
        }
        let certificates = ders.iter().map(|der| Certificate::of(maker, der));
        Ok(Self { certificates: certificates.collect::<Result<_, _>>()? })
    }

    /// The certificates, the first key's first.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The family that the first certificate names, such as "GH100".
    pub fn family(&self) -> Option<&str> {
        self.certificates[0].device_info.as_deref()?.split(':').nth(1)
    }

    /// Verifies the chain.
    ///
    /// # Errors
    /// The first check that fails: the root, then from it downwards validity, rights to sign,
    /// issuer and signature of each certificate, and the first key's use.
    pub fn verify(&self, first: Use, trust: &Trust<'_>) -> Result<(), Fault> {
        let (root, below) = self.certificates.split_last().expect("a chain has certificates");
        if !trust.roots.contains(&root.der()) {
            let detail = format!("{} is not a trusted root", root.named());
            return Err(Fault::new(Code::ChainRoot, detail));
        }
        root.check_validity(trust.at_unix_s)?;
        root.check_is_ca(below.len().saturating_sub(1))?;
        for at in (0..below.len()).rev() {
            let (own, issuer) = (&self.certificates[at], &self.certificates[at + 1]);
            own.check_validity(trust.at_unix_s)?;
            if at > 0 {
                own.check_is_ca(at - 1)?;
            }
            own.check_issued_by(issuer)?;
        }
        let leaf = &self.certificates[0];
        if leaf.constraints.as_ref().is_some_and(|constraints| constraints.ca) {
            let detail = format!("{} is a CA's and signs no reports", leaf.named());
            return Err(Fault::new(Code::ChainKeyUsage, detail));
        }
        if first != Use::Machine || leaf.usage.is_some() {
            leaf.check_usage("signatures", KeyUsage::digital_signature)?;
        }
        // Nothing here has a use for which a critical one would be made.
        let is_for_else = |certificate: &&Certificate| {
            certificate.extended.as_ref().is_some_and(|uses| uses.critical)
        };
        if let Some(other) = self.certificates.iter().find(is_for_else) {
            let detail = format!("{} has a critical extended key usage", other.named());
            return Err(Fault::new(Code::ChainExtension, detail));
        }
        // Firmware of an attestation key is named by the certificate of that key alone.
        let names_firmware = |certificate: &Certificate| certificate.fwid.is_some();
        if first == Use::Device && self.certificates[1..].iter().any(names_firmware) {
            let detail = "a certificate above the device's own names firmware";
            return Err(Fault::new(Code::ChainExtension, detail));
        }
        Ok(())
    }
}

fn malformed(detail: impl AsRef<str>) -> Fault {
    Fault::new(Code::ChainMalformed, detail)
}

/// The first element of a DER sequence, with its header.
pub(crate) fn first_element(der: &[u8]) -> Option<&[u8]> {
    let mut outer = SliceReader::new(der).ok()?;
    let header = der::Header::decode(&mut outer).ok()?;
    let content = outer.read_slice(header.length()).ok()?;
    let mut inner = SliceReader::new(content).ok()?;
    inner.tlv_bytes().ok()
}

#[derive(der::Sequence)]
struct Dice {
    version: u8,
    key: x509_cert::SubjectPublicKeyInfo,
    fwid: Fwid,
}

#[derive(der::Sequence)]
struct Fwid {
    algorithm: Oid,
    digest: der::asn1::OctetString,
}

/// Public key and SHA-384 FWID of a DICE layer.
fn dice(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let dice = Dice::from_der(value).ok()?;
    let digest = dice.fwid.digest.as_bytes().to_vec();
    let fits = dice.version == 1 && dice.fwid.algorithm == SHA384 && digest.len() == 48;
    fits.then(|| (dice.key.subject_public_key.raw_bytes().to_vec(), digest))
}

/// DMTF's "maker:product:serial" among alternative names.
fn device_info(value: &[u8]) -> Option<String> {
    use x509_cert::ext::pkix::SubjectAltName;
    use x509_cert::ext::pkix::name::GeneralName;
    let names = SubjectAltName::from_der(value).ok()?;
    names.0.iter().find_map(|name| match name {
        GeneralName::OtherName(other) if other.type_id == DMTF_DEVICE_INFO => {
            let text = other.value.decode_as::<der::asn1::Utf8StringRef<'_>>().ok()?;
            let text = text.as_str();
            text.bytes().all(|b| b.is_ascii_graphic()).then(|| text.to_owned())
        }
        _ => None,
    })
}
