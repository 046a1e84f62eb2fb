//! Verdicts as EAT attestation results: what they say, and tokens that are not what they
//! should be.

use crate::common::{cpu_evidence, spec};
use attest::export::{Attested, Refusal, ear};
use attest::identity::SigningIdentity;
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Uuid;
use attest::reference::Run;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

const AT_UNIX_S: i64 = 1_780_272_000;
const UUIDS: [Uuid; 2] = [Uuid([1; 16]), Uuid([2; 16])];

/// A result of two lanes and a verdict on it that accepts it, changed.
fn attested(edit: impl FnOnce(&mut Value)) -> Attested {
    let challenge = Challenge::issue(spec()).unwrap();
    let result = Run::of(&challenge, &UUIDS).result(cpu_evidence(&UUIDS), None, None);
    let signed = json!({
        "die": "11".repeat(32), "die_serial": "07", "family": "GH100",
        "driver_version": "580.95.05", "vbios_version": "96.00.9F.00.01",
        "measurements": "match", "revocation": "good",
    });
    let mut verdict = json!({
        "schema": 3, "outcome": "verified", "work": "proven",
        "challenge_digest": challenge.digest(), "commitment": result.commitment,
        "policy": {"policy": "default", "policy_digest": "22".repeat(32), "reasons": []},
        "devices": [{"lane": 1, "signed": signed}],
    });
    edit(&mut verdict);
    Attested::new(challenge, result, None, Some(&verdict.to_string())).unwrap()
}

/// The claims of the token on such a verdict.
fn claims(edit: impl FnOnce(&mut Value)) -> Value {
    let identity = SigningIdentity::generate().unwrap();
    let token = ear::export(&attested(edit), &identity, AT_UNIX_S).unwrap();
    ear::check(&token, &identity.public()).unwrap()
}

/// Status and trustworthiness vector of a part.
fn part<'a>(claims: &'a Value, name: &str) -> (&'a str, Value) {
    let part = &claims["submods"][name];
    (part["ear_status"].as_str().unwrap(), part["ear_trustworthiness_vector"].clone())
}

#[test]
fn a_verdict_is_told_in_the_profiles_claims() {
    let all = claims(|_| {});
    let challenge = Challenge::issue(spec()).unwrap().digest();
    assert_eq!(all["eat_profile"], "tag:ietf.org,2026:rats/ear#04");
    assert_eq!((&all["iat"], &all["ear_status"]), (&json!(AT_UNIX_S), &json!("affirming")));
    assert_eq!(BASE64.decode(all["eat_nonce"].as_str().unwrap()).unwrap(), challenge.0);
    assert_eq!(part(&all, "work"), ("affirming", Value::Null));
    // Of a device that signed nothing, nothing is claimed.
    assert_eq!(part(&all, "lane-0"), ("none", Value::Null));
    let both = json!({"hardware": 2, "executables": 3});
    assert_eq!(part(&all, "lane-1"), ("affirming", both));
    let policy = json!([format!("urn:gpu-attest:policy:sha256:{}", "22".repeat(32))]);
    assert_eq!(all["submods"]["work"]["ear_appraisal_policy_ids"], policy);
    let lane = &all["submods"]["lane-1"]["ear_attester_claims"];
    assert_eq!((&lane["die"], &lane["uuid"]), (&json!("11".repeat(32)), &json!(UUIDS[1])));
}

#[test]
fn what_is_not_known_is_not_claimed_and_the_worst_counts() {
    let device = |edit: fn(&mut Value)| claims(move |verdict| edit(&mut verdict["devices"][0]));
    let unknown = device(|it| {
        (it["signed"]["revocation"], it["signed"]["measurements"]) =
            (json!("unknown"), json!("unknown"));
    });
    assert_eq!(part(&unknown, "lane-1"), ("none", Value::Null));
    let differs = device(|it| it["signed"]["measurements"] = json!("differ"));
    assert_eq!(part(&differs, "lane-1").0, "warning");
    assert_eq!(differs["ear_status"], "warning");
    for (code, vector) in [
        ("ocsp-revoked", json!({"instance-identity": 96})),
        ("chain-root", json!({"hardware": 97})),
        ("report-signature", json!({"hardware": 99})),
    ] {
        let broken = claims(|it| it["devices"] = json!([{"lane": 1, "code": code}]));
        assert_eq!(part(&broken, "lane-1"), ("contraindicated", vector), "{code}");
        assert_eq!(broken["ear_status"], "contraindicated");
    }
    let rejected = claims(|it| {
        (it["outcome"], it["code"]) = (json!("rejected"), json!("rejected-by-policy"));
    });
    assert_eq!(part(&rejected, "work").0, "contraindicated");
    let warned = claims(|it| it["policy"]["reasons"] = json!([{"weight": "warn"}]));
    assert_eq!(part(&warned, "work").0, "warning");
    let alone = claims(|it| _ = it.as_object_mut().unwrap().remove("policy"));
    assert_eq!(part(&alone, "work").0, "warning");
    assert_eq!(alone["submods"]["work"].get("ear_appraisal_policy_ids"), None);
    assert_eq!(part(&claims(|it| it["work"] = json!("not-proven")), "work").0, "warning");
    assert_eq!(part(&claims(|it| it["outcome"] = json!("could-not-run")), "work").0, "none");
}

#[test]
fn a_machines_quote_is_a_part_of_its_own() {
    assert_eq!(claims(|_| {})["submods"].get("machine"), None);
    let signed = json!({
        "platform": "33".repeat(32), "measurement": "44".repeat(48),
        "debug": false, "versions": "3.0.8.115",
    });
    let machine = |edit: fn(&mut Value)| {
        let mut found = json!({"kind": "sev-snp", "signed": signed});
        edit(&mut found);
        claims(move |verdict| verdict["machine"] = found)
    };
    let quoted = machine(|_| {});
    assert_eq!(part(&quoted, "machine"), ("affirming", json!({"runtime-opaque": 2})));
    let told = &quoted["submods"]["machine"]["ear_attester_claims"];
    assert_eq!((&told["kind"], &told["debug"]), (&json!("sev-snp"), &json!(false)));
    assert_eq!(told["platform"], "33".repeat(32));
    assert_eq!(quoted["ear_status"], "affirming");
    // Its host may read all of it.
    let open = machine(|it| it["signed"]["debug"] = json!(true));
    assert_eq!(part(&open, "machine"), ("contraindicated", json!({"runtime-opaque": 96})));
    assert_eq!(open["ear_status"], "contraindicated");
    for (code, value) in [("chain-root", 97), ("quote-signature", 99)] {
        let found = json!({"kind": "tdx", "code": code});
        let broken = claims(|verdict| verdict["machine"] = found);
        assert_eq!(part(&broken, "machine"), ("contraindicated", json!({"hardware": value})));
        assert_eq!(broken["submods"]["machine"]["ear_verifier_claims"]["code"], code);
    }
}

/// A token of this header and these claims, signed.
fn signed(identity: &SigningIdentity, header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| BASE64.encode(part.to_string()));
    let text = format!("{header}.{claims}");
    format!("{text}.{}", BASE64.encode(identity.sign(text.as_bytes())))
}

#[test]
fn tokens_that_are_changed_unsigned_or_of_another_make() {
    let identity = SigningIdentity::generate().unwrap();
    let key = identity.public();
    let code = |token: &str| ear::check(token, &key).map_or_else(|it| it.code(), |_| "holds");
    let honest = ear::export(&attested(|_| {}), &identity, AT_UNIX_S).unwrap();
    assert_eq!(code(&honest), "holds");
    let other = SigningIdentity::generate().unwrap().public();
    assert_eq!(ear::check(&honest, &other).unwrap_err().code(), "signature-invalid");
    let (header, claims) = (json!({"alg": "EdDSA"}), ear::check(&honest, &key).unwrap());
    assert_eq!(code(&signed(&identity, &header, &claims)), "holds");

    // Every part of it is signed.
    let parts: Vec<&str> = honest.split('.').collect();
    let better = claims.to_string().replace("none", "affirming");
    let forged = format!("{}.{}.{}", parts[0], BASE64.encode(better), parts[2]);
    assert_eq!(code(&forged), "signature-invalid");
    let none = BASE64.encode(r#"{"alg":"none"}"#);
    assert_eq!(code(&format!("{none}.{}.", parts[1])), "token-algorithm");
    for header in [json!({"alg": "HS256"}), json!({"alg": "eddsa"}), json!({"typ": "JWT"})] {
        assert_eq!(code(&signed(&identity, &header, &claims)), "token-algorithm");
    }
    // A member that a reader has to understand.
    let critical = json!({"alg": "EdDSA", "crit": ["b64"], "b64": false});
    assert_eq!(code(&signed(&identity, &critical, &claims)), "token-malformed");
    let twice = format!("{}.{}", BASE64.encode(r#"{"alg":"none","alg":"EdDSA"}"#), parts[1]);
    let twice = format!("{twice}.{}", BASE64.encode(identity.sign(twice.as_bytes())));
    assert_eq!(code(&twice), "token-malformed");
    for text in ["", ".", "a.b.c.d", &parts[..2].join("."), "{}", &honest.replace('.', " ")] {
        assert_eq!(code(text), "token-malformed", "{text}");
    }
    assert_eq!(code(&"a".repeat(1 << 21)), "too-large");

    let changed = |edit: fn(&mut Value)| {
        let mut claims = claims.clone();
        edit(&mut claims);
        code(&signed(&identity, &header, &claims))
    };
    assert_eq!(changed(|it| it["eat_profile"] = json!("tag:other")), "token-profile");
    let edits: [fn(&mut Value); 9] = [
        |it| it["iat"] = json!("now"),
        |it| it["eat_nonce"] = json!("short"),
        |it| it["ear_verifier_id"] = json!("me"),
        |it| it["ear_status"] = json!("fine"),
        |it| it["submods"] = json!({}),
        |it| it["submods"]["work"]["ear_status"] = Value::Null,
        |it| it["submods"]["lane-1"]["ear_trustworthiness_vector"] = json!({}),
        |it| it["submods"]["lane-1"]["ear_trustworthiness_vector"]["hardware"] = json!(200),
        // A status that is better than what it is said of.
        |it| it["submods"]["lane-1"]["ear_trustworthiness_vector"]["hardware"] = json!(97),
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        assert_eq!(changed(edit), "token-malformed", "edit {at}");
    }
}

#[test]
fn without_a_verdict_there_is_nothing_to_say() {
    let identity = SigningIdentity::generate().unwrap();
    let challenge = Challenge::issue(spec()).unwrap();
    let result = Run::of(&challenge, &UUIDS).result(cpu_evidence(&UUIDS), None, None);
    let bare = Attested::new(challenge, result, None, None).unwrap();
    let refusal = ear::export(&bare, &identity, AT_UNIX_S).unwrap_err();
    assert!(matches!(refusal, Refusal::Verdict { .. }), "{refusal}");
}
