//! The quote of the virtual machine that a miner runs in, as a result carries it, and the
//! REPORT_DATA that binds it to the whole result.
//!
//! Guarantees: a quote that was read has at most the bytes that it may have; REPORT_DATA
//! depends on the commitment and on the devices' reports, so no quote can be asked for before
//! all lanes' work is done, and none fits other reports of devices.
//! Deliberately lacks: what is in a quote. To the protocol it is bytes, and nothing that it
//! says can make a result verify.

use crate::device_report::{Bytes, DeviceReport};
use crate::digest::Digest;
use crate::names::Commitment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

/// Longest quote, bytes.
pub const QUOTE_BYTES_MAX: usize = 64 * 1024;
/// Longest auxiliary data, bytes.
pub const AUXILIARY_BYTES_MAX: usize = 64 * 1024;
/// Most bytes that it adds to a result.
pub(crate) const REPORT_BYTES: u64 = 172 * 1024;

/// Whose confidential computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MachineKind {
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

/// What the machine's processor signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineReport {
    /// What the quote is.
    pub kind: MachineKind,
    /// What the processor signed, as the kernel gave it.
    pub quote: Bytes<QUOTE_BYTES_MAX>,
    /// What the kernel gave beside it: certificates, or nothing.
    pub auxiliary: Bytes<AUXILIARY_BYTES_MAX>,
}

/// What the processor is asked with: SHA-512("gpu-attest/v1/machine-report\0" ‖ c ‖
/// commitment ‖ r₁ ‖ … ‖ r_k), with r_j = H(be32(lane) ‖ be32(length of report) ‖ report ‖
/// certificates) of the result's device reports.
pub fn report_data(c: &Digest, commitment: &Commitment, devices: &[DeviceReport]) -> [u8; 64] {
    let mut hash = Sha512::new();
    hash.update(b"gpu-attest/v1/machine-report\0");
    hash.update(c.0);
    hash.update(commitment.0);
    for DeviceReport { lane, report, certificates } in devices {
        let (report, certificates) = (report.as_slice(), certificates.as_slice());
        // A report that was read is within its bound.
        let length = report.len() as u32;
        let parts = [&lane.to_be_bytes()[..], &length.to_be_bytes(), report, certificates];
        hash.update(Digest::of(&parts).0);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn device(lane: u32, report: &[u8], certificates: &[u8]) -> DeviceReport {
        DeviceReport {
            lane,
            report: Bytes::new(report.to_vec()).unwrap(),
            certificates: Bytes::new(certificates.to_vec()).unwrap(),
        }
    }

    #[test]
    fn report_data_is_that_of_the_text() {
        let of = |devices: &[DeviceReport]| {
            hex::encode(report_data(&Digest([1; 32]), &Commitment([2; 32]), devices))
        };
        // sha512(b"gpu-attest/v1/machine-report\0" + 32*b"\1" + 32*b"\2")
        assert_eq!(
            of(&[]),
            "1a3b7bc25f23dd1c8052f8fc2f718ccd4d26017ede4d9f22eed01928baf6fe40\
             2b41a86211fb589f68dd3d117d831df88ecde84b04bcea21c12fc0631c51e8b9"
        );
        // ... + sha256(b"\0\0\0\3" + b"\0\0\0\2" + b"ab" + b"cde").digest()
        let one = device(3, b"ab", b"cde");
        assert_eq!(
            of(std::slice::from_ref(&one)),
            "59f6cc76f868bc5457d1044b3ed83c1d025ab57f2c6dc8ebbd0edcadef6a97a0\
             22d0b4ef2760bb04bec0e5ac2f6f784c6f58236172082aad9625a62832e0dfd4"
        );
        for other in [device(2, b"ab", b"cde"), device(3, b"abc", b"de"), device(3, b"ab", b"")] {
            assert_ne!(of(&[other]), of(std::slice::from_ref(&one)));
        }
    }

    #[test]
    fn the_bound_of_a_result_has_room_for_it() {
        let whole = STANDARD.encode(vec![0; QUOTE_BYTES_MAX]).len()
            + STANDARD.encode(vec![0; AUXILIARY_BYTES_MAX]).len();
        assert!(whole as u64 + 100 < REPORT_BYTES);
    }
}
