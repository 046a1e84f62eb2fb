//! A SEV-SNP ATTESTATION_REPORT, of versions 2 to 5.
//!
//! Guarantees: what the signature does not cover is zero, so no byte of a report that holds
//! can differ from what the processor gave.
//! Deliberately lacks: a check that reserved fields which are signed are zero: AMD gives them
//! meanings within a version.

use super::{Said, malformed};
use crate::bytes::Bytes;
use crate::chain::Certificate;
use crate::fault::{Code, Fault};
use der::Decode as _;
use der::oid::ObjectIdentifier as Oid;

/// Bytes of a report.
const REPORT_BYTES: usize = 1184;
/// Bytes that the signature covers: all before it.
const SIGNED_BYTES: usize = 0x2a0;
/// r and s are little-endian, 48 bytes in places of 72.
const PLACE_BYTES: usize = 72;
/// ECDSA over P-384 with SHA-384.
const ALGORITHM: u32 = 1;
/// The policy's bit that lets the host read and change the guest's memory.
const POLICY_DEBUG: u64 = 1 << 19;

/// Extensions of AMD's certificates of chips.
mod extension {
    use super::Oid;
    pub(super) const BOOT_LOADER: Oid = Oid::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
    pub(super) const TEE: Oid = Oid::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
    pub(super) const SNP: Oid = Oid::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
    pub(super) const MICROCODE: Oid = Oid::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
    /// From Turin on.
    pub(super) const FMC: Oid = Oid::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
    pub(super) const HARDWARE_ID: Oid = Oid::new_unwrap("1.3.6.1.4.1.3704.1.4");
}

/// Which of the processor's keys signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The chip's own, for its firmware's versions.
    Vcek,
    /// One that AMD gave the cloud's provider.
    Vlek,
}

impl Key {
    /// The name in its certificates.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Vcek => "SEV-VCEK",
            Self::Vlek => "SEV-VLEK",
        }
    }
}

/// A report that was parsed and not verified.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) said: Said,
    pub(super) key: Key,
    chip_id: [u8; 64],
    reported_tcb: [u8; 8],
    signed: Vec<u8>,
    /// r and s, big-endian.
    signature: [u8; 96],
}

impl Report {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() != REPORT_BYTES {
            let detail = format!("{} bytes; expected {REPORT_BYTES}", bytes.len());
            return Err(malformed(detail));
        }
        let mut from = Bytes::new(bytes, Code::QuoteMalformed);
        let version = from.u32("the version")?;
        if !(2..=5).contains(&version) {
            return Err(malformed(format!("expected version 2 to 5, got {version}")));
        }
        let _guest_svn = from.u32("GUEST_SVN")?;
        let policy = from.u64("POLICY")?;
        let _family_and_image = from.take(32, "FAMILY_ID and IMAGE_ID")?;
        let vmpl = from.u32("VMPL")?;
        match from.u32("SIGNATURE_ALGO")? {
            ALGORITHM => {}
            other => return Err(malformed(format!("expected algorithm {ALGORITHM}, got {other}"))),
        }
        let _current_tcb = from.u64("CURRENT_TCB")?;
        let _platform_info = from.u64("PLATFORM_INFO")?;
        let key = match (from.u32("the signing key")? >> 2) & 7 {
            0 => Key::Vcek,
            1 => Key::Vlek,
            7 => return Err(malformed("it is not signed")),
            other => return Err(malformed(format!("an unknown signing key, {other}"))),
        };
        let _reserved = from.u32("reserved")?;
        let report_data = from.array("REPORT_DATA")?;
        let measurement = from.array("MEASUREMENT")?;
        let _host_data_to_ids = from.take(0x180 - 0xc0, "HOST_DATA to REPORT_ID_MA")?;
        let reported_tcb = from.array("REPORTED_TCB")?;
        let _processor = from.take(0x1a0 - 0x188, "the processor's model")?;
        let chip_id: [u8; 64] = from.array("CHIP_ID")?;
        let _to_signature = from.take(SIGNED_BYTES - 0x1e0, "COMMITTED_TCB and what follows")?;
        let mut signature = [0; 96];
        for number in signature.chunks_exact_mut(48) {
            let place: [u8; PLACE_BYTES] = from.array("the signature")?;
            if place[48..].iter().any(|&byte| byte != 0) {
                return Err(malformed("a number of the signature is too large"));
            }
            number.copy_from_slice(&place[..48]);
            number.reverse();
        }
        if from.take(from.left(), "the end")?.iter().any(|&byte| byte != 0) {
            return Err(malformed("bytes follow the signature"));
        }
        let said = Said {
            report_data,
            measurement,
            registers: Vec::new(),
            is_debug: policy & POLICY_DEBUG != 0,
            chip: (chip_id != [0; 64]).then(|| chip_id.to_vec()),
            versions: format!("TCB {}, VMPL {vmpl}", hex::encode(reported_tcb)),
        };
        let signed = bytes[..SIGNED_BYTES].to_vec();
        Ok(Self { said, key, chip_id, reported_tcb, signed, signature })
    }

    /// That `leaf` is the certificate of this chip and these versions, and that its key signed.
    pub(super) fn check(&self, leaf: &Certificate) -> Result<(), Fault> {
        if let Some(differs) = self.differs(leaf) {
            return Err(Fault::new(Code::QuoteCertificate, differs));
        }
        match leaf.key().verify_fixed(&self.signed, &self.signature) {
            true => Ok(()),
            false => {
                let detail = "the chip's key did not sign this report";
                Err(Fault::new(Code::QuoteSignature, detail))
            }
        }
    }

    /// In what this report is of another chip or of other versions than `leaf`.
    pub(super) fn differs(&self, leaf: &Certificate) -> Option<String> {
        let own = self.key.name();
        if leaf.name() != own {
            return Some(format!("expected a certificate of {own}, got {:?}", leaf.name()));
        }
        let named = |id| leaf.extension(id).and_then(|value| u8::from_der(value).ok());
        use extension::{BOOT_LOADER, FMC, HARDWARE_ID, MICROCODE, SNP, TEE};
        let places: &[(usize, Oid, &str)] = match leaf.extension(FMC) {
            None => &[
                (0, BOOT_LOADER, "boot loader"),
                (1, TEE, "TEE"),
                (6, SNP, "SNP"),
                (7, MICROCODE, "microcode"),
            ],
            Some(_) => &[
                (0, FMC, "FMC"),
                (1, BOOT_LOADER, "boot loader"),
                (2, TEE, "TEE"),
                (3, SNP, "SNP"),
                (7, MICROCODE, "microcode"),
            ],
        };
        for &(at, id, what) in places {
            let reported = self.reported_tcb[at];
            match named(id) {
                Some(certified) if certified == reported => {}
                certified => {
                    let certified = certified.map_or("none".to_owned(), |it| it.to_string());
                    let text = format!("{what}: certified is {certified}, reported {reported}");
                    return Some(text);
                }
            }
        }
        if self.key == Key::Vlek {
            return None;
        }
        let certified = leaf.extension(HARDWARE_ID).map(unwrapped).unwrap_or_default();
        let (reported, rest) = self.chip_id.split_at(certified.len().min(64));
        let is_it = [8, 64].contains(&certified.len())
            && certified == reported
            && rest.iter().all(|&byte| byte == 0);
        (!is_it).then(|| {
            let (certified, reported) = (hex::encode(certified), hex::encode(self.chip_id));
            format!("the chip: certified is {certified:.32}, reported {reported:.32}")
        })
    }
}

/// An identity of 8 or 64 bytes, which some certificates have in an octet string.
fn unwrapped(value: &[u8]) -> &[u8] {
    match value {
        [4, 8, id @ ..] if id.len() == 8 => id,
        [4, 64, id @ ..] if id.len() == 64 => id,
        id => id,
    }
}
