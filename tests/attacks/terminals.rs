//! Words of a miner that are meant for whoever reads them: escapes, text that turns
//! around, letters that nobody sees. A verdict and a ledger show none of it.

use super::turned::{Records, Turned};
use super::{Say, UUIDS, challenge, ended_with, public};
use attest::identity::SigningIdentity;
use attest::policy::Policy;
use attest::protocol::challenge::Challenge;
use attest::protocol::evidence::Evidence;
use attest::session::fault::{Fault, FaultCode};
use serde_json::{Value, json};

/// One of each kind: a C0 and a C1 control, overrides and isolates of direction, a
/// space of no width, a line and a paragraph separator, a soft hyphen, a byte-order
/// mark, a mark that stacks on the letter before it, a tag, a private character.
const HIDDEN: [char; 15] = [
    '\u{1b}',
    '\u{9b}',
    '\u{202e}',
    '\u{202c}',
    '\u{2066}',
    '\u{2069}',
    '\u{200b}',
    '\u{200f}',
    '\u{2028}',
    '\u{2029}',
    '\u{ad}',
    '\u{feff}',
    '\u{301}',
    '\u{e0041}',
    '\u{e000}',
];

/// "1 VERIFIED", with everything hidden in it.
fn disguised() -> String {
    let hidden: String = HIDDEN.iter().collect();
    format!("1{hidden}DEIFIREV\u{202e} as it is: \u{e9}")
}

#[track_caller]
fn shows_all(text: &str) {
    let hidden: Vec<char> = text.chars().filter(|c| HIDDEN.contains(c)).collect();
    assert!(hidden.is_empty(), "{hidden:?} in {text:?}");
}

/// Evidence whose every free text is disguised.
fn evidence() -> Evidence {
    let lie = disguised();
    Evidence::from_value(json!({
        "schema": 1,
        "executor": "gpu",
        "lanes": [{
            "uuid": UUIDS[0].to_string(),
            "model": lie,
            "memory_bytes": 1,
            "sm_count": 1,
            "sm_tiles": [],
            "sm_monitoring": format!("unavailable: {lie}"),
            "serial": lie,
            "pci_id": lie,
            "mig": lie,
            "telemetry": {"samples": 1, "throttle_reasons": [lie]},
        }],
        "machine": {"machine_id": lie, "kernel_driver_version": lie},
        "findings": [{"code": "device-count", "text": lie}, {"code": lie, "text": lie}],
    }))
    .unwrap()
}

/// A policy with something to say about all of it.
fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.devices.driver_version_min = "535".to_owned();
    policy.devices.models = vec!["NVIDIA A30".to_owned()];
    policy
}

fn of_miner(nonce: u8) -> Challenge {
    challenge(|spec| {
        spec.validator_nonce.0[0] = nonce;
        (spec.gpu_count, spec.miner_id) = (Some(1), Some(public(2).encoded()));
    })
}

#[test]
fn a_verdict_has_no_hidden_words() {
    let records = Records::new();
    for (nonce, policy) in [(1, None), (2, Some(policy()))] {
        let code = if policy.is_some() { "rejected-by-policy" } else { "verified" };
        let challenge = of_miner(nonce);
        records.issue(&challenge);
        let say = Say { evidence: evidence(), ..Say::honestly(&challenge) }.signed(super::key(2));
        let mut session = Turned::judging(&records, &challenge, policy);
        session.send(&say.commitment_line());
        let coin = session.coin.expect("accepted");
        session.send(&say.openings_line(coin));
        let ended = session.end();
        ended_with(code, &ended);
        let text = ended.verdict.render_text();
        shows_all(&text);
        // What can be shown is.
        assert!(text.contains("DEIFIREV") && text.contains("as it is: \u{e9}"), "{text}");
        shows_all(&serde_json::to_string(&ended.verdict).unwrap());
        let (_, devices) = records.ledger.show(&challenge.digest()).unwrap().unwrap();
        shows_all(&serde_json::to_string(&devices).unwrap());
    }
}

#[test]
fn a_fault_and_a_refusal_have_no_hidden_words() {
    shows_all(&Fault::new(FaultCode::MinerFailed, disguised()).to_string());
    let field: Value = json!({disguised(): 1});
    let token = base64(&field.to_string());
    shows_all(&Challenge::from_token(&token).unwrap_err().to_string());
    let other = json!({"payload": "", "payloadType": disguised(), "signatures": []}).to_string();
    let signer = SigningIdentity::from(super::key(1)).public();
    shows_all(&attest::export::check(other.as_bytes(), &signer).unwrap_err().to_string());
    let finding = attest::evidence::Finding::new(attest::evidence::Code::DeviceCount, disguised());
    shows_all(&finding.to_string());
}

/// RFC 4648, section 4.
fn base64(text: &str) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}
