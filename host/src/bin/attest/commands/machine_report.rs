//! `attest machine-report`: checks a quote that a processor signed.

use super::device_report::bytes;
use crate::args::{self, Color, MachineReportAction, VerifyQuote};
use crate::outcome::{Done, Result, print, print_json};
use crate::paint::{Paint, wrapped};
use attest::files::Source;
use attest::judging::certificates_in;
use attest_device_report::machine::{
    AUXILIARY_BYTES_MAX, Certificates, Kind, QUOTE_BYTES_MAX, ROOTS, SignedMachine, verify,
};
use attest_device_report::{Fault, Trust};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Checks it; the exit code is the verdict.
///
/// # Errors
/// An unreadable file.
pub fn run(args: &args::MachineReport, color: Color) -> Result {
    let MachineReportAction::Verify(args) = &args.action;
    let at_unix_s = args.at.unwrap_or_else(|| jiff::Timestamp::now().as_second());
    let quote = bytes(&Source::of_path(&args.quote), QUOTE_BYTES_MAX + 1)?;
    let read = |path: &std::ffi::OsString| bytes(&Source::of_path(path), AUXILIARY_BYTES_MAX + 1);
    let auxiliary = args.auxiliary.as_ref().map(read).transpose()?.unwrap_or_default();
    let own = args.certificates.as_deref().map(certificates_in).transpose()?.unwrap_or_default();
    let trust = Trust { roots: ROOTS, at_unix_s: u64::try_from(at_unix_s).unwrap_or(0) };
    let kind = Kind::guess(&quote);
    let certificates = Certificates { auxiliary: &auxiliary, own: &own };
    let held = verify(kind, &quote, &certificates, args.nonce.as_ref(), &trust);
    match args.json {
        true => print_json(&in_json(kind, &held))?,
        false => {
            let paint = Paint::of(color, &std::io::stdout());
            print(&in_text(args, kind, &held, paint))?;
        }
    }
    let is_sound = held.is_ok_and(|machine| !machine.is_debug());
    Ok(if is_sound { Done::Ok } else { Done::Rejected })
}

fn in_json(kind: Kind, held: &std::result::Result<SignedMachine, Fault>) -> Value {
    let kind = match kind {
        Kind::SevSnp => "sev-snp",
        Kind::Tdx => "tdx",
    };
    let machine = match held {
        Ok(machine) => machine,
        Err(fault) => {
            let (code, detail) = (fault.code.name(), &fault.detail);
            return json!({"verified": false, "kind": kind, "code": code, "detail": detail});
        }
    };
    let certificates = machine.chain().certificates().iter();
    let certificates: Vec<Value> = certificates
        .map(|certificate| json!({"name": certificate.name(), "serial": certificate.serial()}))
        .collect();
    json!({
        "verified": true,
        "kind": kind,
        "report_data": hex::encode(machine.report_data()),
        "measurement": machine.measurement(),
        "registers": machine.registers(),
        "debug": machine.is_debug(),
        "platform": machine.platform(),
        "versions": machine.versions(),
        "certificates": certificates,
    })
}

fn in_text(
    args: &VerifyQuote,
    kind: Kind,
    held: &std::result::Result<SignedMachine, Fault>,
    paint: Paint,
) -> String {
    let machine = match held {
        Ok(machine) => machine,
        Err(fault) => {
            let head = paint.bad(&format!("DOES NOT HOLD: {}", fault.code.name()));
            return format!("{head}\n{}\n{}\n", fault.detail, fault.code.advice());
        }
    };
    let mut lines = String::new();
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(lines, "{name:<14} {text}");
    };
    line(
        "machine",
        match kind {
            Kind::SevSnp => "an AMD SEV-SNP virtual machine",
            Kind::Tdx => "an Intel TDX virtual machine",
        },
    );
    line("measurement", &machine.measurement());
    for (at, register) in machine.registers().iter().enumerate() {
        line(&format!("RTMR{at}"), register);
    }
    line("processor", machine.platform().as_deref().unwrap_or("kept back"));
    line("versions", machine.versions());
    line("debug", if machine.is_debug() { "on: its host reads and changes it" } else { "off" });
    let nonce = hex::encode(machine.report_data());
    let compared = if args.nonce.is_some() { "as expected" } else { "not compared (--nonce)" };
    line("nonce", &format!("{nonce}, {compared}"));
    for certificate in machine.chain().certificates() {
        line("certificate", &certificate.name());
    }
    line("not checked", "revocation; whether the processor's firmware is up to date");
    let head = match machine.is_debug() {
        true => paint.bad("SIGNED BY THE MACHINE, in debug mode"),
        false => paint.good("SIGNED BY THE MACHINE"),
    };
    format!("{head}\n{}", wrapped(&lines, 15))
}
