//! Tokens: as text, and as the JSON within.
#![no_main]

use attest::protocol::challenge::Challenge;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;

fn check(token: &str) {
    let Ok(challenge) = Challenge::from_token(token) else { return };
    assert!((1..=64).contains(&challenge.max_lanes()));
    assert!(challenge.limit_ms() > 0 && challenge.draws() > 0);
    assert!(challenge.result_bytes_max() < 1 << 31);
    let again = Challenge::issue(challenge.spec().clone()).expect("what was read is valid");
    assert_eq!(again.spec(), challenge.spec());
}

fuzz_target!(|data: &[u8]| {
    check(&STANDARD.encode(data));
    if let Ok(text) = str::from_utf8(data) {
        check(text);
    }
});
