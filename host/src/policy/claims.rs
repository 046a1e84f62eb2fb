//! What a lane of the evidence claims beyond the required fields, for the rules
//! of a policy.
//!
//! Guarantees: whatever the miner wrote, reading it neither fails nor costs more
//! than looking: what is absent or of another form than expected is `None`.
//! Deliberately lacks: the difference between absent and malformed. To a policy
//! both mean that nothing was said.

use serde_json::Value;

/// Longest text of a number, bytes.
const NUMBER_BYTES_MAX: usize = 40;

/// One lane's claims.
#[derive(Clone, Copy)]
pub(super) struct Claims<'a> {
    lane: &'a Value,
}

impl<'a> Claims<'a> {
    /// The claims of lane `g` of an evidence document.
    pub(super) fn of(evidence: &'a Value, g: usize) -> Self {
        Self { lane: evidence.get("lanes").and_then(|lanes| lanes.get(g)).unwrap_or(&Value::Null) }
    }

    /// Whether it says anything of the device over the run.
    pub(super) fn has_telemetry(self) -> bool {
        self.clock_mhz_median().is_some() || self.power_w_median().is_some()
    }

    /// The median SM clock over the run, MHz.
    pub(super) fn clock_mhz_median(self) -> Option<f64> {
        self.median("sm_clock_mhz")
    }

    /// The median power over the run, W.
    pub(super) fn power_w_median(self) -> Option<f64> {
        Some(1e-3 * self.median("power_mw")?)
    }

    /// An error count before the run and after it.
    pub(super) fn counts(self, name: &str) -> Option<(f64, f64)> {
        let telemetry = self.lane.get("telemetry")?;
        let count = |when| number(telemetry.get(when)?.get(name)?);
        Some((count("before")?, count("after")?))
    }

    fn median(self, name: &str) -> Option<f64> {
        number(self.lane.get("telemetry")?.get(name)?.get("median")?)
    }

    /// Why its clocks were held down.
    pub(super) fn throttle_reasons(self) -> impl Iterator<Item = &'a str> {
        let reasons = self.lane.get("telemetry").and_then(|t| t.get("throttle_reasons"));
        reasons.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// The board's serial number.
    pub(super) fn serial(self) -> Option<&'a str> {
        self.lane.get("serial")?.as_str().filter(|serial| !serial.is_empty())
    }

    /// How long its part took, s.
    pub(super) fn elapsed_s(self) -> Option<f64> {
        Some(1e-9 * number(self.lane.get("elapsed_ns")?)?).filter(|&s| s > 0.0)
    }
}

/// The machine's id.
pub(super) fn host(evidence: &Value) -> Option<&str> {
    evidence.get("machine")?.get("machine_id")?.as_str().filter(|id| !id.is_empty())
}

/// The kernel driver's version.
pub(super) fn driver_version(evidence: &Value) -> Option<&str> {
    evidence.get("machine")?.get("kernel_driver_version")?.as_str()
}

/// A finite number >= 0, written as one or as text.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) if text.len() <= NUMBER_BYTES_MAX => text.parse().ok()?,
        _ => return None,
    };
    (number.is_finite() && number >= 0.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_read_from_both_forms_and_nothing_else_is_one() {
        assert_eq!(number(&json!(1980)), Some(1980.0));
        assert_eq!(number(&json!("699.5")), Some(699.5));
        for other in [json!(-1), json!("nan"), json!("inf"), json!([1]), json!("1".repeat(41))] {
            assert_eq!(number(&other), None, "{other}");
        }
    }

    #[test]
    fn strange_documents_claim_nothing() {
        for document in [
            json!(1),
            json!({"lanes": {}}),
            json!({"lanes": [7]}),
            json!({"lanes": [
            {"telemetry": [], "elapsed_ns": "0", "model": 3}]}),
        ] {
            let claims = Claims::of(&document, 0);
            assert!(!claims.has_telemetry());
            assert_eq!((claims.elapsed_s(), claims.throttle_reasons().count()), (None, 0));
            assert_eq!((driver_version(&document), host(&document)), (None, None));
            assert_eq!(claims.serial(), None);
        }
    }
}
