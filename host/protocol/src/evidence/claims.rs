//! The one reader of an evidence document beyond its required fields.
//!
//! Guarantees: total and lenient. What is absent or of another form than
//! docs/evidence.md has it is `None`, and changes nothing else that is read.
//! Deliberately lacks: the difference between absent and malformed, but for a list of
//! findings that is none. To a validator both mean that nothing was said.

use super::described::Described as _;
use super::document::{ClaimedDocument, ClaimedFindings, ClaimedLane, Document};
use super::machine::ClaimedMachine;
use super::telemetry::ClaimedSpread;
use super::{CANONICAL_BYTES_MAX, VALUES_MAX};
use crate::json::{Budget, NESTING_MAX, StrictValue};
use serde::de::{Deserialize, DeserializeSeed as _, Deserializer};
use serde_json::Value;

/// What a miner claims.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    document: ClaimedDocument,
    /// Of lanes and a machine that are not described.
    nothing: (ClaimedLane, ClaimedMachine),
}

impl Claims {
    /// Reads a document of any form.
    pub(super) fn of(document: &Value) -> Self {
        let document = Document::claimed(document).unwrap_or_default();
        Self { document, ..Self::default() }
    }

    /// The document.
    pub fn document(&self) -> &ClaimedDocument {
        &self.document
    }

    /// Lane `g`; without any field where it is not described.
    pub fn lane(&self, g: usize) -> &ClaimedLane {
        let lane = self.document.lanes.as_ref().and_then(|lanes| lanes.get(g)?.as_ref());
        lane.unwrap_or(&self.nothing.0)
    }

    /// The machine; without any field where it is not described.
    pub fn machine(&self) -> &ClaimedMachine {
        self.document.machine.as_ref().unwrap_or(&self.nothing.1)
    }

    /// The host's name for itself.
    pub fn host(&self) -> Option<&str> {
        self.machine().machine_id.as_deref().filter(|id| !id.is_empty())
    }

    /// The findings; `None` where it has no such field.
    pub fn findings(&self) -> Option<&ClaimedFindings> {
        self.document.findings.as_ref()
    }

    /// The measured bandwidth of lane `g`'s device memory, bytes/s: by the number that
    /// the CUDA driver gives to the device at the lane's PCI id.
    pub fn memory_bytes_per_s(&self, g: usize) -> Option<u64> {
        let (machine, pci_id) = (self.machine(), self.lane(g).details.pci_id.as_ref()?);
        let known = machine.cuda.as_ref()?.devices.as_ref()?.iter().flatten();
        let index = known.clone().find(|device| device.pci_id.as_ref() == Some(pci_id))?.index?;
        let measured = machine.bandwidth.as_ref()?.devices.as_ref()?.iter().flatten();
        measured.clone().find(|device| device.index == Some(index))?.memory.as_ref()?.bytes_per_s
    }
}

impl ClaimedLane {
    /// The board's serial number.
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref().filter(|serial| !serial.is_empty())
    }

    /// The SM clock over the run, MHz.
    pub fn sm_clock_mhz(&self) -> Option<&ClaimedSpread> {
        self.telemetry.as_ref()?.sm_clock_mhz.as_ref()
    }

    /// The power over the run, mW.
    pub fn power_mw(&self) -> Option<&ClaimedSpread> {
        self.telemetry.as_ref()?.power_mw.as_ref()
    }

    /// Why its clocks were held down at some time.
    pub fn throttle_reasons(&self) -> impl Iterator<Item = &str> {
        let reasons = self.telemetry.iter().filter_map(|seen| seen.throttle_reasons.as_ref());
        reasons.flatten().flatten().map(String::as_str)
    }

    /// How long its part took, ns; more than 0.
    pub fn elapsed_ns(&self) -> Option<u64> {
        self.elapsed_ns.filter(|&ns| ns > 0)
    }
}

/// For readers of a document that nobody has checked: refuses what is longer than
/// evidence may be while it is read.
impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let budget = Budget::new(CANONICAL_BYTES_MAX, VALUES_MAX);
        let document = StrictValue::new(NESTING_MAX - 1, &budget).deserialize(d)?;
        Ok(Self::of(&document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strange_documents_claim_nothing() {
        for document in [
            json!(1),
            json!({"lanes": {}}),
            json!({"lanes": [7]}),
            json!({"lanes": [{"telemetry": [], "elapsed_ns": "0", "model": 3}], "machine": "a"}),
        ] {
            let claims = Claims::of(&document);
            for lane in [claims.lane(0), claims.lane(7)] {
                assert_eq!((lane.elapsed_ns(), lane.throttle_reasons().count()), (None, 0));
                assert_eq!((lane.serial(), lane.sm_clock_mhz()), (None, None));
            }
            assert_eq!((claims.host(), claims.findings()), (None, None));
            assert_eq!(claims.memory_bytes_per_s(0), None);
        }
    }

    #[test]
    fn a_field_of_another_form_hides_no_other() {
        let claims = Claims::of(&json!({
            "lanes": [{"serial": "1", "mig": 3, "telemetry": {
                "sm_clock_mhz": {"median": 1755, "max": []}, "power_mw": 1,
                "throttle_reasons": ["A", 2, "B"],
            }}],
            "findings": {},
        }));
        let lane = claims.lane(0);
        assert_eq!((lane.serial(), lane.details.mig.is_some()), (Some("1"), true));
        let clock = lane.sm_clock_mhz().unwrap();
        assert_eq!((clock.median, clock.max, lane.power_mw()), (Some(1755), None, None));
        assert_eq!(lane.throttle_reasons().collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(claims.findings(), Some(&ClaimedFindings::NoList));
    }

    #[test]
    fn an_unchecked_document_is_bounded_while_it_is_read() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(CANONICAL_BYTES_MAX));
        assert!(serde_json::from_str::<Claims>(&long).is_err());
        let many = format!("[{}0]", "0,".repeat(VALUES_MAX));
        assert!(serde_json::from_str::<Claims>(&many).is_err());
        let claims: Claims = serde_json::from_str(r#"{"machine":{"machine_id":"a"}}"#).unwrap();
        assert_eq!(claims.host(), Some("a"));
    }
}
