//! Receipts: read, written back, checked.
#![no_main]

use attest::protocol::receipt::Receipt;
use attest_fuzz::{COIN, Fixture};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

fuzz_target!(|data: &[u8]| {
    let Ok(receipt) = Receipt::from_json(data) else { return };
    assert_eq!(Receipt::from_json(receipt.to_json().as_bytes()).as_ref(), Ok(&receipt));
    let commitment = FIXTURE.result.commitment;
    if receipt.check(&FIXTURE.challenge, &commitment, Some(&COIN)).is_ok() {
        let seconds = FIXTURE.challenge.expires_at_unix_s() as u64;
        assert!(receipt.coin == COIN && receipt.arrived_unix_ms < 1000 * seconds);
    }
});
