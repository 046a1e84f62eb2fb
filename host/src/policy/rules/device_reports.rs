//! Rules about what devices signed.

use super::{Case, LaneCase};
use crate::appraisal::models as table;
use crate::policy::Policy;
use crate::protocol::evidence::machine::normal_pci_id;
use crate::protocol::json::printable;
use crate::protocol::verdict::{LaneDevice, Measurements, Revocation, SignedDevice};

/// What `devices.device_report` may be.
pub(in crate::policy) const REQUIRED: &str = "required";
pub(in crate::policy) const IF_PRESENT: &str = "if-present";
pub(in crate::policy) const IGNORE: &str = "ignore";

impl Policy {
    /// Whether nothing that devices sign counts.
    pub(crate) fn ignores_device_reports(&self) -> bool {
        self.devices.device_report == IGNORE
    }
}

fn is_ignored(case: &Case<'_>) -> bool {
    case.policy.ignores_device_reports()
}

fn device<'a>(lane: &LaneCase<'a>) -> Option<&'a LaneDevice> {
    let devices = lane.case.facts.devices.iter().find(|device| device.lane as usize == lane.g);
    devices.filter(|_| !is_ignored(&lane.case))
}

fn signed<'a>(lane: &LaneCase<'a>) -> Option<&'a SignedDevice> {
    device(lane)?.signed.as_ref()
}

/// `device-report-missing`.
pub(in crate::policy) fn missing(lane: &LaneCase<'_>) -> Option<String> {
    let broken = lane.case.policy.devices.device_report == REQUIRED && device(lane).is_none();
    broken.then(|| {
        let reason = lane.claims().device_report.as_deref().unwrap_or("no reason given");
        format!("expected a report that the device signed, got none: {}", printable(&reason))
    })
}

/// `device-report-invalid`.
pub(in crate::policy) fn invalid(lane: &LaneCase<'_>) -> Option<String> {
    let device = device(lane).filter(|device| device.signed.is_none())?;
    let (code, text) = (device.code.unwrap_or_default(), device.text.as_deref());
    Some(format!(
        "expected a report of this device for this work, got {code}: {}",
        text.unwrap_or("")
    ))
}

fn not_among(what: &str, allowed: &[String], got: Option<&String>) -> Option<String> {
    let fits = |got: &String| allowed.iter().any(|version| version.eq_ignore_ascii_case(got));
    (!allowed.is_empty() && !got.is_some_and(fits)).then(|| {
        let got = got.map_or("none", String::as_str);
        format!("expected {what} {}, the device signed {got}", allowed.join(" or "))
    })
}

/// `device-driver-not-allowed`.
pub(in crate::policy) fn driver_not_allowed(lane: &LaneCase<'_>) -> Option<String> {
    let allowed = &lane.case.policy.devices.report_driver_versions;
    not_among("driver", allowed, signed(lane)?.driver_version.as_ref())
}

/// `device-vbios-not-allowed`.
pub(in crate::policy) fn vbios_not_allowed(lane: &LaneCase<'_>) -> Option<String> {
    let allowed = &lane.case.policy.devices.report_vbios_versions;
    not_among("VBIOS", allowed, signed(lane)?.vbios_version.as_ref())
}

/// `device-measurements`.
pub(in crate::policy) fn measurements(lane: &LaneCase<'_>) -> Option<String> {
    let signed = signed(lane)?;
    let broken = match signed.measurements {
        Measurements::Match => false,
        Measurements::Differ => true,
        Measurements::Unknown => lane.case.policy.devices.report_measured,
    };
    broken.then(|| {
        let text = signed.measurements_text.as_deref().unwrap_or_default();
        format!("expected the vendor's golden values of all measurements: {text}")
    })
}

/// `device-dev-tools`.
pub(in crate::policy) fn dev_tools(lane: &LaneCase<'_>) -> Option<String> {
    let is_on = lane.claims().confidential_dev_tools == Some(true) && !is_ignored(&lane.case);
    is_on.then(|| "expected production mode, the driver has developers' tools on".to_owned())
}

/// `device-revocation`.
pub(in crate::policy) fn revocation(lane: &LaneCase<'_>) -> Option<String> {
    let signed = signed(lane)?;
    let unknown = signed.revocation == Revocation::Unknown;
    (unknown && lane.case.policy.devices.report_not_revoked).then(|| {
        let text = signed.revocation_text.as_deref().unwrap_or_default();
        format!("expected the issuers' word that no certificate is revoked: {text}")
    })
}

/// Chips that no lane runs on, though their reports look alike: NVSwitches.
const SWITCHES: [&str; 2] = ["LS10", "LS_10"];

/// Why a lane's claimed model cannot be of the signed family, by the table of models.
fn family_differs(lane: &LaneCase<'_>, family: &str) -> Option<String> {
    if SWITCHES.contains(&family) {
        return Some(format!("a lane is a GPU, and an NVSwitch signed, {family}"));
    }
    let is_chip = |name: &str| table::in_force().chips().iter().any(|chip| chip.name == name);
    let claimed = lane.model.map(|model| model.chip.as_str());
    let fits = match claimed {
        Some(chip) => chip == family,
        // Of a model that the table does not know, its name says what it can.
        None => {
            family != "GH100"
                || ["H100", "H200", "H800", "H20"].iter().any(|name| lane.lane.model.contains(name))
        }
    };
    (!fits && is_chip(family)).then(|| {
        let model = printable(&lane.lane.model);
        format!("the lane claims {model:?}, the device signed {family}")
    })
}

/// `device-differs`.
pub(in crate::policy) fn differs(lane: &LaneCase<'_>) -> Vec<String> {
    let Some(signed) = signed(lane) else { return Vec::new() };
    let mut texts: Vec<String> =
        signed.family.iter().filter_map(|family| family_differs(lane, family)).collect();
    let mut compare = |who: &str, what: &str, claimed: Option<&String>, own: &Option<String>| {
        if let (Some(claimed), Some(own)) = (claimed, own)
            && !claimed.eq_ignore_ascii_case(own)
        {
            let claimed = printable(claimed);
            texts.push(format!("{who} claims {what} {claimed}, the device signed {own}"));
        }
    };
    let machine = lane.case.facts.evidence.claims().machine();
    let driver = &signed.driver_version;
    compare("the kernel", "driver", machine.kernel_driver_version.as_ref(), driver);
    let nvml = machine.nvml.as_ref();
    let of_lane = lane.claims().details.driver_version.as_ref();
    compare("the lane", "driver", of_lane, driver);
    compare("NVML", "driver", nvml.and_then(|nvml| nvml.driver_version.as_ref()), driver);
    // What the machine's sources say of the device at the lane's place.
    let place = |pci_id: Option<&String>| pci_id.and_then(|pci_id| normal_pci_id(pci_id));
    let Some(own) = place(lane.claims().details.pci_id.as_ref()) else { return texts };
    for device in nvml.and_then(|nvml| nvml.devices.as_ref()).into_iter().flatten().flatten() {
        if place(device.pci_id.as_ref()) == Some(own) {
            compare("NVML", "VBIOS", device.vbios_version.as_ref(), &signed.vbios_version);
        }
    }
    let kernel = machine.kernel.as_ref().and_then(|kernel| kernel.devices.as_ref());
    for device in kernel.into_iter().flatten().flatten() {
        if place(device.pci_id.as_ref()) == Some(own) {
            compare("the kernel", "VBIOS", device.vbios_version.as_ref(), &signed.vbios_version);
        }
    }
    texts
}

/// `device-die-twice`.
pub(in crate::policy) fn die_twice(case: &Case<'_>) -> Vec<String> {
    let devices = case.facts.devices;
    let signed = |device: &LaneDevice| device.signed.as_ref().map(|signed| signed.die.clone());
    let again = |(at, device): (usize, &LaneDevice)| {
        let die = signed(device)?;
        let first = devices[..at].iter().find(|other| signed(other).as_ref() == Some(&die))?;
        Some(format!("lanes {} and {} are one die, {die}", first.lane, device.lane))
    };
    match is_ignored(case) {
        true => Vec::new(),
        false => devices.iter().enumerate().filter_map(again).collect(),
    }
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, Example, lane};
    use super::*;
    use serde_json::json;

    fn device(case: &mut Example, edit: impl FnOnce(&mut LaneDevice)) {
        let signed = SignedDevice {
            die: "11".repeat(32),
            die_serial: "07".to_owned(),
            revocation: Revocation::Unknown,
            revocation_text: None,
            family: Some("GH100".to_owned()),
            driver_version: Some("580.82.07".to_owned()),
            vbios_version: Some("96.00.9F.00.01".to_owned()),
            measurements: Measurements::Match,
            measurements_text: None,
        };
        let mut device = LaneDevice { lane: 0, signed: Some(signed), code: None, text: None };
        edit(&mut device);
        case.devices = vec![device];
    }

    fn edit(case: &mut Example, edit: impl FnOnce(&mut SignedDevice)) {
        device(case, |device| edit(device.signed.as_mut().unwrap()));
    }

    pub(in crate::policy) const CASES: Cases = &[
        ("device-report-missing", |case| {
            case.policy.devices.device_report = REQUIRED.to_owned();
            lane(case)["device_report"] = json!("unavailable: an unknown error (999)");
        }),
        ("device-report-invalid", |case| {
            device(case, |device| (device.signed, device.code) = (None, Some("chain-root")));
        }),
        ("device-driver-not-allowed", |case| {
            case.policy.devices.report_driver_versions = vec!["580.126.01".into()];
            edit(case, |_| {});
        }),
        ("device-vbios-not-allowed", |case| {
            case.policy.devices.report_vbios_versions = vec!["96.00.CF.00.01".into()];
            edit(case, |_| {});
        }),
        ("device-measurements", |case| {
            edit(case, |signed| signed.measurements = Measurements::Differ);
        }),
        ("device-measurements", |case| {
            case.policy.devices.report_measured = true;
            edit(case, |signed| signed.measurements = Measurements::Unknown);
        }),
        ("device-dev-tools", |case| lane(case)["confidential_dev_tools"] = json!(true)),
        ("device-differs", |case| {
            edit(case, |signed| signed.driver_version = Some("550.90.07".to_owned()));
        }),
        ("device-differs", |case| {
            // Of no row, so that no rate speaks against it, too.
            lane(case)["model"] = json!("NVIDIA X100");
            case.policy.devices.unknown_models_allowed = true;
            case.policy.findings.set("floor-unknown", crate::policy::codes::Action::Ignore);
            edit(case, |_| {});
        }),
        ("device-differs", |case| {
            case.evidence["machine"]["nvml"] = json!({"driver_version": "550.90.07"});
            edit(case, |_| {});
        }),
        ("device-differs", |case| {
            lane(case)["pci_id"] = json!("0000:01:00.0");
            let device = json!({"pci_id": "00000000:01:00.0", "vbios_version": "96.00.88.00.11"});
            case.evidence["machine"]["nvml"] = json!({"devices": [device]});
            edit(case, |_| {});
        }),
        ("device-differs", |case| {
            lane(case)["pci_id"] = json!("0000:01:00.0");
            let device = json!({"pci_id": "0000:01:00.0", "vbios_version": "96.00.88.00.11"});
            case.evidence["machine"]["kernel"] = json!({"devices": [device]});
            edit(case, |_| {});
        }),
        ("device-differs", |case| {
            edit(case, |signed| signed.family = Some("GB100".to_owned()));
        }),
        ("device-differs", |case| {
            edit(case, |signed| signed.family = Some("LS10".to_owned()));
        }),
        ("device-revocation", |case| {
            case.policy.devices.report_not_revoked = true;
            edit(case, |_| {});
        }),
        ("device-die-twice", |case| {
            edit(case, |_| {});
            let again = LaneDevice { lane: 1, ..case.devices[0].clone() };
            case.devices.push(again);
        }),
    ];
}
