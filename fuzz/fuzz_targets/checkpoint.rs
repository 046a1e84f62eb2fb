//! Checkpoint files: arbitrary ones, and ones whose checksums hold though what they
//! say is arbitrary. A file that was opened can be opened again, and says the same.
#![no_main]

use attest::executor::{Kind, LaneFacts};
use attest::mining::checkpoint::{CheckpointOptions, open, uuids};
use attest::protocol::digest::Digest;
use attest_fuzz::{Fixture, Script, UUIDS};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::time::Duration;
use tempfile::TempDir;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

/// A head and records of these pieces, each followed by its checksum.
fn with_checksums(mut script: Script<'_>) -> Vec<u8> {
    let mut head = b"attest-checkpoint/1\n".to_vec();
    head.extend(FIXTURE.challenge.digest().0);
    head.extend((UUIDS.len() as u32).to_be_bytes());
    head.extend(UUIDS.iter().flat_map(|uuid| uuid.0));
    let mut sum = Digest::of(&[&head]);
    head.extend(sum.0);
    while !script.0.is_empty() {
        let record = script.piece();
        sum = Digest::of(&[&sum.0, record]);
        head.extend(record);
        head.extend(sum.0);
    }
    head
}

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = if how % 2 == 0 { rest.to_vec() } else { with_checksums(Script(rest)) };
    let file = FOLDER.path().join("run.ckpt");
    std::fs::write(&file, bytes).expect("written");
    let lane = |(at, &uuid)| LaneFacts {
        kind: Kind::Cpu,
        uuid,
        model: "a CPU".to_owned(),
        memory_bytes: 1024,
        // Two with counters: their forms differ.
        sm_count: 2 * at as u32,
        details: Default::default(),
    };
    let facts: Vec<LaneFacts> = UUIDS.iter().enumerate().map(lane).collect();
    let _ = uuids(&file);
    let options = CheckpointOptions { file, interval: Duration::ZERO };
    let opened = || open(&options, &FIXTURE.challenge, &facts).map(|opened| opened.before);
    match opened() {
        // Each opening starts a thread, which is slow.
        Ok(before) if rest.len().is_multiple_of(4) => {
            assert_eq!(opened().expect("opened again"), before);
        }
        Ok(_) => {}
        Err(error) => assert_eq!(error.to_string().lines().count(), 2, "{error}"),
    }
});
