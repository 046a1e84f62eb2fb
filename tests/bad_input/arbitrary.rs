//! Whatever a stranger sends, nothing panics.

use super::results::{challenge, read};
use super::token;
use attest::protocol::challenge::Challenge;
use attest::protocol::receipt::Receipt;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_tokens_are_refused_without_a_panic(text in ".{0,200}") {
        prop_assert!(Challenge::from_token(&text).is_err());
        prop_assert!(Challenge::from_token(&token(&text)).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_result(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
        prop_assert!(Receipt::from_json(&bytes).is_err());
    }

    /// Whatever is changed in a challenge's bytes, it is another challenge or none.
    #[test]
    fn edited_challenges_are_others_or_none(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let good = challenge();
        let mut bytes = STANDARD.decode(good.token()).unwrap();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(other) = Challenge::from_token(&STANDARD.encode(&bytes)) {
            prop_assert_ne!(other.digest(), good.digest());
        }
    }
}
