//! Rules about what the machine's processor signed.

use super::Case;
use super::device_reports::{IGNORE, REQUIRED};
use crate::protocol::json::printable;
use crate::protocol::verdict::{QuotedMachine, SignedMachine};

fn machine<'a>(case: &Case<'a>) -> Option<&'a QuotedMachine> {
    case.facts.machine.filter(|_| case.policy.machine.report != IGNORE)
}

fn signed<'a>(case: &Case<'a>) -> Option<&'a SignedMachine> {
    machine(case)?.signed.as_ref()
}

/// `machine-report-missing`.
pub(in crate::policy) fn missing(case: &Case<'_>) -> Option<String> {
    let broken = case.policy.machine.report == REQUIRED && machine(case).is_none();
    broken.then(|| {
        let claims = case.facts.evidence.claims().machine();
        let reason = claims.machine_report.as_deref().unwrap_or("no reason given");
        format!("expected a quote that the processor signed, got none: {}", printable(&reason))
    })
}

/// `machine-report-invalid`.
pub(in crate::policy) fn invalid(case: &Case<'_>) -> Option<String> {
    let machine = machine(case).filter(|machine| machine.signed.is_none())?;
    let (code, text) = (machine.code.unwrap_or_default(), machine.text.as_deref());
    let text = text.unwrap_or("");
    Some(format!("expected a quote of this machine for this result, got {code}: {text}"))
}

/// `machine-measurement-not-allowed`.
pub(in crate::policy) fn measurement_not_allowed(case: &Case<'_>) -> Option<String> {
    let (allowed, got) = (&case.policy.machine.measurements, &signed(case)?.measurement);
    let broken =
        !allowed.is_empty() && !allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(got));
    broken.then(|| format!("expected a measurement that is allowed, the processor signed {got}"))
}

/// `machine-debug`.
pub(in crate::policy) fn debug(case: &Case<'_>) -> Option<String> {
    let broken = signed(case)?.debug && !case.policy.machine.debug_allowed;
    broken.then(|| {
        "expected a virtual machine that its host cannot look into, it is in debug mode".to_owned()
    })
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, Example};
    use super::*;
    use crate::protocol::machine_report::MachineKind;
    use serde_json::json;

    fn edit(case: &mut Example, edit: impl FnOnce(&mut QuotedMachine)) {
        let signed = SignedMachine {
            measurement: "7a".repeat(48),
            registers: Vec::new(),
            debug: false,
            platform: Some("11".repeat(32)),
            versions: "TCB 0300000000000873, VMPL 0".to_owned(),
        };
        let kind = MachineKind::SevSnp;
        let mut machine = QuotedMachine { kind, signed: Some(signed), code: None, text: None };
        edit(&mut machine);
        case.machine = Some(machine);
    }

    pub(in crate::policy) const CASES: Cases = &[
        ("machine-report-missing", |case| {
            case.policy.machine.report = REQUIRED.to_owned();
            case.evidence["machine"]["machine_report"] = json!("unavailable: no such device");
        }),
        ("machine-report-invalid", |case| {
            edit(case, |machine| (machine.signed, machine.code) = (None, Some("quote-nonce")));
        }),
        ("machine-measurement-not-allowed", |case| {
            case.policy.machine.measurements = vec!["7b".repeat(48)];
            edit(case, |_| {});
        }),
        ("machine-debug", |case| {
            case.policy.machine.measurements = vec!["7A".repeat(48)];
            edit(case, |machine| machine.signed.as_mut().unwrap().debug = true);
        }),
    ];
}
