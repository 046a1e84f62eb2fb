//! `attest export`: out, back, and tampered with on the way.

use crate::identities::{COULD_NOT_RUN, Desk, OK, REJECTED};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const EXPORT: &str =
    "export --in-toto result.json --challenge @token.txt --key validator.pem --out att.json";

/// A desk with an exported result; the validator's public key.
fn exported() -> (Desk, String) {
    let desk = Desk::new();
    let (miner, validator) = (desk.key("miner"), desk.key("validator"));
    desk.challenge(&["--miner-id", &miner, "--validator-id", &validator]);
    desk.mine(&["--key", "miner.pem"]);
    desk.write("verdict.json", &desk.verdict(OK).to_string());
    desk.attest(OK, EXPORT.split(' ').chain(["--verdict", "verdict.json"]));
    (desk, validator)
}

/// What the check of att.json says, as JSON.
#[track_caller]
fn check(desk: &Desk, code: i32, signer: &str) -> Value {
    let args = ["export", "--check", "att.json", "--json", "--signer", signer];
    serde_json::from_str(&desk.attest(code, args).stdout).expect("JSON")
}

#[test]
fn what_was_exported_comes_back() {
    let (desk, validator) = exported();
    let checked = check(&desk, OK, &validator);
    assert_eq!((&checked["outcome"], &checked["role"]), (&json!("signed"), &json!("validator")));
    assert_eq!(checked["verdict"]["outcome"], "verified");
    let result: Value = serde_json::from_str(&desk.read("result.json")).unwrap();
    assert_eq!(checked["commitment"], result["commitment"]);
    let uuid = result["lanes"][0]["uuid"].as_str().unwrap();
    let subject = &checked["subjects"][0];
    assert_eq!(subject["name"].as_str().unwrap().replace('-', ""), format!("CPU{uuid}"));
    let bytes = hex::decode(uuid).unwrap();
    let of_uuid = attest::protocol::digest::Digest::of(&[&bytes]).to_string();
    assert_eq!(subject["digest"]["sha256"], of_uuid);

    let args = ["export", "--check", "att.json", "--signer", &validator, "--extract", "folder"];
    let shown = desk.attest(OK, args).stdout;
    assert!(shown.starts_with("SIGNED"), "{shown}");
    assert!(shown.contains("not checked  the work"), "{shown}");
    assert_eq!(desk.read("folder/token.txt"), desk.read("token.txt"));
    let args = "verify folder/result.json --challenge @folder/token.txt".split(' ');
    desk.attest(OK, args);
    // Nothing is written over.
    let args = ["export", "--check", "att.json", "--signer", &validator, "--extract", "folder"];
    desk.attest(COULD_NOT_RUN, args).refuses("cannot make the folder");
}

#[test]
fn the_envelope_is_what_other_tools_read() {
    let (desk, validator) = exported();
    let envelope: Value = serde_json::from_str(&desk.read("att.json")).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    assert_eq!(envelope["signatures"][0]["keyid"], validator);
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "urn:gpu-attest:computation:v1");
    let keys: Vec<&String> = statement["predicate"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["challenge", "result", "verdict"]);
}

#[test]
fn tampering_is_refused_by_name() {
    let (desk, validator) = exported();
    let good = desk.read("att.json");
    let refused = |text: String, code: &str| {
        desk.write("att.json", &text);
        assert_eq!(check(&desk, REJECTED, &validator)["code"], code);
    };
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut envelope: Value = serde_json::from_str(&good).unwrap();
        edit(&mut envelope);
        envelope.to_string()
    };
    refused(edited(&|envelope| envelope["signatures"] = json!([])), "unsigned");
    refused(edited(&|envelope| envelope["payload"] = json!("e30=")), "signature-invalid");
    refused(edited(&|envelope| envelope["payloadType"] = json!("text/plain")), "payload-type");
    refused(good.replacen('{', "{\"payloadType\":\"x\",", 1), "envelope-malformed");
    refused(desk.read("result.json"), "envelope-malformed");
    desk.write("att.json", &good);
    check(&desk, OK, &validator);
    let other = desk.key("other");
    assert_eq!(check(&desk, REJECTED, &other)["code"], "signature-invalid");
    // y = 2 is on no point of the curve.
    let no_key = format!("02{}", "00".repeat(31));
    let args = ["export", "--check", "att.json", "--signer", &no_key];
    desk.attest(COULD_NOT_RUN, args).refuses("not an Ed25519 public key");
}

#[test]
fn what_does_not_belong_together_is_not_exported() {
    let (desk, _) = exported();
    let verdict = desk.read("verdict.json");
    let refused = |text: &str| {
        let args = EXPORT.replace("att.json", "none.json");
        let args = args.split(' ').chain(["--verdict", "verdict.json"]);
        desk.attest(COULD_NOT_RUN, args).refuses(text);
        assert!(!desk.path("none.json").exists());
    };
    let mut other: Value = serde_json::from_str(&verdict).unwrap();
    other["commitment"] = json!("00".repeat(32));
    desk.write("verdict.json", &other.to_string());
    refused("it does not name this challenge and commitment");
    desk.write("verdict.json", "[]");
    refused("it is not a verdict");
    desk.write("verdict.json", &verdict);
    let result = desk.read("result.json");
    let mut stripped: Value = serde_json::from_str(&result).unwrap();
    stripped["miner_signature"] = json!("00".repeat(64));
    desk.write("result.json", &stripped.to_string());
    refused("does not verify under the challenge's miner_id");
    desk.write("result.json", &result);
    desk.challenge(&[]);
    refused("miner_signature");
}

#[test]
fn one_direction_at_a_time() {
    let desk = Desk::new();
    for args in [
        "export",
        "export --check a",
        "export --in-toto r --challenge t",
        "export --in-toto r --challenge t --key k --check a --signer 00",
        "export --check a --signer 00 --key k",
    ] {
        desk.attest(COULD_NOT_RUN, args.split(' '));
    }
}
