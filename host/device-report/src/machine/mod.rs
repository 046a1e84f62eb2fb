//! Quotes of virtual machines whose memory their host cannot read: AMD SEV-SNP and Intel TDX.
//!
//! Guarantees: as those of the crate; only [`verify`] makes a [`SignedMachine`]; what a quote
//! says is taken from bytes that its signature covers.
//! Deliberately lacks: revocation, and whether the processor's firmware is up to date, which
//! need what AMD and Intel publish and change; any word on which software a measurement is of.

mod certificates;
mod snp;
mod tdx;

use crate::chain::{Chain, Use};
use crate::fault::{Code, Fault};
use crate::keys::Maker;
use crate::verify::Trust;
pub use certificates::{AMD_INTERMEDIATES, Certificates, ROOTS, ders_in};
use sha2::{Digest as _, Sha256};

/// Longest quote, bytes.
pub const QUOTE_BYTES_MAX: usize = 64 * 1024;
/// Longest auxiliary data, bytes.
pub const AUXILIARY_BYTES_MAX: usize = 64 * 1024;

/// Whose confidential computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// AMD SEV-SNP: an ATTESTATION_REPORT; auxiliary data are a table of certificates.
    SevSnp,
    /// Intel TDX: a quote of version 4 or 5; there are no auxiliary data.
    Tdx,
}

impl Kind {
    /// The kind that a quote seems to be of, by its first bytes.
    pub fn guess(quote: &[u8]) -> Self {
        match quote {
            // The version, then the type of the attestation key: no version of an SNP report.
            [4 | 5, 0, 2, 0, ..] => Self::Tdx,
            _ => Self::SevSnp,
        }
    }
}

/// A virtual machine, by its processor's signature and the maker's certificates.
#[derive(Clone, Debug)]
pub struct SignedMachine {
    said: Said,
    chain: Chain,
}

/// What a quote says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    report_data: [u8; 64],
    measurement: [u8; 48],
    registers: Vec<[u8; 48]>,
    is_debug: bool,
    /// What names the processor, of any length; none if the quote keeps it back.
    chip: Option<Vec<u8>>,
    versions: String,
}

impl SignedMachine {
    /// REPORT_DATA: 64 bytes that whoever asked chose.
    pub fn report_data(&self) -> &[u8; 64] {
        &self.said.report_data
    }
    /// What the virtual machine was started from, SHA-384 in hexadecimal: MEASUREMENT of
    /// SEV-SNP, MRTD of TDX.
    pub fn measurement(&self) -> String {
        hex::encode(self.said.measurement)
    }
    /// RTMR0 to RTMR3 of TDX, in hexadecimal; SEV-SNP has none.
    pub fn registers(&self) -> Vec<String> {
        self.said.registers.iter().map(hex::encode).collect()
    }
    /// Whether its host may read and change its memory, for debugging.
    pub fn is_debug(&self) -> bool {
        self.said.is_debug
    }
    /// Tells the processor from others: SHA-256, in hexadecimal, of CHIP_ID of SEV-SNP, or of
    /// the PPID that Intel certified. `None` if the quote keeps it back.
    pub fn platform(&self) -> Option<String> {
        self.said.chip.as_ref().map(|chip| hex::encode(Sha256::digest(chip)))
    }
    /// The processor's firmware versions, as the quote has them.
    pub fn versions(&self) -> &str {
        &self.said.versions
    }
    /// The certificates, the signing key's first.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }
}

/// Verifies that a processor of the kind's maker signed `quote`; if `report_data` is given,
/// that the quote was asked for with it.
///
/// # Errors
/// The first check that fails: the quote's form, the nonce, the chain, what the certificate
/// names, the signatures.
pub fn verify(
    kind: Kind,
    quote: &[u8],
    certificates: &Certificates<'_>,
    report_data: Option<&[u8; 64]>,
    trust: &Trust<'_>,
) -> Result<SignedMachine, Fault> {
    if quote.len() > QUOTE_BYTES_MAX {
        let detail = format!("{} bytes; at most {QUOTE_BYTES_MAX}", quote.len());
        return Err(Fault::new(Code::QuoteTooLarge, detail));
    }
    match kind {
        Kind::SevSnp => {
            let report = snp::Report::parse(quote)?;
            check_nonce(&report.said, report_data)?;
            let chain = certificates.of_amd(&report, trust)?;
            chain.verify(Use::Machine, trust)?;
            report.check(&chain.certificates()[0])?;
            Ok(SignedMachine { said: report.said, chain })
        }
        Kind::Tdx => {
            let parsed = tdx::Quote::parse(quote)?;
            check_nonce(&parsed.said, report_data)?;
            let chain = Chain::of(Maker::Intel, &parsed.certificates()?)?;
            chain.verify(Use::Machine, trust)?;
            let leaf = &chain.certificates()[0];
            parsed.check(leaf)?;
            let said = Said { chip: tdx::ppid(leaf), ..parsed.said };
            Ok(SignedMachine { said, chain })
        }
    }
}

fn check_nonce(said: &Said, expected: Option<&[u8; 64]>) -> Result<(), Fault> {
    match expected {
        Some(expected) if *expected != said.report_data => {
            let (expected, got) = (hex::encode(expected), hex::encode(said.report_data));
            Err(Fault::new(Code::QuoteNonce, format!("expected {expected}, got {got}")))
        }
        _ => Ok(()),
    }
}

fn malformed(detail: impl AsRef<str>) -> Fault {
    Fault::new(Code::QuoteMalformed, detail)
}

#[cfg(test)]
mod other_verifiers_tests;
#[cfg(test)]
mod sample_tests;
