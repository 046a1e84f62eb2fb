//! OCSP responses in DER, as RFC 6960 has them.
//!
//! Guarantees: what was parsed is DER to its last byte.
//! Deliberately lacks: any meaning; that is [`super::ocsp`]'s.

use der::asn1::{Any, BitString, GeneralizedTime, Null, ObjectIdentifier as Oid, OctetString};
use der::{Choice, Enumerated, Sequence};
use x509_cert::ext::Extensions;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;

#[derive(Sequence)]
pub(crate) struct OcspResponse {
    pub(crate) status: Status,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) bytes: Option<ResponseBytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub(crate) enum Status {
    Successful = 0,
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    SigRequired = 5,
    Unauthorized = 6,
}

#[derive(Sequence)]
pub(crate) struct ResponseBytes {
    pub(crate) kind: Oid,
    pub(crate) response: OctetString,
}

#[derive(Sequence)]
pub(crate) struct Basic {
    pub(crate) data: Data,
    pub(crate) algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: BitString,
    /// Of which a responder's certificate is one.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) certificates: Option<Vec<Any>>,
}

#[derive(Clone, Debug, Sequence)]
pub(crate) struct Data {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) version: Option<u8>,
    pub(crate) responder: Responder,
    pub(crate) produced: GeneralizedTime,
    pub(crate) responses: Vec<Single>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<Extensions>,
}

/// Who answers.
#[derive(Clone, Debug, Choice)]
pub(crate) enum Responder {
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", constructed = "true")]
    Name(Name),
    /// SHA-1 of the key's bits.
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    Key(OctetString),
}

/// What is said of one certificate.
#[derive(Clone, Debug, Sequence)]
pub(crate) struct Single {
    pub(crate) of: CertId,
    pub(crate) status: CertStatus,
    pub(crate) this_update: GeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) next_update: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<Extensions>,
}

#[derive(Clone, Debug, Sequence)]
pub(crate) struct CertId {
    pub(crate) hash: AlgorithmIdentifierOwned,
    pub(crate) issuer_name_hash: OctetString,
    pub(crate) issuer_key_hash: OctetString,
    pub(crate) serial: SerialNumber,
}

#[derive(Clone, Debug, Choice)]
pub(crate) enum CertStatus {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(Revoked),
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT")]
    Unknown(Null),
}

#[derive(Clone, Debug, Sequence)]
pub(crate) struct Revoked {
    pub(crate) since: GeneralizedTime,
    /// CRLReason.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) reason: Option<Any>,
}
