//! The digest of a policy: what verdicts name it by.
//!
//! Guarantees: two files that demand the same have the same digest; a field or a
//! finding that the program learns later changes no digest of a policy that leaves it
//! at its default (tested against digests of earlier programs).
//! Deliberately lacks: a way back from the digest to the values.

use super::Policy;
use crate::protocol::digest::Digest;
use serde_json::Value;

/// Every field and finding that is part of the digest whatever its value is. This is a
/// record of what digests were made of, and never grows: what is not in it takes part
/// only if it differs from its default.
const ALWAYS: [&str; 72] = [
    "devices.cpu_allowed",
    "devices.driver_version_max",
    "devices.driver_version_min",
    "devices.gpu_count_max",
    "devices.gpu_count_min",
    "devices.host_required",
    "devices.memory_min_bytes",
    "devices.mig_allowed",
    "devices.models",
    "devices.serial_required",
    "devices.sm_share_min",
    "devices.unknown_models_allowed",
    "history.window_days",
    "session.dodge_window_s",
    "session.dodges_max",
    "session.live_required",
    "session.miner_key_required",
    "session.valid_for_s",
    "soundness.escape_probability_max",
    "soundness.omitted_share",
    "telemetry.clock_share_min",
    "telemetry.power_median_min_w",
    "time.duration_target_s",
    "time.round_trip_allowance_ms",
    "time.slack",
    "time.startup_allowance_ms",
    "findings.bandwidth-above-model",
    "findings.clock-above-maximum",
    "findings.device-count",
    "findings.device-listed-twice",
    "findings.device-lost",
    "findings.device-shared",
    "findings.device-unlisted",
    "findings.devices-hidden",
    "findings.driver-files-mounted-over",
    "findings.driver-version-differs",
    "findings.duration-contradicted",
    "findings.ecc-differs",
    "findings.ecc-errors-during-run",
    "findings.ecc-uncorrected-changed",
    "findings.elapsed-unknown",
    "findings.finding-unknown",
    "findings.findings-malformed",
    "findings.floor-unknown",
    "findings.lane-unlisted",
    "findings.library-deleted",
    "findings.library-mounted-over",
    "findings.library-not-mapped",
    "findings.memory-above-model",
    "findings.memory-differs",
    "findings.mig-mode-differs",
    "findings.name-differs",
    "findings.not-bound-to-miner",
    "findings.pci-ids-differ",
    "findings.power-above-limit",
    "findings.preload-file",
    "findings.preload-variable",
    "findings.rate-above-peak",
    "findings.rate-differs",
    "findings.remapped-rows-changed",
    "findings.rows-remapped-during-run",
    "findings.serial-listed-twice",
    "findings.sm-counters-missing",
    "findings.sms-above-model",
    "findings.telemetry-missing",
    "findings.throttled",
    "findings.uuid-changed-host",
    "findings.uuid-changed-serial",
    "findings.uuid-differs",
    "findings.uuid-in-two-sessions",
    "findings.uuid-under-two-identities",
    "findings.vbios-differs",
];

impl Policy {
    /// SHA-256 of the RFC 8785 form of the values that differ from their defaults and of
    /// those that policies had from the first: two files that demand the same have the
    /// same digest.
    pub fn digest(&self) -> Digest {
        let json = |policy: &Self| match serde_json::to_value(policy) {
            Ok(Value::Object(tables)) => tables,
            _ => unreachable!("strings, integers, finite numbers and names are an object"),
        };
        let (mut own, defaults) = (json(self), json(&Self::default()));
        for (table, values) in &mut own {
            if let Value::Object(fields) = values {
                let is_default = |field: &str, value: &Value| defaults[table][field] == *value;
                fields.retain(|field, value| is_part(table, field) || !is_default(field, value));
            }
        }
        // Tables of which nothing is left, and lists, are what policies did not always have.
        own.retain(|table, values| match values {
            Value::Object(fields) => !fields.is_empty(),
            Value::Array(_) => *values != defaults[table],
            _ => true,
        });
        let form = serde_json_canonicalizer::to_vec(&own)
            .expect("strings, integers, finite numbers and names have a canonical form");
        Digest::of(&[&form])
    }
}

/// Whether a field is part of the digest whatever its value is.
fn is_part(table: &str, field: &str) -> bool {
    ALWAYS
        .iter()
        .any(|path| path.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')) == Some(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field that the first policies had, each with another value than its default.
    const FULL: &str = include_str!("digest_test.toml");

    #[test]
    fn digests_are_those_of_earlier_programs() {
        let policy = |text: &str| Policy::from_toml(text, "p.toml").unwrap();
        let digest = |text: &str| policy(text).digest().to_string();
        let default = "edd22bcb2121717b5527975853183db70c69ed37ac96dd5b4db598c69056efae";
        assert_eq!(digest(""), default);
        assert_eq!(digest(&Policy::template()), default);
        let full = "236a88df59e361b60c35418568e8cd2cbd6548de1662aa48b2a5779107b473c3";
        assert_eq!(digest(FULL), full);
    }

    #[test]
    fn later_fields_count_if_they_differ_from_their_defaults() {
        let digest = |text| Policy::from_toml(text, "p.toml").unwrap().digest();
        let default = Policy::default().digest();
        assert_eq!(digest("[memory]\noutside_gb_s = 128\nlink_gb_s_min = 0\n"), default);
        let faster = digest("[memory]\noutside_gb_s = 256\n");
        assert_ne!(faster, default);
        assert_ne!(digest("[memory]\nrefill_gb_s = 256\n"), faster);
        // Where a value is the default it counts for fields that policies always had.
        assert_eq!(digest("[time]\nslack = 1.45\n"), default);
        assert_ne!(digest("[time]\nslack = 1.5\n"), default);
    }

    #[test]
    fn the_record_names_what_there_is() {
        let policy = serde_json::to_value(Policy::default()).unwrap();
        for path in ALWAYS {
            let (table, field) = path.split_once('.').unwrap();
            assert!(policy[table].get(field).is_some(), "{path}");
        }
    }
}
