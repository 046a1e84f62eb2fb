//! Envelopes of the DSSE specification, version 1, with Ed25519 signatures.
//!
//! Guarantees: the signature is over the pre-authentication encoding, so over
//! the payload's type and its bytes; a payload is given out only if the expected
//! signer signed it as the expected type; at most [`ENVELOPE_BYTES_MAX`] bytes
//! are read.
//! Deliberately lacks: trust in `keyid`, which nobody signs: it is written as a
//! hint and never read. As the specification asks, unknown fields are ignored.

use super::Refusal;
use crate::identity::SigningIdentity;
use crate::protocol::json::printable;
use crate::protocol::signature::PublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// Longest payload in bytes, about 30,000 openings.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// Longest envelope in bytes: the payload in base64, and its surroundings.
pub const ENVELOPE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX / 3 * 4 + (64 << 10);

/// Most signatures that are looked at; each costs a hash of the payload.
const SIGNATURES_MAX: usize = 16;

/// An envelope as JSON has it.
#[derive(Serialize, Deserialize)]
struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<Signature>,
}

/// One signature, in base64.
#[derive(Serialize, Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// PAE: "DSSEv1" and, each with its length in bytes, type and payload.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// An envelope around `payload`, signed by `identity`, as JSON. Its keyid is the
/// public key in hex.
pub fn sign(identity: &SigningIdentity, payload_type: &str, payload: &[u8]) -> String {
    let signed = identity.sign(&pre_authentication_encoding(payload_type, payload));
    let envelope = Envelope {
        payload: STANDARD.encode(payload),
        payload_type: payload_type.to_owned(),
        signatures: vec![Signature {
            keyid: identity.public().to_string(),
            sig: STANDARD.encode(signed),
        }],
    };
    serde_json::to_string(&envelope).expect("an envelope has string keys and no reals")
}

/// The payload of an envelope of type `payload_type` that `signer` signed.
///
/// # Errors
/// [`Refusal::TooLarge`], [`Refusal::EnvelopeMalformed`],
/// [`Refusal::PayloadType`], [`Refusal::Unsigned`] and
/// [`Refusal::SignatureInvalid`].
pub fn open(envelope: &[u8], payload_type: &str, signer: &PublicKey) -> Result<Vec<u8>, Refusal> {
    if envelope.len() > ENVELOPE_BYTES_MAX {
        return Err(Refusal::TooLarge { limit_bytes: ENVELOPE_BYTES_MAX as u64 });
    }
    let malformed = |cause: String| Refusal::EnvelopeMalformed { cause };
    // `serde` would take an array for the fields in their order, too.
    if !envelope.trim_ascii_start().starts_with(b"{") {
        return Err(malformed("not a JSON object".to_owned()));
    }
    let envelope: Envelope =
        serde_json::from_slice(envelope).map_err(|error| malformed(printable(&error)))?;
    if envelope.payload_type != payload_type {
        return Err(Refusal::PayloadType { got: printable(&envelope.payload_type) });
    }
    match envelope.signatures.len() {
        0 => return Err(Refusal::Unsigned),
        1..=SIGNATURES_MAX => {}
        got => return Err(malformed(format!("{got} signatures, at most {SIGNATURES_MAX}"))),
    }
    let payload =
        decode(&envelope.payload).map_err(|wrong| malformed(format!("payload is {wrong}")))?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal::TooLarge { limit_bytes: PAYLOAD_BYTES_MAX as u64 });
    }
    let message = pre_authentication_encoding(payload_type, &payload);
    let is_signers = |signature: &Signature| {
        let bytes = decode(&signature.sig).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        bytes.is_some_and(|bytes| signer.verifies(&message, &bytes))
    };
    match envelope.signatures.iter().any(is_signers) {
        true => Ok(payload),
        // Why none could be tried, if that is it, says more.
        false => match envelope.signatures.iter().find_map(|it| decode(&it.sig).err()) {
            Some(wrong) => Err(malformed(format!("a signature's sig is {wrong}"))),
            None => Err(Refusal::SignatureInvalid),
        },
    }
}

/// DSSE allows both alphabets, with padding.
///
/// # Errors
/// What the text is instead.
fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.map_err(|_| {
        match STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)) {
            Ok(_) => "base64 without its padding (=), which DSSE asks for",
            Err(_) => "no base64",
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use serde_json::{Value, json};

    const TYPE: &str = "application/vnd.in-toto+json";

    fn keys() -> (SigningIdentity, PublicKey) {
        let key = SigningKey::from_bytes(&[3; 32]);
        let public = PublicKey::from(&key);
        (key.into(), public)
    }

    /// `sign`'s envelope around `payload`, then edited.
    fn edited(payload: &[u8], edit: impl FnOnce(&mut Value)) -> Result<Vec<u8>, Refusal> {
        let (identity, key) = keys();
        let mut value: Value = serde_json::from_str(&sign(&identity, TYPE, payload)).unwrap();
        edit(&mut value);
        open(value.to_string().as_bytes(), TYPE, &key)
    }

    #[test]
    fn the_encoding_is_the_specifications() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn what_was_signed_comes_back() {
        let payload = [0xfb, 0xff, b'"', 0];
        assert_eq!(edited(&payload, |_| ()).unwrap(), payload);
        // Others may sign, too, name no key, add fields, and use the other alphabet.
        let same = edited(&payload, |value| {
            let own = value["signatures"][0].take();
            let foreign = json!({"keyid": own["keyid"], "sig": "AAAA", "cert": "x"});
            value["signatures"] = json!([foreign, {"sig": own["sig"]}]);
            value["payload"] = json!(URL_SAFE.encode(payload));
            value["comment"] = json!(null);
        });
        assert_eq!(same.unwrap(), payload);
    }

    #[test]
    fn a_stripped_signature_is_no_signature() {
        let stripped = |with: Value| edited(b"{}", |value| value["signatures"] = with);
        assert_eq!(stripped(json!([])), Err(Refusal::Unsigned));
        let gone = edited(b"{}", |v| drop(v.as_object_mut().unwrap().remove("signatures")));
        assert!(matches!(gone, Err(Refusal::EnvelopeMalformed { .. })));
        for sig in ["", "AAAA", &STANDARD.encode([0; 64])] {
            assert_eq!(stripped(json!([{"sig": sig}])), Err(Refusal::SignatureInvalid), "{sig}");
        }
        let many = vec![json!({"sig": ""}); SIGNATURES_MAX + 1];
        assert!(matches!(stripped(json!(many)), Err(Refusal::EnvelopeMalformed { .. })));
    }

    #[test]
    fn the_payloads_type_is_signed() {
        let (identity, key) = keys();
        let other = sign(&identity, "text/plain", b"{}");
        let as_it_is = open(other.as_bytes(), TYPE, &key);
        assert_eq!(as_it_is, Err(Refusal::PayloadType { got: "text/plain".into() }));
        let relabelled = other.replace("text/plain", TYPE);
        assert_eq!(open(relabelled.as_bytes(), TYPE, &key), Err(Refusal::SignatureInvalid));
        // The bare payload signed, without its type.
        let sig = STANDARD.encode(identity.sign(b"{}"));
        let bare = edited(b"{}", |value| value["signatures"][0]["sig"] = json!(sig));
        assert_eq!(bare, Err(Refusal::SignatureInvalid));
    }

    #[test]
    fn only_the_signers_key_counts_whatever_keyid_says() {
        let (identity, key) = keys();
        let other = SigningIdentity::from(SigningKey::from_bytes(&[4; 32]));
        let forged = sign(&other, TYPE, b"{}");
        let forged = forged.replace(&other.public().to_string(), &identity.public().to_string());
        assert_eq!(open(forged.as_bytes(), TYPE, &key), Err(Refusal::SignatureInvalid));
        let changed = edited(b"{}", |value| value["payload"] = json!(STANDARD.encode(b"[]")));
        assert_eq!(changed, Err(Refusal::SignatureInvalid));
    }

    #[test]
    fn no_flipped_bit_gets_another_payload_through() {
        let (identity, key) = keys();
        let good = sign(&identity, TYPE, b"{\"a\":1}").into_bytes();
        for bit in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // A hint, or the name of one, may change: nothing hangs on it.
            if let Ok(payload) = open(&bad, TYPE, &key) {
                assert_eq!(payload, b"{\"a\":1}", "bit {bit}");
            }
        }
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let (identity, key) = keys();
        let good = sign(&identity, TYPE, b"{}");
        let twice = good.replacen('{', "{\"payload\":\"\",", 1);
        let array = "[\"e30=\",\"application/vnd.in-toto+json\",[]]";
        for text in ["", "null", "{}", array, &twice, &format!("{good}{good}")] {
            let refusal = open(text.as_bytes(), TYPE, &key).unwrap_err();
            assert!(matches!(refusal, Refusal::EnvelopeMalformed { .. }), "{text}: {refusal}");
        }
        let why = |edit: &dyn Fn(&mut Value)| match edited(b"{}", edit).unwrap_err() {
            Refusal::EnvelopeMalformed { cause } => cause,
            other => panic!("{other}"),
        };
        let no_padding = "base64 without its padding (=), which DSSE asks for";
        assert_eq!(why(&|it| it["payload"] = json!("e30")), format!("payload is {no_padding}"));
        assert_eq!(why(&|it| it["payload"] = json!("e3!=")), "payload is no base64");
        let cut = |it: &mut Value| {
            let sig = it["signatures"][0]["sig"].as_str().unwrap().trim_end_matches('=').to_owned();
            it["signatures"][0]["sig"] = json!(sig);
        };
        assert_eq!(why(&cut), format!("a signature's sig is {no_padding}"));
        let long = vec![b' '; ENVELOPE_BYTES_MAX + 1];
        assert!(matches!(open(&long, TYPE, &key), Err(Refusal::TooLarge { .. })));
    }
}
