//! `attest device-report`: checks a report that a device signed.

use super::makers::vendor_at;
use crate::args::{self, Color, DeviceReportAction, VerifyReport};
use crate::outcome::{Done, Result, print, print_json};
use crate::paint::{Paint, wrapped};
use attest::files::Source;
use attest_device_report::{
    CHAIN_BYTES_MAX, Comparison, Fault, NVIDIA_DEVICE_ROOT, REPORT_BYTES_MAX, Report, SignedDevice,
    Standing, Trust, verify,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Read as _;

/// Checks it; the exit code is the verdict.
///
/// # Errors
/// An unreadable file, or manifests that do not verify.
pub fn run(args: &args::DeviceReport, color: Color) -> Result {
    let DeviceReportAction::Verify(args) = &args.action;
    let at_unix_s = args.at.unwrap_or_else(|| jiff::Timestamp::now().as_second());
    let (rims, ocsp) = vendor_at(&args.vendor, at_unix_s)?;
    let report = bytes(&Source::of_path(&args.report), 2 * REPORT_BYTES_MAX + 2)?;
    let report = binary(report);
    let chain = bytes(&Source::of_path(&args.certificates), CHAIN_BYTES_MAX + 1)?;
    let trust =
        Trust { roots: &[NVIDIA_DEVICE_ROOT], at_unix_s: u64::try_from(at_unix_s).unwrap_or(0) };
    let held = verify(&report, &chain, args.nonce.as_ref(), &trust).and_then(|device| {
        let standing =
            ocsp.as_ref().map(|ocsp| ocsp.standing(device.chain(), &trust)).transpose()?;
        Ok(Held { device, standing })
    });
    let comparison = held.as_ref().ok().zip(rims.as_ref());
    let comparison = comparison.map(|(held, rims)| rims.compare(held.device.report()));
    match args.json {
        true => print_json(&in_json(&held, comparison.as_ref()))?,
        false => {
            let paint = Paint::of(color, &std::io::stdout());
            print(&in_text(args, &held, comparison.as_ref(), paint))?;
        }
    }
    let differs = matches!(comparison, Some(Comparison::Differ { .. }));
    Ok(if held.is_ok() && !differs { Done::Ok } else { Done::Rejected })
}

/// A report that holds.
struct Held {
    device: SignedDevice,
    /// Of its certificates, if responses were given.
    standing: Option<Standing>,
}

/// The first bytes of a source, at most `most`.
///
/// # Errors
/// It cannot be read.
pub fn bytes(source: &Source, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.open()?.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of a report that may be written in hexadecimal.
fn binary(bytes: Vec<u8>) -> Vec<u8> {
    let text = std::str::from_utf8(&bytes).map(str::trim).ok();
    let is_lower = |text: &&str| !text.bytes().any(|b| b.is_ascii_uppercase());
    text.filter(is_lower).and_then(|text| hex::decode(text).ok()).unwrap_or(bytes)
}

fn named(value: Option<String>) -> String {
    value.unwrap_or_else(|| "unknown".to_owned())
}

fn sku(sku: Option<String>, modification: Option<String>) -> String {
    match modification.filter(|text| text != "0") {
        Some(modification) => format!("{}, modification {modification}", named(sku)),
        None => named(sku),
    }
}

/// How measurements compared: a stable word, and a sentence.
fn compared(comparison: Option<&Comparison>) -> (&'static str, String) {
    let listed = |indices: &[u8]| indices.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    match comparison {
        None => ("unknown", "not compared: no manifests were given (--rim)".to_owned()),
        Some(Comparison::Unknown { missing }) => {
            ("unknown", format!("not compared: no manifest of {missing}"))
        }
        Some(Comparison::Match { count }) => {
            ("match", format!("all {count} golden values are the report's"))
        }
        Some(Comparison::Differ { indices }) => {
            ("differ", format!("not the golden values: number {}", listed(indices)))
        }
        Some(Comparison::Conflict { indices }) => {
            ("unknown", format!("not compared: both manifests have number {}", listed(indices)))
        }
    }
}

/// What is known of the certificates: a stable word, and a sentence.
fn looked_up(standing: Option<&Standing>) -> (&'static str, String) {
    match standing {
        None => ("unknown", "not checked: no responses were given (--ocsp)".to_owned()),
        Some(Standing::Unknown(why)) => ("unknown", format!("not known: {why}")),
        Some(Standing::Good) => {
            ("good", "by their issuers all certificates but the device's own are good".to_owned())
        }
    }
}

fn in_json(held: &std::result::Result<Held, Fault>, comparison: Option<&Comparison>) -> Value {
    let Held { device, standing } = match held {
        Ok(held) => held,
        Err(fault) => {
            return json!({"verified": false, "code": fault.code.name(), "detail": fault.detail});
        }
    };
    let report = device.report();
    let (measurements, measurements_text) = compared(comparison);
    let (revocation, revocation_text) = looked_up(standing.as_ref());
    let certificates = device.chain().certificates().iter();
    let certificates: Vec<Value> = certificates
        .map(|certificate| json!({"name": certificate.name(), "serial": certificate.serial()}))
        .collect();
    json!({
        "verified": true,
        "nonce": hex::encode(report.nonce),
        "die": device.die(),
        "family": device.family(),
        "driver_version": report.driver_version(),
        "vbios_version": report.vbios_version(),
        "board_id": report.board_id(),
        "chip_sku": report.chip_sku(),
        "project": report.project(),
        "project_sku": report.project_sku(),
        "measurement_count": report.measurements.len(),
        "measurements": measurements,
        "measurements_text": measurements_text,
        "certificates": certificates,
        "revocation": revocation,
        "revocation_text": revocation_text,
    })
}

fn in_text(
    args: &VerifyReport,
    held: &std::result::Result<Held, Fault>,
    comparison: Option<&Comparison>,
    paint: Paint,
) -> String {
    let Held { device, standing } = match held {
        Ok(held) => held,
        Err(fault) => {
            let head = paint.bad(&format!("DOES NOT HOLD: {}", fault.code.name()));
            return format!("{head}\n{}\n{}\n", fault.detail, fault.code.advice());
        }
    };
    let (word, measurements) = compared(comparison);
    let report: &Report = device.report();
    let mut lines = String::new();
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(lines, "{name:<14} {text}");
    };
    line("die", &device.die());
    line("family", device.family().unwrap_or("unknown"));
    line("driver", &named(report.driver_version()));
    line("VBIOS", &named(report.vbios_version()));
    let board = report.board_id().map(|id| format!("{id:#06x}"));
    let project = sku(report.project_sku(), report.project_sku_mod());
    line("board", &format!("{}, project {}, SKU {project}", named(board), named(report.project())));
    line("chip", &format!("SKU {}", sku(report.chip_sku(), report.chip_sku_mod())));
    let nonce = hex::encode(report.nonce);
    line(
        "nonce",
        &match args.nonce {
            Some(_) => format!("{nonce}, as expected"),
            None => format!("{nonce}, not compared (--nonce)"),
        },
    );
    line("measurements", &format!("{}; {measurements}", report.measurements.len()));
    for certificate in device.chain().certificates() {
        line("certificate", &certificate.name());
    }
    line("revocation", &looked_up(standing.as_ref()).1);
    let head = match word {
        "differ" => paint.bad("SIGNED BY THE DEVICE, with other measurements than the vendor's"),
        _ => paint.good("SIGNED BY THE DEVICE"),
    };
    format!("{head}\n{}", wrapped(&lines, 15))
}
