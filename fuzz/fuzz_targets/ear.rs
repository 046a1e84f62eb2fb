//! Tokens of EAT attestation results, as they are and signed by the right key.
#![no_main]

use attest::export::ear;
use attest::protocol::signature::PublicKey;
use attest_fuzz::identity;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::SigningKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let signer = PublicKey::from(&SigningKey::from_bytes(&[1; 32]));
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(claims) = ear::check(text, &signer)
    {
        assert_eq!(claims["eat_profile"], ear::PROFILE);
    }
    // The same bytes as claims whose signature stops nothing.
    let text = format!("{}.{}", BASE64.encode(r#"{"alg":"EdDSA"}"#), BASE64.encode(data));
    let signature = BASE64.encode(identity(1).sign(text.as_bytes()));
    if let Ok(claims) = ear::check(&format!("{text}.{signature}"), &signer) {
        assert!(claims["submods"].as_object().is_some_and(|parts| !parts.is_empty()));
    }
});
