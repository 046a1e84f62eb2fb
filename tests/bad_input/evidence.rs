//! Evidence of the wrong form.

use super::results::{read, result_json};
use crate::common::cpu_evidence;
use attest::protocol::digest::Uuid;
use attest::protocol::evidence::{CANONICAL_BYTES_MAX, Evidence, EvidenceError, VALUES_MAX};
use serde_json::{Value, json};

fn evidence_with(edit: impl FnOnce(&mut Value)) -> Result<Evidence, EvidenceError> {
    let mut value = cpu_evidence(&[Uuid::default()]).value().clone();
    edit(&mut value);
    Evidence::from_value(value)
}

#[test]
fn evidence_numbers_are_exact_integers() {
    for number in ["9007199254740991", "-9007199254740991", "0", "-1"] {
        let number: Value = serde_json::from_str(number).unwrap();
        evidence_with(|value| value["x"] = number).unwrap();
    }
    for number in
        ["9007199254740992", "-9007199254740992", "18446744073709551616", "1.0", "0.5", "-0", "1e3"]
    {
        let value: Value = serde_json::from_str(number).unwrap();
        let error = evidence_with(|evidence| evidence["x"] = json!([{"y": value}]));
        assert!(matches!(error, Err(EvidenceError::Number { .. })), "{number}");
    }
    assert_eq!(evidence_with(|value| value["x"] = json!([null])), Err(EvidenceError::Null));
}

#[test]
fn evidence_fields_that_are_required() {
    for name in ["schema", "executor", "lanes"] {
        let error = evidence_with(|value| drop(value.as_object_mut().unwrap().remove(name)));
        assert!(matches!(error, Err(EvidenceError::Field { .. })), "{name}");
    }
    for name in ["uuid", "model", "memory_bytes", "sm_count", "sm_tiles"] {
        let lane = |value: &mut Value| value["lanes"][0].as_object_mut().unwrap().remove(name);
        let error = evidence_with(|value| drop(lane(value)));
        assert!(matches!(error, Err(EvidenceError::Field { .. })), "{name}");
    }
    for (name, wrong) in [
        ("uuid", json!("00")),
        ("uuid", json!("A0".repeat(16))),
        ("model", json!(1)),
        ("memory_bytes", json!("1")),
        ("memory_bytes", json!(-1)),
        ("sm_count", json!(-1)),
        ("sm_tiles", json!({})),
        ("sm_tiles", json!([1])),
        ("sm_tiles", json!([""])),
        ("sm_tiles", json!(["01"])),
        ("sm_tiles", json!(["-1"])),
        ("sm_tiles", json!(["+1"])),
        ("sm_tiles", json!(["1 "])),
        ("sm_tiles", json!(["18446744073709551616"])),
    ] {
        let error = evidence_with(|value| value["lanes"][0][name] = wrong.clone());
        assert!(matches!(error, Err(EvidenceError::Field { .. })), "{name} {wrong}");
    }
    evidence_with(|value| value["lanes"][0]["sm_tiles"] = json!(["0", "18446744073709551615"]))
        .unwrap();
    evidence_with(|value| value["lanes"][0]["sm_monitoring"] = json!([1])).unwrap();
    for wrong in [json!([]), json!("gpu"), json!(1)] {
        assert!(Evidence::from_value(wrong).is_err());
    }
}

#[test]
fn evidence_at_its_longest_and_one_byte_more() {
    let empty = evidence_with(|value| value["x"] = json!("")).unwrap();
    let room = CANONICAL_BYTES_MAX - empty.canonical().len();
    let longest = evidence_with(|value| value["x"] = json!("a".repeat(room))).unwrap();
    let mut result = result_json();
    result["evidence"] = longest.value().clone();
    assert_eq!(read(result.to_string()).unwrap().evidence, longest);
    let error = evidence_with(|value| value["x"] = json!("a".repeat(room + 1)));
    let got_bytes = CANONICAL_BYTES_MAX + 1;
    assert_eq!(error, Err(EvidenceError::TooLarge { got_bytes }));
    // Escapes make the canonical form longer than the content.
    let error = evidence_with(|value| value["x"] = json!("\n".repeat(room / 2 + 1)));
    assert!(matches!(error, Err(EvidenceError::TooLarge { .. })));
    // Many members, whose quotes, colons and commas count, too.
    let member = |i: usize| (format!("{i:036}"), json!(0));
    let count = room / 41;
    let many: serde_json::Map<String, Value> = (0..count).map(member).collect();
    let full = evidence_with(|value| value["x"] = Value::Object(many)).unwrap();
    assert!(full.canonical().len() > CANONICAL_BYTES_MAX - 32);
    result["evidence"] = full.value().clone();
    read(result.to_string()).unwrap();
}

#[test]
fn evidence_with_as_many_values_as_it_may_have_and_one_more() {
    // Besides `x`: schema, executor, the list of lanes, a lane with five fields, and the
    // document itself.
    let few = 10;
    let with = |count: usize| json!(vec![json!({}); count]);
    let most = evidence_with(|value| value["x"] = with(VALUES_MAX - few - 1)).unwrap();
    let mut result = result_json();
    result["evidence"] = most.value().clone();
    assert_eq!(read(result.to_string()).unwrap().evidence, most);
    let error = evidence_with(|value| value["x"] = with(VALUES_MAX - few));
    assert_eq!(error, Err(EvidenceError::TooManyValues { got: VALUES_MAX + 1 }));
    // A stranger's is refused while it is read, whatever else there may be in it.
    result["evidence"]["x"] = with(VALUES_MAX);
    let error = read(result.to_string()).unwrap_err().to_string();
    assert!(error.contains("more than 32768 JSON values"), "{error}");
}
