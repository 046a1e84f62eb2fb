//! Reports that devices sign, as a result carries them, and the nonce that binds each to its
//! lane's work.
//!
//! Guarantees: a report that was read has at most the bytes that it may have; the nonce
//! depends on the lane's last state, so no report can be asked for before the work is done.
//! Deliberately lacks: what is in a report. To the protocol it is bytes, and nothing that it
//! says can make a result verify.

use crate::digest::Digest;
use crate::names::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// Longest report, bytes.
pub const REPORT_BYTES_MAX: usize = 8192;
/// Longest chain of certificates, bytes of PEM.
pub const CERTIFICATES_BYTES_MAX: usize = 16 * 1024;
/// Most bytes that the reports add to a result, a lane.
pub(crate) const LANE_BYTES: u64 = 33 * 1024;

/// A lane's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceReport {
    /// g, from 0.
    pub lane: u32,
    /// What the device signed: for NVIDIA's, an SPDM 1.1 request and its response.
    pub report: Bytes<REPORT_BYTES_MAX>,
    /// Its certificates in PEM, its own first and the root last.
    pub certificates: Bytes<CERTIFICATES_BYTES_MAX>,
}

/// At most `MAX` bytes, written in Base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Bytes<MAX> {
    /// These bytes; `None` if they are too many.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX).then_some(Self(bytes))
    }
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Serialize for Bytes<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Bytes<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Text::<MAX>)
    }
}

struct Base64Text<const MAX: usize>;

impl<const MAX: usize> Visitor<'_> for Base64Text<MAX> {
    type Value = Bytes<MAX>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} bytes in Base64")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.len() > MAX.div_ceil(3) * 4 {
            return Err(E::invalid_length(text.len(), &self));
        }
        let bytes = STANDARD.decode(text).map_err(E::custom)?;
        let length = bytes.len();
        Bytes::new(bytes).ok_or_else(|| E::invalid_length(length, &self))
    }
}

/// What a lane's device is asked with: H("gpu-attest/v1/device-report\0" ‖ c ‖ be32(g) ‖
/// s(g,T)).
pub fn nonce(c: &Digest, lane: u32, last: &State) -> [u8; 32] {
    Digest::of(&[b"gpu-attest/v1/device-report\0", &c.0, &lane.to_be_bytes(), &last.0]).0
}

/// Whether `reports` are at most one for each of `lanes` lanes, ascending.
pub(crate) fn are_in_order(reports: &[DeviceReport], lanes: usize) -> bool {
    reports.windows(2).all(|pair| pair[0].lane < pair[1].lane)
        && reports.last().is_none_or(|last| (last.lane as usize) < lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nonce_is_that_of_the_text() {
        let own = nonce(&Digest([1; 32]), 2, &State([3; 32]));
        // sha256(b"gpu-attest/v1/device-report\0" + 32*b"\1" + b"\0\0\0\2" + 32*b"\3")
        assert_eq!(
            hex::encode(own),
            "0b60eb4665eb914078051127d3b9b6667ec8442c02505093745fadc0d7143127"
        );
        let lanes = [0, 1].map(|lane| nonce(&Digest([1; 32]), lane, &State([3; 32])));
        assert_ne!(lanes[0], lanes[1]);
    }

    #[test]
    fn bytes_are_bounded_canonical_base64() {
        let read = |text: &str| serde_json::from_str::<Bytes<4>>(&format!("{text:?}"));
        assert_eq!(read("AAECAw==").unwrap().as_slice(), [0, 1, 2, 3]);
        for broken in ["AAECAwQ=", "AAECAx==", "AAECAw", "AA\n==", "AAECAwQFBgc=", "_w=="] {
            assert!(read(broken).is_err(), "{broken}");
        }
        assert!(Bytes::<4>::new(vec![0; 5]).is_none());
        let whole = STANDARD.encode(vec![0; REPORT_BYTES_MAX]).len()
            + STANDARD.encode(vec![0; CERTIFICATES_BYTES_MAX]).len();
        assert!(whole as u64 + 100 < LANE_BYTES);
    }
}
