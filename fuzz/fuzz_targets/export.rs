//! DSSE envelopes and the in-toto statements in them, signed by the right key so
//! that the signature stops nothing.
#![no_main]

use attest::export::{self, Attested, PAYLOAD_TYPE, dsse};
use attest::protocol::signature::PublicKey;
use attest_fuzz::identity;
use ed25519_dalek::SigningKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let signer = PublicKey::from(&SigningKey::from_bytes(&[1; 32]));
    if let Err(refusal) = export::check(data, &signer) {
        assert!(!refusal.code().is_empty());
    }
    // Signatures are slow, and what they are of does not matter to them.
    if data.len().is_multiple_of(16) {
        let envelope = dsse::sign(&identity(1), PAYLOAD_TYPE, data);
        assert_eq!(dsse::open(envelope.as_bytes(), PAYLOAD_TYPE, &signer).as_deref(), Ok(data));
    }
    let Ok(attested) = Attested::from_statement(data) else { return };
    let written = attested.to_statement();
    let again = Attested::from_statement(written.as_bytes()).expect("what is written is read");
    assert_eq!(again.to_statement(), written);
});
