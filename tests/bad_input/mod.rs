//! Bad input from strangers: each kind is refused with its named error, before
//! anything is allocated or computed for it.

mod arbitrary;
mod bounds;
mod evidence;
mod receipts;
mod results;
mod tokens;

use crate::common::spec;
use attest::protocol::challenge::{Challenge, ChallengeError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

fn json_of_spec() -> Value {
    serde_json::to_value(spec()).unwrap()
}

fn token(json: &str) -> String {
    STANDARD.encode(json)
}

#[track_caller]
fn refused(json: &str, code: &str) {
    match Challenge::from_token(&token(json)) {
        Err(error) => {
            assert_eq!(error.code(), code, "{error}");
            assert_eq!(error.to_string().lines().count(), 2, "{error}");
        }
        Ok(_) => panic!("accepted: {json}"),
    }
}

#[track_caller]
fn field(name: &str, value: Value) -> Result<Challenge, ChallengeError> {
    let mut spec = json_of_spec();
    spec[name] = value;
    Challenge::from_token(&token(&spec.to_string()))
}

#[track_caller]
fn out_of_bounds(name: &str, value: Value) {
    let json = value.to_string();
    let error = field(name, value).expect_err(&json);
    assert_eq!(error.code(), "challenge-out-of-bounds", "{error}");
    assert!(error.to_string().contains(name), "{error}");
}

/// The spec's JSON with one value replaced by raw text.
fn with_raw(name: &str, raw: &str) -> String {
    let mut spec = json_of_spec();
    spec[name] = json!("@@");
    spec.to_string().replace("\"@@\"", raw)
}
