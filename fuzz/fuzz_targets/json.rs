//! The protocol's JSON rules: stricter than serde_json, and otherwise the same.
#![no_main]

use attest::protocol::json::{NESTING_MAX, read_value};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn levels(value: &Value) -> usize {
    match value {
        Value::Null => panic!("null was read"),
        Value::Array(values) => 1 + values.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(value) = read_value(data) else { return };
    assert!(levels(&value) <= NESTING_MAX);
    assert_eq!(serde_json::from_slice::<Value>(data).expect("looser"), value);
    assert_eq!(read_value(value.to_string().as_bytes()).expect("what is written is read"), value);
});
