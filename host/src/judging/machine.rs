//! The quote of a verified result's machine, checked.
//!
//! Guarantees: a quote counts for the result whose REPORT_DATA it has and for no other, and at
//! the time at which the commitment arrived, so that the same result has the same standing later.
//! Deliberately lacks: belief in what evidence says of the machine, and judgement; that is the
//! policy's.

use crate::protocol::machine_report::MachineKind;
use crate::protocol::verdict::{QuotedMachine, SignedMachine};
use crate::protocol::verified::Verified;
use attest_device_report::Trust;
use attest_device_report::machine::{Certificates, Kind, ROOTS, verify};

/// Whose word counts for machines.
#[derive(Clone, Copy, Debug)]
pub struct MachineTrust<'a> {
    /// DER certificates in which the processors' chains may end.
    pub roots: &'a [&'a [u8]],
    /// Certificates of AMD's chips, in DER, for quotes that come without.
    pub certificates: &'a [Vec<u8>],
}

impl Default for MachineTrust<'_> {
    fn default() -> Self {
        Self { roots: ROOTS, certificates: &[] }
    }
}

impl MachineTrust<'_> {
    /// The quote of a result, checked, if it has one.
    pub fn check(&self, verified: &Verified) -> Option<QuotedMachine> {
        let report = verified.machine_report()?;
        let issued_unix_s = verified.challenge().issued_at_unix_s();
        let at_unix_s = verified.arrival_unix_s().unwrap_or(issued_unix_s);
        let trust = Trust { roots: self.roots, at_unix_s: u64::try_from(at_unix_s).unwrap_or(0) };
        let kind = match report.kind {
            MachineKind::SevSnp => Kind::SevSnp,
            MachineKind::Tdx => Kind::Tdx,
        };
        let certificates =
            Certificates { auxiliary: report.auxiliary.as_slice(), own: self.certificates };
        let asked = verified.machine_report_data();
        let held = verify(kind, report.quote.as_slice(), &certificates, Some(&asked), &trust);
        let (signed, fault) = match held {
            Ok(machine) => (Some(told(&machine)), None),
            Err(fault) => (None, Some(fault)),
        };
        Some(QuotedMachine {
            kind: report.kind,
            signed,
            code: fault.as_ref().map(|fault| fault.code.name()),
            text: fault.map(|fault| fault.detail),
        })
    }
}

fn told(machine: &attest_device_report::machine::SignedMachine) -> SignedMachine {
    SignedMachine {
        measurement: machine.measurement(),
        registers: machine.registers(),
        debug: machine.is_debug(),
        platform: machine.platform(),
        versions: machine.versions().to_owned(),
    }
}
