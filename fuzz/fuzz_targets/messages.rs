//! Messages of a session: what is read is written and read again, however the
//! bytes are cut; a commitment and openings are read within the challenge's bounds.
#![no_main]

use attest::protocol::parts::CommitmentPart;
use attest::session::message::{FromMiner, FromValidator, kind_of, line_of};
use attest::session::wire::LineBuffer;
use attest_fuzz::Fixture;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);
static PART: LazyLock<CommitmentPart> = LazyLock::new(|| {
    CommitmentPart::read(&FIXTURE.commitment_line, &FIXTURE.challenge).expect("the run's own")
});

fn check(line: &[u8]) {
    if let Ok(message) = FromMiner::read(line) {
        assert_eq!(FromMiner::read(&line_of(&message)), Ok(message));
    }
    if let Ok(message) = FromValidator::read(line) {
        assert_eq!(FromValidator::read(&line_of(&message)), Ok(message));
    }
    let challenge = &FIXTURE.challenge;
    match kind_of(line) {
        Ok("commitment") => drop(CommitmentPart::read(line, challenge)),
        Ok("openings") => drop(PART.clone().complete(line, challenge)),
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, text)) = data.split_first() else { return };
    let (mut buffer, mut lines) = (LineBuffer::default(), Vec::new());
    for piece in text.chunks(usize::from(size).max(1)) {
        buffer.push(piece);
        while let Some(line) = buffer.take_line(u64::MAX).expect("nothing is too long") {
            lines.push(line);
        }
    }
    let whole: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let (rest, expected) = whole.split_last().expect("at least one part");
    assert_eq!(
        (lines.as_slice(), buffer.len()),
        (&*expected.iter().map(|l| l.to_vec()).collect::<Vec<_>>(), rest.len())
    );
    lines.iter().for_each(|line| check(line));
    check(rest);
});
