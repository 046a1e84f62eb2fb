//! Results that are signed, should be, or shouldn't.

use crate::identities::{COULD_NOT_RUN, Desk, OK, REJECTED};
use serde_json::{Value, json};

/// A desk with a result to a challenge that names its miner.
fn signed() -> Desk {
    let desk = Desk::new();
    let public = desk.key("miner");
    desk.challenge(&["--miner-id", &public]);
    desk.mine(&["--key", "miner.pem"]);
    desk
}

fn edit(desk: &Desk, edit: impl FnOnce(&mut Value)) {
    let mut result: Value = serde_json::from_str(&desk.read("result.json")).unwrap();
    edit(&mut result);
    desk.write("result.json", &result.to_string());
}

#[test]
fn a_signed_result_is_verified_as_its_miners() {
    let desk = signed();
    let public = desk.attest(OK, ["key", "show", "miner.pem"]).stdout;
    let verdict = desk.verdict(OK);
    let facts = verdict["facts"].as_array().unwrap();
    let signature = facts.iter().find(|fact| fact["subject"] == "signature").unwrap();
    assert_eq!(signature["grade"], "proven");
    assert!(signature["text"].as_str().unwrap().contains(public.trim_end()));
    assert!(!verdict["facts"].to_string().contains("not bound to a miner"));
}

#[test]
fn a_stripped_signature_is_rejected() {
    let desk = signed();
    edit(&desk, |result| drop(result.as_object_mut().unwrap().remove("miner_signature")));
    let verdict = desk.verdict(REJECTED);
    assert_eq!((&verdict["code"], &verdict["step"]), (&json!("signature-missing"), &json!(1)));
}

#[test]
fn another_keys_signature_is_rejected() {
    let desk = signed();
    let other = attest::identity::SigningIdentity::generate().unwrap();
    edit(&desk, |result| {
        let text = |name: &str| result[name].as_str().unwrap();
        let c = text("challenge_digest").parse().unwrap();
        let commitment = text("commitment").parse().unwrap();
        let message = attest::protocol::signature::miner_message(&c, &commitment);
        result["miner_signature"] = json!(hex::encode(other.sign(&message)));
    });
    let verdict = desk.verdict(REJECTED);
    assert_eq!((&verdict["code"], &verdict["step"]), (&json!("signature-invalid"), &json!(2)));
}

#[test]
fn a_miner_answers_challenges_to_itself_only() {
    let desk = Desk::new();
    let (public, other) = (desk.key("miner"), desk.key("other"));
    desk.challenge(&["--miner-id", &public]);
    let run = "run --challenge @token.txt --executor cpu".split(' ');
    let refused = desk.attest(COULD_NOT_RUN, run.clone());
    refused.refuses(&format!("may be answered by {public} only"));
    let refused = desk.attest(COULD_NOT_RUN, run.chain(["--key", "other.pem"]));
    refused.refuses(&format!("may be answered by {public} only, and this is the key of {other}"));
}

#[test]
fn a_challenge_to_anyone_is_answered_without_a_signature() {
    let desk = Desk::new();
    desk.key("miner");
    desk.challenge(&[]);
    desk.mine(&["--key", "miner.pem"]);
    assert!(!desk.read("result.json").contains("miner_signature"));
    let verdict = desk.verdict(OK);
    assert!(verdict["facts"].to_string().contains("not bound to a miner"), "{verdict}");
    edit(&desk, |result| result["miner_signature"] = json!("00".repeat(64)));
    assert_eq!(desk.verdict(REJECTED)["code"], "signature-unexpected");
}
