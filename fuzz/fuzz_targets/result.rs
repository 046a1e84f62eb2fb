//! Results to one challenge: whatever is read is written back as it was, and only
//! the run's own result verifies.
#![no_main]

use attest::protocol::result::ResultDoc;
use attest_fuzz::Fixture;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

fuzz_target!(|data: &[u8]| {
    let challenge = &FIXTURE.challenge;
    let read = ResultDoc::read(data, challenge);
    assert_eq!(read.as_ref().ok(), ResultDoc::from_bytes(data, challenge).as_ref().ok());
    let Ok(result) = read else { return };
    let written = result.to_json();
    let again =
        ResultDoc::from_bytes(written.as_bytes(), challenge).expect("what is written is read");
    assert_eq!(again, result);
    FIXTURE.verify(&result);
});
