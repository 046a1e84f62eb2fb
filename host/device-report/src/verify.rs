//! A report and its certificates, verified together.
//!
//! Guarantees: only [`verify`] makes a [`SignedDevice`].
//! Deliberately lacks: golden values and revocation, which need what others signed; see
//! [`crate::Rims`].

use crate::chain::{Chain, Use};
use crate::fault::{Code, Fault};
use crate::spdm::Report;

/// What the verifier believes in.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// DER certificates that a chain may end in.
    pub roots: &'a [&'a [u8]],
    /// When certificates must be valid, s since 1970.
    pub at_unix_s: u64,
}

/// A device, by its own signature and its maker's certificates.
#[derive(Clone, Debug)]
pub struct SignedDevice {
    report: Report,
    chain: Chain,
}

impl SignedDevice {
    /// What the device said.
    pub fn report(&self) -> &Report {
        &self.report
    }
    /// Its certificates.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
    /// What identifies the die whatever firmware it boots: SHA-256, in hexadecimal, of the
    /// public key that its maker certified, which in turn certified the attestation key.
    pub fn die(&self) -> String {
        self.chain.certificates()[1].key_digest()
    }
    /// The serial number of the certificate of that key, in hexadecimal.
    pub fn die_serial(&self) -> String {
        self.chain.certificates()[1].serial()
    }
    /// The family that the attestation key's certificate names, such as "GH100".
    pub fn family(&self) -> Option<&str> {
        self.chain.family()
    }
}

/// Verifies that the device of `chain` signed `report`; if `nonce` is given, that it was
/// asked with it.
///
/// # Errors
/// The first check that fails: the report's form, the nonce, the chain, the firmware's
/// identity in both, the signature.
pub fn verify(
    report: &[u8],
    chain: &[u8],
    nonce: Option<&[u8; 32]>,
    trust: &Trust<'_>,
) -> Result<SignedDevice, Fault> {
    let report = Report::parse(report)?;
    if let Some(expected) = nonce
        && *expected != report.nonce
    {
        let (expected, got) = (hex::encode(expected), hex::encode(report.nonce));
        return Err(Fault::new(Code::ReportNonce, format!("expected {expected}, got {got}")));
    }
    let chain = Chain::parse(chain)?;
    chain.verify(Use::Device, trust)?;
    let leaf = &chain.certificates()[0];
    let certified = leaf.fwid().ok_or_else(|| {
        Fault::new(Code::ReportFwid, "the device's certificate names no firmware")
    })?;
    if let Some(reported) = report.fwid()
        && reported != certified
    {
        let (certified, reported) = (hex::encode(certified), hex::encode(reported));
        let detail = format!("certified is {certified}, reported {reported}");
        return Err(Fault::new(Code::ReportFwid, detail));
    }
    if !leaf.key().verify_fixed(&report.signed, &report.signature) {
        return Err(Fault::new(Code::ReportSignature, "the device's key did not sign this report"));
    }
    Ok(SignedDevice { report, chain })
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod sample_tests;
