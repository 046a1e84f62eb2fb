//! Statements that a signer did sign and that still say nothing.

use crate::common::{cpu_evidence, spec};
use attest::export::{Attested, PAYLOAD_TYPE, Refusal, check, dsse, export};
use attest::identity::SigningIdentity;
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Uuid;
use attest::protocol::names::Coin;
use attest::protocol::receipt::{Receipt, ReceiptError};
use attest::reference::Run;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const UUIDS: [Uuid; 2] = [Uuid([1; 16]), Uuid([2; 16])];
const COIN: Coin = Coin::new([7; 32]).unwrap();
const ARRIVED_UNIX_MS: u64 = 1_767_225_700_123;

/// A live session's result on two lanes with its receipt.
fn attested(validator: &SigningIdentity) -> Attested {
    let mut spec = spec();
    spec.validator_id = Some(validator.public().encoded());
    let challenge = Challenge::issue(spec).unwrap();
    let result = Run::of(&challenge, &UUIDS).result(cpu_evidence(&UUIDS), Some(COIN), None);
    let receipt =
        validator.sign_receipt(&challenge, &result.commitment, COIN, ARRIVED_UNIX_MS).unwrap();
    Attested::new(challenge, result, Some(receipt), None).unwrap()
}

struct Signed {
    validator: SigningIdentity,
    statement: String,
}

impl Signed {
    fn new() -> Self {
        let validator = SigningIdentity::generate().unwrap();
        let statement = attested(&validator).to_statement();
        Self { validator, statement }
    }

    /// What a check says about `statement`, honestly signed.
    fn checked(&self, statement: &str) -> Result<Attested, Refusal> {
        let envelope = dsse::sign(&self.validator, PAYLOAD_TYPE, statement.as_bytes());
        check(envelope.as_bytes(), &self.validator.public())
    }

    fn refused(&self, edit: impl FnOnce(&mut Value)) -> Refusal {
        let mut value: Value = serde_json::from_str(&self.statement).unwrap();
        edit(&mut value);
        self.checked(&value.to_string()).unwrap_err()
    }

    fn code(&self, edit: impl FnOnce(&mut Value)) -> &'static str {
        self.refused(edit).code()
    }
}

#[test]
fn result_and_receipt_survive() {
    let validator = SigningIdentity::generate().unwrap();
    let before = attested(&validator);
    let envelope = export(&before, &validator).unwrap();
    let key = validator.public();
    let after = check(envelope.as_bytes(), &key).unwrap();
    assert_eq!(after.result(), before.result());
    assert_eq!(after.receipt(), before.receipt());
    assert_eq!(after.challenge().digest(), before.challenge().digest());
}

#[test]
fn other_kinds_of_statement_are_refused() {
    let signed = Signed::new();
    assert_eq!(
        signed.code(|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1")),
        "statement-type"
    );
    let provenance = json!("https://slsa.dev/provenance/v1");
    assert_eq!(signed.code(|s| s["predicateType"] = provenance), "predicate-type");
}

#[test]
fn malformed_statements_are_refused() {
    let signed = Signed::new();
    let malformed = "statement-malformed";
    for text in ["", "null", "[]", "{}", "{\"_type\":1}"] {
        assert_eq!(signed.checked(text).unwrap_err().code(), malformed, "{text}");
    }
    assert_eq!(signed.code(|s| s["more"] = json!(1)), malformed);
    assert_eq!(signed.code(|s| s["predicate"]["more"] = json!(1)), malformed);
    assert_eq!(signed.code(|s| s["predicate"] = json!([])), malformed);
    assert_eq!(signed.code(|s| s["subject"][0]["digest"]["md5"] = json!("")), malformed);
    for (field, value) in
        [("predicateType", "\"\""), ("predicate", "{}"), ("subject", "[]"), ("_type", "\"\"")]
    {
        let twice = signed.statement.replacen('{', &format!("{{\"{field}\":{value},"), 1);
        assert_eq!(signed.checked(&twice).unwrap_err().code(), malformed, "{field}");
    }
    let twice =
        signed.statement.replacen("{\"challenge\":", "{\"challenge\":\"\",\"challenge\":", 1);
    assert_ne!(twice, signed.statement);
    assert_eq!(signed.checked(&twice).unwrap_err().code(), malformed);
}

#[test]
fn subjects_are_the_lanes_and_nothing_else() {
    let signed = Signed::new();
    assert_eq!(signed.code(|s| s["subject"].as_array_mut().unwrap().swap(0, 1)), "subjects");
    assert_eq!(signed.code(|s| s["subject"] = json!([])), "subjects");
    assert_eq!(signed.code(|s| s["subject"][0]["name"] = json!("GPU-0")), "subjects");
    let digest = json!("00".repeat(32));
    assert_eq!(signed.code(|s| s["subject"][1]["digest"]["sha256"] = digest), "subjects");
}

#[test]
fn the_predicates_parts_belong_together() {
    let signed = Signed::new();
    assert_eq!(signed.code(|s| s["predicate"]["challenge"] = json!("e30=")), "challenge-malformed");
    let other = Challenge::issue(spec()).unwrap();
    let other = json!(other.token());
    assert_eq!(signed.code(|s| s["predicate"]["challenge"] = other), "challenge-mismatch");
    assert_eq!(signed.code(|s| s["predicate"]["result"]["lanes"] = json!([])), "result-malformed");
    assert_eq!(signed.code(|s| s["predicate"]["result"] = json!([])), "result-malformed");
    assert_eq!(signed.code(|s| s["predicate"]["receipt"] = Value::Null), "receipt");
    assert_eq!(signed.code(|s| s["predicate"]["verdict"] = json!({})), "verdict");
    let late = signed.refused(|s| s["predicate"]["receipt"]["arrived_unix_ms"] = json!(1));
    assert_eq!(late, Refusal::Receipt(ReceiptError::Signature));
}

#[test]
fn signatures_of_results_and_receipts_are_no_envelopes_signatures() {
    let signed = Signed::new();
    let receipt: Receipt = {
        let statement: Value = serde_json::from_str(&signed.statement).unwrap();
        serde_json::from_value(statement["predicate"]["receipt"].clone()).unwrap()
    };
    let envelope = dsse::sign(&signed.validator, PAYLOAD_TYPE, signed.statement.as_bytes());
    let mut envelope: Value = serde_json::from_str(&envelope).unwrap();
    let sig = STANDARD.encode(receipt.signature);
    envelope["signatures"][0]["sig"] = json!(sig);
    let key = signed.validator.public();
    let refused = check(envelope.to_string().as_bytes(), &key).unwrap_err();
    assert_eq!(refused, Refusal::SignatureInvalid);
}
