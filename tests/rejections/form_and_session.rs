//! Steps 1 and 2: form, records, arrival, signature.

use super::{
    UUIDS, accept, challenge, edited, honest, plain, rejected, rejected_by_itself, unreadable,
};
use crate::common::cpu_evidence;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::rejection::Reason;
use attest::protocol::result::ResultDoc;
use attest::protocol::signature::PublicKey;
use attest::reference::Run;
use ed25519_dalek::SigningKey;
use serde_json::json;

// Step 1: form.

#[test]
fn too_large() {
    let challenge = plain();
    let text = honest(&challenge, 1).to_json();
    let limit = challenge.result_bytes_max() as usize;
    let padded = format!("{}{text}", " ".repeat(limit - text.len()));
    ResultDoc::read(padded.as_bytes(), &challenge).expect("exactly the limit is allowed");
    unreadable(Reason::TooLarge, &challenge, &format!(" {padded}"));
}

#[test]
fn malformed() {
    let challenge = plain();
    let result = honest(&challenge, 1);
    unreadable(Reason::Malformed, &challenge, &edited(&result, |v| v["more"] = json!(1)));
    unreadable(Reason::Malformed, &challenge, "");
}

#[test]
fn version() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["version"] = json!(2));
    unreadable(Reason::Version, &challenge, &text);
}

#[test]
fn evidence_malformed() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["evidence"]["schema"] = json!(2));
    unreadable(Reason::EvidenceMalformed, &challenge, &text);
}

#[test]
fn zero_coin() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["coin"] = json!("0".repeat(64)));
    unreadable(Reason::ZeroCoin, &challenge, &text);
}

#[test]
fn no_lanes() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["lanes"] = json!([]));
    unreadable(Reason::NoLanes, &challenge, &text);
}

#[test]
fn too_many_lanes() {
    let challenge = challenge(|spec| spec.gpu_count = Some(1));
    let mut result = honest(&challenge, 1);
    result.lanes.push(result.lanes[0].clone());
    rejected_by_itself(Reason::TooManyLanes, &challenge, &result);
    unreadable(Reason::Malformed, &challenge, &result.to_json());
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn signed_challenge() -> Challenge {
    challenge(|spec| spec.miner_id = Some(PublicKey::from(&key()).encoded()))
}

#[test]
fn signature_missing() {
    let challenge = signed_challenge();
    unreadable(Reason::SignatureMissing, &challenge, &honest(&challenge, 1).to_json());
}

#[test]
fn signature_unexpected() {
    let challenge = plain();
    let text = edited(&honest(&challenge, 1), |v| v["miner_signature"] = json!("0".repeat(128)));
    unreadable(Reason::SignatureUnexpected, &challenge, &text);
}

// Step 2: records, arrival, signature.

#[test]
fn challenge_mismatch() {
    let other = challenge(|spec| spec.validator_nonce.0[31] ^= 1);
    rejected_by_itself(Reason::ChallengeMismatch, &plain(), &honest(&other, 1));
}

#[test]
fn not_issued() {
    let challenge = plain();
    let circumstances = Circumstances { issuer: Issuer::Unknown, ..Default::default() };
    rejected(Reason::NotIssued, &challenge, &honest(&challenge, 1), &circumstances);
}

#[test]
fn expired() {
    let challenge = plain();
    let result = honest(&challenge, 1);
    let at = |arrival| Circumstances { arrival_unix_s: Some(arrival), ..Default::default() };
    accept(&challenge, &result, &at(challenge.expires_at_unix_s() - 1));
    rejected(Reason::Expired, &challenge, &result, &at(challenge.expires_at_unix_s()));
}

fn record(
    nonce_spent_on: Option<Commitment>,
    session: Option<SessionRecord>,
) -> Circumstances<'static> {
    let issuer = Issuer::Record(IssuerRecord { nonce_spent_on, session });
    Circumstances { issuer, ..Default::default() }
}

#[test]
fn nonce_spent() {
    let challenge = plain();
    let result = honest(&challenge, 1);
    accept(&challenge, &result, &record(None, None));
    rejected(Reason::NonceSpent, &challenge, &result, &record(Some(result.commitment), None));
    let session =
        SessionRecord { commitment: result.commitment, coin: Coin::new([7; 32]).unwrap() };
    let spent_on_another = record(Some(Commitment([8; 32])), Some(session));
    rejected(Reason::NonceSpent, &challenge, &result, &spent_on_another);
}

#[test]
fn signature_invalid() {
    let challenge = signed_challenge();
    let run = Run::of(&challenge, &UUIDS[..1]);
    let mut result = run.result(cpu_evidence(&UUIDS[..1]), None, Some(&key()));
    accept(&challenge, &result, &Circumstances::default());
    let other = SigningKey::from_bytes(&[10; 32]);
    let forged = run.result(cpu_evidence(&UUIDS[..1]), None, Some(&other));
    rejected_by_itself(Reason::SignatureInvalid, &challenge, &forged);
    result.miner_signature.as_mut().unwrap()[0] ^= 1;
    rejected_by_itself(Reason::SignatureInvalid, &challenge, &result);
}

/// A result of a live session and its record.
fn live(challenge: &Challenge) -> (ResultDoc, SessionRecord) {
    let coin = Coin::new([7; 32]).unwrap();
    let run = Run::of(challenge, &UUIDS[..1]);
    let result = run.result(cpu_evidence(&UUIDS[..1]), Some(coin), None);
    let session = SessionRecord { commitment: result.commitment, coin };
    accept(challenge, &result, &record(Some(result.commitment), Some(session.clone())));
    (result, session)
}

#[test]
fn coin_without_session() {
    let challenge = plain();
    let (result, _) = live(&challenge);
    rejected(Reason::CoinWithoutSession, &challenge, &result, &record(None, None));
}

#[test]
fn coin_missing() {
    let challenge = plain();
    let (_, session) = live(&challenge);
    let record = record(Some(session.commitment), Some(session));
    rejected(Reason::CoinMissing, &challenge, &honest(&challenge, 1), &record);
}

#[test]
fn coin_mismatch() {
    let challenge = plain();
    let (_, session) = live(&challenge);
    let run = Run::of(&challenge, &UUIDS[..1]);
    let result = run.result(cpu_evidence(&UUIDS[..1]), Some(Coin::new([6; 32]).unwrap()), None);
    let record = record(Some(session.commitment), Some(session));
    rejected(Reason::CoinMismatch, &challenge, &result, &record);
}

#[test]
fn session_mismatch() {
    let challenge = plain();
    let (result, mut session) = live(&challenge);
    session.commitment.0[0] ^= 1;
    let record = record(Some(session.commitment), Some(session));
    rejected(Reason::SessionMismatch, &challenge, &result, &record);
}
