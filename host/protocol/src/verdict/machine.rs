//! What the machine's processor signed, as a verdict tells it.
//!
//! Guarantees: [`Grade::SignedByMachine`] is said only of a quote whose signatures, chain and
//! nonce hold, by whoever checked them.
//! Deliberately lacks: the checks themselves.

use super::{Fact, Grade, Outcome, Verdict, fact};
use crate::json::printable;
use crate::machine_report::MachineKind;
use schemars::JsonSchema;
use serde::Serialize;

/// A machine's quote, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QuotedMachine {
    /// Whose confidential computing.
    pub kind: MachineKind,
    /// What the processor signed; absent if the quote does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedMachine>,
    /// Why the quote does not hold: a stable code of docs/machine-reports.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What was expected and found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a processor signed of the virtual machine that asked, for this result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SignedMachine {
    /// What the virtual machine was started from, SHA-384: MEASUREMENT of SEV-SNP, MRTD of TDX.
    pub measurement: String,
    /// RTMR0 to RTMR3 of TDX.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registers: Vec<String>,
    /// Whether its host may read and change its memory.
    pub debug: bool,
    /// Tells its processor from others: SHA-256 of the name that its maker gave it. Absent if
    /// the quote keeps it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The processor's firmware versions, as the quote has them.
    pub versions: String,
}

impl Verdict {
    /// The verdict on a verified result with what its machine's processor signed.
    pub fn with_machine(mut self, machine: Option<QuotedMachine>) -> Self {
        if self.outcome == Outcome::Verified {
            self.facts.extend(machine.as_ref().map(told));
            self.facts.sort_by_key(|fact| fact.grade);
            self.machine = machine;
        }
        self
    }
}

/// What a quote shows, in words.
fn told(machine: &QuotedMachine) -> Fact {
    let Some(signed) = &machine.signed else {
        let (code, text) = (machine.code.unwrap_or(""), machine.text.as_deref().unwrap_or(""));
        let text = format!("WARNING: the machine's quote does not hold: {code}: {text}");
        return fact(Grade::Claimed, "machine", printable(&text));
    };
    let kind = match machine.kind {
        MachineKind::SevSnp => "an AMD SEV-SNP",
        MachineKind::Tdx => "an Intel TDX",
    };
    let platform = signed.platform.as_deref().map_or("kept back", short);
    let debug = match signed.debug {
        true => "; WARNING: it is in debug mode, so its host reads and changes its memory",
        false => "",
    };
    let text = format!(
        "{kind} virtual machine, measurement {}, processor {platform}, {}, had this commitment \
         signed once all lanes' work was done{debug}",
        short(&signed.measurement),
        signed.versions,
    );
    fact(Grade::SignedByMachine, "machine", printable(&text))
}

/// The first 16 digits.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
