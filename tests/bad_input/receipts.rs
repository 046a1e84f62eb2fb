//! Receipts that show nothing.

use crate::common;
use crate::common::spec;
use attest::protocol::challenge::Challenge;
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::receipt::{Receipt, ReceiptError};
use attest::protocol::signature::{PublicKey, receipt_message};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

#[test]
fn receipts_show_a_session_only_where_everything_fits() {
    let key = SigningKey::from_bytes(&[4; 32]);
    let mut spec = spec();
    spec.validator_id = Some(PublicKey::from(&key).encoded());
    let challenge = Challenge::issue(spec).unwrap();
    let (commitment, coin) = (Commitment([5; 32]), Coin::new([6; 32]).unwrap());
    let signed = |arrived_unix_ms| {
        let message = receipt_message(&challenge.digest(), &commitment, &coin, arrived_unix_ms);
        Receipt { arrived_unix_ms, coin, signature: key.sign(&message).to_bytes() }
    };
    let expires_unix_ms = challenge.expires_at_unix_s() as u64 * 1000;
    let good = signed(expires_unix_ms - 1);
    good.check(&challenge, &commitment, Some(&coin)).unwrap();
    let text = serde_json::to_string(&good).unwrap();
    assert_eq!(Receipt::from_json(text.as_bytes()).unwrap(), good);

    let check = |receipt: &Receipt| receipt.check(&challenge, &commitment, Some(&coin));
    let late = signed(expires_unix_ms);
    assert!(matches!(check(&late), Err(ReceiptError::Expired { .. })));
    let mut moved = good.clone();
    moved.arrived_unix_ms -= 1;
    assert_eq!(check(&moved), Err(ReceiptError::Signature));
    let mut forged = good.clone();
    forged.signature[0] ^= 1;
    assert_eq!(check(&forged), Err(ReceiptError::Signature));
    assert_eq!(
        good.check(&challenge, &Commitment([6; 32]), Some(&coin)),
        Err(ReceiptError::Signature)
    );
    assert!(matches!(
        good.check(&challenge, &commitment, Coin::new([7; 32]).as_ref()),
        Err(ReceiptError::Coin { .. })
    ));
    let unnamed = Challenge::issue(common::spec()).unwrap();
    assert_eq!(good.check(&unnamed, &commitment, Some(&coin)), Err(ReceiptError::NoValidator));

    for (name, value) in [
        ("coin", json!("0".repeat(64))),
        ("arrived_unix_ms", json!(1_u64 << 53)),
        ("arrived_unix_ms", json!(-1)),
        ("signature", json!("0".repeat(126))),
        ("more", json!(1)),
    ] {
        let mut changed: Value = serde_json::from_str(&text).unwrap();
        changed[name] = value;
        let error = Receipt::from_json(changed.to_string().as_bytes());
        assert!(matches!(error, Err(ReceiptError::Malformed { .. })), "{name}");
    }
    assert!(Receipt::from_json(b"[1,\"\",\"\"]").is_err());
}
