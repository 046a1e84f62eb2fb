//! Signatures taken off, moved, made with another key, or made for something else.

use super::{Say, UUIDS, alone, challenge, ended_with, identity, key, live, public, request};
use attest::export::{PAYLOAD_TYPE, check, dsse};
use attest::mining::issue::Request;
use attest::protocol::challenge::Challenge;
use attest::protocol::digest::Digest;
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::receipt::{Receipt, ReceiptError};
use attest::protocol::result::ResultDoc;
use attest::protocol::signature::{EncodedKey, miner_message, receipt_message};
use attest::reference::Run;
use serde_json::{Value, json};

/// Miner and validator share key 2: the worst case for messages to be confused.
fn bound() -> Challenge {
    challenge(|spec| {
        (spec.miner_id, spec.validator_id) = (Some(public(2).encoded()), Some(public(2).encoded()));
        spec.samples_per_iteration = 40;
    })
}

fn signed(challenge: &Challenge) -> ResultDoc {
    let result = Say::honestly(challenge).signed(key(2)).result(None);
    assert_eq!(alone(challenge, &result), "verified");
    result
}

fn with_signature(challenge: &Challenge, signature: Option<[u8; 64]>) -> &'static str {
    alone(challenge, &ResultDoc { miner_signature: signature, ..signed(challenge) })
}

#[test]
fn stripped_and_added() {
    let challenge = bound();
    assert_eq!(with_signature(&challenge, None), "signature-missing");
    let unbound = super::challenge(|_| {});
    let mut added = Say::honestly(&unbound).result(None);
    assert_eq!(alone(&unbound, &added), "verified");
    let message = miner_message(&unbound.digest(), &added.commitment);
    added.miner_signature = Some(identity(2).sign(&message));
    assert_eq!(alone(&unbound, &added), "signature-unexpected");
}

#[tokio::test]
async fn stripped_in_a_session() {
    let bound = Request { miner_id: Some(public(2)), ..request() };
    for (signer, code) in [(None, "signature-missing"), (Some(2), "verified")] {
        let ended = live(&super::Recording::new(), bound.clone(), async |mut peer| {
            peer.greet(Some(public(2))).await;
            let say = Say { key: signer.map(key), ..Say::honestly(&peer.challenge().await) };
            peer.send(say.commitment_line()).await;
            if signer.is_some() {
                let coin = peer.coin().await;
                peer.send(say.openings_line(coin)).await;
            }
            peer.linger().await;
        })
        .await;
        ended_with(code, &ended);
    }
}

#[test]
fn keys_confused() {
    let challenge = bound();
    let (c, commitment) = (challenge.digest(), signed(&challenge).commitment);
    let me = identity(2);
    let of = |message: &[u8]| with_signature(&challenge, Some(me.sign(message)));
    assert_eq!(of(&miner_message(&c, &commitment)), "verified");
    // Of another key, for another challenge, for another commitment.
    let others = identity(3).sign(&miner_message(&c, &commitment));
    assert_eq!(with_signature(&challenge, Some(others)), "signature-invalid");
    assert_eq!(of(&miner_message(&Digest([1; 32]), &commitment)), "signature-invalid");
    assert_eq!(of(&miner_message(&c, &Commitment([1; 32]))), "signature-invalid");
    assert_eq!(of(&miner_message(&Digest(commitment.0), &Commitment(c.0))), "signature-invalid");
    // What the same key signed as a validator, as an envelope, without a label.
    let coin = Coin::new([9; 32]).unwrap();
    assert_eq!(of(&receipt_message(&c, &commitment, &coin, 5)), "signature-invalid");
    let bare = miner_message(&c, &commitment);
    let envelope = dsse::pre_authentication_encoding(PAYLOAD_TYPE, &bare);
    assert_eq!(of(&envelope), "signature-invalid");
    assert_eq!(of(&bare[b"gpu-attest/v1/miner\0".len()..]), "signature-invalid");
    // And a miner's signature is no receipt.
    let signature = me.sign(&bare);
    let receipt = Receipt { arrived_unix_ms: 5, coin, signature };
    assert_eq!(receipt.check(&challenge, &commitment, Some(&coin)), Err(ReceiptError::Signature));
    let genuine = me.sign_receipt(&challenge, &commitment, coin, 5).unwrap();
    assert_eq!(genuine.check(&challenge, &commitment, Some(&coin)), Ok(()));
}

#[test]
fn one_signature_has_one_form() {
    let challenge = bound();
    let genuine = signed(&challenge).miner_signature.unwrap();
    // S + the group order is the same number.
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let (mut shifted, mut carry) = (genuine, 0);
    for (s, l) in shifted[32..].iter_mut().zip(order) {
        let sum = u16::from(*s) + u16::from(l) + carry;
        (*s, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(with_signature(&challenge, Some(shifted)), "signature-invalid");
    assert_eq!(with_signature(&challenge, Some([0; 64])), "signature-invalid");
    assert_eq!(with_signature(&challenge, Some(genuine)), "verified");
}

#[test]
fn a_key_that_fits_every_message() {
    // The neutral element as the miner's key: R = A and S = 0 would satisfy the
    // equation for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let weak = challenge(|spec| spec.miner_id = Some(EncodedKey(neutral)));
    let mut result = Say::of(Run::of(&weak, &UUIDS[..1])).result(None);
    let mut trivial = [0; 64];
    trivial[0] = 1;
    result.miner_signature = Some(trivial);
    assert_eq!(alone(&weak, &result), "signature-invalid");
}

#[test]
fn envelopes_relabelled() {
    // The payload is a statement that key 2 did sign, as something else.
    let challenge = bound();
    let attested =
        attest::export::Attested::new(challenge.clone(), signed(&challenge), None, None).unwrap();
    let (statement, signer) = (attested.to_statement(), public(2));
    let sealed = |payload_type| dsse::sign(&identity(2), payload_type, statement.as_bytes());
    assert!(check(sealed(PAYLOAD_TYPE).as_bytes(), &signer).is_ok());
    let code = |envelope: &str| check(envelope.as_bytes(), &signer).unwrap_err().code();
    for other in ["text/plain", "application/json", "application/vnd.in-toto+json;v=2", ""] {
        assert_eq!(code(&sealed(other)), "payload-type");
        let mut relabelled: Value = serde_json::from_str(&sealed(other)).unwrap();
        relabelled["payloadType"] = json!(PAYLOAD_TYPE);
        assert_eq!(code(&relabelled.to_string()), "signature-invalid", "{other}");
    }
    // Type and payload with the border between them moved.
    let moved = format!("{PAYLOAD_TYPE} {}", statement.len());
    assert_eq!(code(&sealed(&moved)), "payload-type");
    // The miner's signature of the result in the envelope's place.
    let mut envelope: Value = serde_json::from_str(&sealed(PAYLOAD_TYPE)).unwrap();
    use base64::Engine as _;
    let sig = attested.result().miner_signature.unwrap();
    let sig = base64::engine::general_purpose::STANDARD.encode(sig);
    envelope["signatures"][0]["sig"] = json!(sig);
    assert_eq!(code(&envelope.to_string()), "signature-invalid");
    envelope["signatures"] = json!([]);
    assert_eq!(code(&envelope.to_string()), "unsigned");
}
