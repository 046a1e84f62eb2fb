//! The devices' reports of a verified result, checked.
//!
//! Guarantees: a report counts for the lane whose nonce it has and for no other, and at the
//! time at which the commitment arrived, so that the same result has the same standing later.
//! Deliberately lacks: belief in what evidence says of the devices, and judgement; that is the
//! policy's.

use crate::protocol::verdict::{LaneDevice, Measurements, Revocation, SignedDevice};
use crate::protocol::verified::Verified;
use attest_device_report::{Comparison, NVIDIA_DEVICE_ROOT, Ocsp, Rims, Standing, Trust, verify};

/// Whose word counts for devices.
#[derive(Clone, Copy, Debug)]
pub struct DeviceTrust<'a> {
    /// DER certificates in which the devices' chains may end.
    pub roots: &'a [&'a [u8]],
    /// Golden values; without any nothing is compared.
    pub rims: Option<&'a Rims>,
    /// What certificates' issuers say of them; without it nothing is looked up.
    pub ocsp: Option<&'a Ocsp>,
}

impl Default for DeviceTrust<'_> {
    fn default() -> Self {
        Self { roots: &[NVIDIA_DEVICE_ROOT], rims: None, ocsp: None }
    }
}

impl DeviceTrust<'_> {
    /// Each report of a result, checked.
    pub fn check(&self, verified: &Verified) -> Vec<LaneDevice> {
        let issued_unix_s = verified.challenge().issued_at_unix_s();
        let at_unix_s = verified.arrival_unix_s().unwrap_or(issued_unix_s);
        let trust = Trust { roots: self.roots, at_unix_s: u64::try_from(at_unix_s).unwrap_or(0) };
        let checked = |report: &crate::protocol::device_report::DeviceReport| {
            let nonce = verified.report_nonces().get(report.lane as usize);
            let held = verify(
                report.report.as_slice(),
                report.certificates.as_slice(),
                // Verification has one for every lane that a result may name.
                Some(nonce.unwrap_or(&[0; 32])),
                &trust,
            );
            let held = held.and_then(|device| {
                let standing = self.ocsp.map(|ocsp| ocsp.standing(device.chain(), &trust));
                Ok(self.told(&device, standing.transpose()?))
            });
            match held {
                Ok(signed) => {
                    LaneDevice { lane: report.lane, signed: Some(signed), code: None, text: None }
                }
                Err(fault) => LaneDevice {
                    lane: report.lane,
                    signed: None,
                    code: Some(fault.code.name()),
                    text: Some(fault.detail),
                },
            }
        };
        verified.device_reports().iter().map(checked).collect()
    }

    fn told(
        &self,
        device: &attest_device_report::SignedDevice,
        standing: Option<Standing>,
    ) -> SignedDevice {
        let (revocation, revocation_text) = match standing {
            None => (Revocation::Unknown, Some("no responses were given".to_owned())),
            Some(Standing::Good) => (Revocation::Good, None),
            Some(Standing::Unknown(why)) => (Revocation::Unknown, Some(why)),
        };
        let report = device.report();
        let listed = |indices: &[u8]| {
            let indices: Vec<String> = indices.iter().map(u8::to_string).collect();
            indices.join(", ")
        };
        let (measurements, measurements_text) = match self.rims.map(|rims| rims.compare(report)) {
            None => (Measurements::Unknown, Some("no manifests were given".to_owned())),
            Some(Comparison::Match { .. }) => (Measurements::Match, None),
            Some(Comparison::Differ { indices }) => {
                (Measurements::Differ, Some(format!("number {}", listed(&indices))))
            }
            Some(Comparison::Conflict { indices }) => {
                let text = format!("both manifests have number {}", listed(&indices));
                (Measurements::Unknown, Some(text))
            }
            Some(Comparison::Unknown { missing }) => {
                (Measurements::Unknown, Some(format!("no manifest of {missing}")))
            }
        };
        SignedDevice {
            die: device.die(),
            die_serial: device.die_serial(),
            revocation,
            revocation_text,
            family: device.family().map(str::to_owned),
            driver_version: report.driver_version(),
            vbios_version: report.vbios_version(),
            measurements,
            measurements_text,
        }
    }
}
