//! What the lanes' devices signed, as a verdict tells it.
//!
//! Guarantees: [`Grade::SignedByDevice`] is said only of a report whose signature, chain and
//! nonce hold, by whoever checked them.
//! Deliberately lacks: the checks themselves.

use super::{Fact, Grade, Outcome, Verdict, fact};
use crate::json::printable;
use schemars::JsonSchema;
use serde::Serialize;

/// A lane's report, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LaneDevice {
    /// g.
    pub lane: u32,
    /// What the device signed; absent if its report does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedDevice>,
    /// Why the report does not hold: a stable code of docs/device-reports.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What was expected and found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a device said of itself and signed, for this lane's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SignedDevice {
    /// Tells its die from others: SHA-256 of the public key that its maker certified.
    pub die: String,
    /// The serial number of the certificate of that key, in hexadecimal.
    pub die_serial: String,
    /// The chip's family by its certificate, such as "GH100".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// The kernel driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_version: Option<String>,
    /// The VBIOS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vbios_version: Option<String>,
    /// Whether its certificates were looked up among revoked ones.
    pub revocation: Revocation,
    /// Which are not known to be good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_text: Option<String>,
    /// How its measurements compare with golden values.
    pub measurements: Measurements,
    /// Which differ, or what there is no manifest of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurements_text: Option<String>,
}

/// What is known of the revocation of a device's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Revocation {
    /// Their issuers say of all of them but the root that they are good.
    Good,
    /// Nothing was looked up, or nothing is known of some of them.
    Unknown,
}

/// How measurements compare with golden values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Measurements {
    /// Every golden value of the driver's and the VBIOS's manifest is the report's.
    Match,
    /// Some are not.
    Differ,
    /// There is no manifest of the driver's or the VBIOS's version.
    Unknown,
}

impl Verdict {
    /// The verdict on a verified result with what its devices signed.
    pub fn with_devices(mut self, devices: Vec<LaneDevice>) -> Self {
        if self.outcome == Outcome::Verified {
            self.facts.extend(devices.iter().map(told));
            self.facts.sort_by_key(|fact| fact.grade);
            self.devices = devices;
        }
        self
    }
}

/// What a lane's report shows, in words.
fn told(device: &LaneDevice) -> Fact {
    let g = device.lane;
    let Some(signed) = &device.signed else {
        let (code, text) = (device.code.unwrap_or(""), device.text.as_deref().unwrap_or(""));
        let text = format!("WARNING: lane {g}: its device report does not hold: {code}: {text}");
        return fact(Grade::Claimed, "device", printable(&text));
    };
    let or_unnamed = |text: &Option<String>| text.clone().unwrap_or_else(|| "unnamed".to_owned());
    let more = signed.measurements_text.as_ref().map(|text| format!(": {text}"));
    let measurements = match signed.measurements {
        Measurements::Match => "its measurements are the vendor's golden values",
        Measurements::Differ => "WARNING: its measurements are not the vendor's golden values",
        Measurements::Unknown => "its measurements were not compared",
    };
    let revocation = match signed.revocation {
        Revocation::Good => "its certificates are not revoked",
        Revocation::Unknown => "whether its certificates are revoked was not checked",
    };
    let text = format!(
        "lane {g}: a {} die, {}, driver {}, VBIOS {}, signed this once the lane's work was done; \
         {measurements}{}; {revocation}",
        or_unnamed(&signed.family),
        signed.die.get(..16).unwrap_or(&signed.die),
        or_unnamed(&signed.driver_version),
        or_unnamed(&signed.vbios_version),
        more.unwrap_or_default(),
    );
    fact(Grade::SignedByDevice, "device", printable(&text))
}
