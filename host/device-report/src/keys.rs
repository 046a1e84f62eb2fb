//! Public keys of certificates, and what they verify.
//!
//! Guarantees: a signature counts under the algorithm that its certificate names and for a key
//! of that algorithm's kind, and for no other.
//! Deliberately lacks: secret keys.

use crate::fault::{Code, Fault};
use der::oid::ObjectIdentifier as Oid;
use p384::ecdsa::{DerSignature, Signature, VerifyingKey, signature::Verifier as _};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey,
};
use x509_cert::SubjectPublicKeyInfo;
use x509_cert::spki::AlgorithmIdentifierOwned;

const ECDSA_WITH_SHA256: Oid = Oid::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: Oid = Oid::new_unwrap("1.2.840.10045.4.3.3");
const RSASSA_PSS: Oid = Oid::new_unwrap("1.2.840.113549.1.1.10");
const EC_PUBLIC_KEY: Oid = Oid::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: Oid = Oid::new_unwrap("1.2.840.113549.1.1.1");
const SECP256R1: Oid = Oid::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: Oid = Oid::new_unwrap("1.3.132.0.34");

/// RSASSA-PSS-params of SHA-384, MGF1 with SHA-384 and 48 bytes of salt, without their header;
/// the trailer, 1, may be written out or left to its default.
const PSS_SHA384: &[u8] = &[
    0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05,
    0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2,
    0x03, 0x02, 0x01, 0x30,
];
const PSS_TRAILER: &[u8] = &[0xa3, 0x03, 0x02, 0x01, 0x01];

/// How a certificate is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Over P-256.
    EcdsaSha256,
    /// Over P-384.
    EcdsaSha384,
    /// RSASSA-PSS with MGF1 of the same hash and a salt of its length.
    RsaPssSha384,
}

impl Algorithm {
    /// The one that is named; `None` for any other, and for other parameters.
    pub(crate) fn of(named: &AlgorithmIdentifierOwned) -> Option<Self> {
        match (named.oid, &named.parameters) {
            (ECDSA_WITH_SHA256, None) => Some(Self::EcdsaSha256),
            (ECDSA_WITH_SHA384, None) => Some(Self::EcdsaSha384),
            (RSASSA_PSS, Some(parameters)) => {
                let after = parameters.value().strip_prefix(PSS_SHA384)?;
                (after.is_empty() || after == PSS_TRAILER).then_some(Self::RsaPssSha384)
            }
            _ => None,
        }
    }
}

/// Whose certificates they are: which algorithms count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// ECDSA with SHA-384 over P-384.
    Nvidia,
    /// RSASSA-PSS with SHA-384; the keys are of RSA, those of chips of P-384.
    Amd,
    /// ECDSA with SHA-256 over P-256.
    Intel,
}

impl Maker {
    pub(crate) fn check(
        self,
        algorithm: Option<Algorithm>,
        key: Option<&PublicKey>,
    ) -> Result<(), Fault> {
        let (signed, keyed, signs, keys) = match self {
            Self::Nvidia => (
                algorithm == Some(Algorithm::EcdsaSha384),
                matches!(key, Some(PublicKey::P384(_))),
                "ECDSA with SHA-384",
                "P-384",
            ),
            Self::Amd => (
                algorithm == Some(Algorithm::RsaPssSha384),
                matches!(key, Some(PublicKey::Rsa(_) | PublicKey::P384(_))),
                "RSASSA-PSS with SHA-384",
                "RSA or P-384",
            ),
            Self::Intel => (
                algorithm == Some(Algorithm::EcdsaSha256),
                matches!(key, Some(PublicKey::P256(_))),
                "ECDSA with SHA-256",
                "P-256",
            ),
        };
        let detail = match (signed, keyed) {
            (true, true) => return Ok(()),
            (false, _) => format!("not signed by {signs}"),
            (true, false) => format!("not a key of {keys}"),
        };
        Err(Fault::new(Code::ChainAlgorithm, detail))
    }
}

/// A key of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// An uncompressed point of P-256.
    P256(Vec<u8>),
    /// Of P-384.
    P384(VerifyingKey),
    /// An RSAPublicKey in DER.
    Rsa(Vec<u8>),
}

impl PublicKey {
    /// The one in a certificate; `None` if it is of no known kind.
    pub(crate) fn of(info: &SubjectPublicKeyInfo) -> Option<Self> {
        let bytes = info.subject_public_key.raw_bytes();
        match info.algorithm.oid {
            RSA_ENCRYPTION => Some(Self::Rsa(bytes.to_vec())),
            EC_PUBLIC_KEY => match info.algorithm.parameters.as_ref()?.decode_as().ok()? {
                SECP384R1 => VerifyingKey::from_sec1_bytes(bytes).ok().map(Self::P384),
                SECP256R1 => (bytes.len() == 65).then(|| Self::P256(bytes.to_vec())),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether this key made `signature` of `message`, in the form that certificates have.
    pub fn verify_der(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::P384(key), Algorithm::EcdsaSha384) => DerSignature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (Self::P256(point), Algorithm::EcdsaSha256) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
                key.verify(message, signature).is_ok()
            }
            (Self::Rsa(key), Algorithm::RsaPssSha384) => {
                let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, key);
                key.verify(message, signature).is_ok()
            }
            _ => false,
        }
    }

    /// Whether this key made `signature` of `message`: r and s, big-endian and of fixed width,
    /// with the hash of the curve's own length. Never of an RSA key.
    pub fn verify_fixed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P384(key) => Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::P256(point) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, signature).is_ok()
            }
            Self::Rsa(_) => false,
        }
    }
}
