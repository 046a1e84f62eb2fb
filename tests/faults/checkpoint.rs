//! Going on from a checkpoint: the same roots as an unbroken run, whatever was
//! torn off the file, and no other run's file.

use crate::faults::wrapper::{Alive, Counts, Fault};
use crate::faults::{fixed_challenge, lanes_with};
use attest::executor::cpu::CpuVerifier;
use attest::executor::lanes::RunError;
use attest::mining::checkpoint::{CheckpointError, CheckpointOptions};
use attest::mining::mine::{MineError, MineOptions, Mined, mine};
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::verify::verify;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs with a checkpoint at every sync point.
fn run(challenge: &Challenge, faults: &[Fault], file: &Path) -> Result<Mined, MineError> {
    let file = file.to_owned();
    let options = MineOptions {
        checkpoint: Some(CheckpointOptions { file, interval: Duration::ZERO }),
        ..MineOptions::default()
    };
    mine(challenge, lanes_with(faults, &Alive::default()), &options, &|_| ())
}

fn roots(mined: &Mined) -> Vec<&[attest::protocol::names::Root]> {
    mined.result.lanes.iter().map(|lane| lane.iteration_roots.as_slice()).collect()
}

/// The evidence fits, and every opening verifies.
#[track_caller]
fn assert_verifies(challenge: &Challenge, mined: &Mined) {
    let circumstances = Circumstances::default();
    let verified = verify(challenge, &mined.result, &circumstances, &CpuVerifier::new());
    verified.map(drop).unwrap_or_else(|error| panic!("{error}"));
}

/// A run that lane 0 breaks off in iteration `at`, and its file.
fn broken_off(challenge: &Challenge, others: &[Fault], at: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.ckpt");
    let faults = [&[Fault::Sticky(at)], others].concat();
    let error = run(challenge, &faults, &file).map(|_| ()).expect_err("it breaks");
    assert!(matches!(error, MineError::Run(RunError::Lane { .. })), "{error}");
    (folder, file)
}

#[test]
fn a_broken_run_goes_on_with_the_same_roots() {
    for others in [0, 1, 2] {
        let challenge = fixed_challenge(23, 4);
        let others = vec![Fault::None; others];
        let whole = [&[Fault::None], &others[..]].concat();
        let unbroken = mine(
            &challenge,
            lanes_with(&whole, &Alive::default()),
            &MineOptions::default(),
            &|_| (),
        );
        let unbroken = unbroken.expect("it runs");
        // Before the first sync point, in the middle, in the rest after the last.
        for at in [2, 13, 22] {
            let (_folder, file) = broken_off(&challenge, &others, at);
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let mined = run(&challenge, &whole, &file).expect("it goes on");
            assert_eq!(roots(&mined), roots(&unbroken), "{} lanes, broken in {at}", whole.len());
            let resumed = mined.timing.resumed_after;
            assert!(resumed < at && resumed.is_multiple_of(4), "{resumed}");
            // A writer that was still busy may have left out a sync point.
            assert!(at < 13 || resumed > 0, "nothing was kept before {at}");
            crate::common::assert_documented(mined.result.evidence.value());
            assert_verifies(&challenge, &mined);
        }
    }
}

#[test]
fn tiles_are_counted_once_over_all_processes() {
    let challenge = fixed_challenge(12, 2);
    let counted = Fault::Counters(Counts::Right);
    let (_folder, file) = broken_off(&challenge, &[counted], 9);
    let faults = [counted, counted];
    // Lane 0 could not count before: it was a CPU then, and says so.
    let mined = run(&challenge, &faults, &file).expect("it goes on");
    assert!(mined.timing.resumed_after > 0);
    let lanes = mined.result.evidence.lanes();
    assert!(lanes[0].sm_monitoring.as_deref().unwrap().starts_with("unavailable: resumed"));
    let tiles = challenge.work().tiles() * 12;
    assert_eq!(lanes[1].sm_tiles.iter().sum::<u64>(), tiles);
    assert_verifies(&challenge, &mined);
}

#[test]
fn a_torn_or_flipped_file_goes_on_from_what_verifies() {
    let challenge = fixed_challenge(16, 2);
    let faults = [Fault::None, Fault::None];
    let (_folder, file) = broken_off(&challenge, &faults[1..], 13);
    let bytes = std::fs::read(&file).unwrap();
    let unbroken = run(&challenge, &faults, &file).expect("it goes on");
    let head = 20 + 32 + 4 + 2 * 16 + 32;
    let mut last = u32::MAX;
    // Cut anywhere after the head, from the end on.
    for length in (head..bytes.len()).rev().step_by(97) {
        std::fs::write(&file, &bytes[..length]).unwrap();
        let mined = run(&challenge, &faults, &file).unwrap_or_else(|e| panic!("{length}: {e}"));
        assert_eq!(roots(&mined), roots(&unbroken), "cut to {length} bytes");
        assert!(mined.timing.resumed_after <= last);
        last = mined.timing.resumed_after;
    }
    assert_eq!(last, 0, "a head alone is a run that has not begun");
    // Any bit.
    for at in (head..bytes.len()).step_by(211) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&file, &flipped).unwrap();
        let mined = run(&challenge, &faults, &file).unwrap_or_else(|e| panic!("{at}: {e}"));
        assert_eq!(roots(&mined), roots(&unbroken), "byte {at} flipped");
    }
    // Trailing rubbish.
    std::fs::write(&file, [&bytes[..], &[0xAB; 1000]].concat()).unwrap();
    assert_eq!(roots(&run(&challenge, &faults, &file).unwrap()), roots(&unbroken));
}

#[test]
fn another_runs_file_is_refused_and_left_alone() {
    let challenge = fixed_challenge(16, 2);
    let (folder, file) = broken_off(&challenge, &[Fault::None], 13);
    let bytes = std::fs::read(&file).unwrap();
    let refused = |challenge: &Challenge, faults: &[Fault], file: &Path| {
        let before = std::fs::read(file).unwrap();
        let error = run(challenge, faults, file).map(|_| ()).expect_err("refused");
        assert_eq!(std::fs::read(file).unwrap(), before, "the file was changed");
        assert_eq!(error.to_string().lines().count(), 2, "{error}");
        let MineError::Checkpoint(error) = error else { panic!("{error}") };
        error
    };
    let two = [Fault::None, Fault::None];
    let other = refused(&fixed_challenge(16, 4), &two, &file);
    assert!(matches!(other, CheckpointError::OtherChallenge { .. }), "{other}");
    let lanes = refused(&challenge, &two[1..], &file);
    assert!(matches!(lanes, CheckpointError::OtherLanes { lane: 1, .. }), "{lanes}");
    // A bit of the head.
    for at in 20..20 + 32 + 4 + 32 + 32 {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&file, &flipped).unwrap();
        let error = refused(&challenge, &two, &file);
        assert!(
            matches!(error, CheckpointError::Damaged { .. } | CheckpointError::NotOne { .. }),
            "byte {at}: {error}"
        );
    }
    for content in [&b""[..], b"attest-checkpoint/2\n", b"{\"version\":1}", &bytes[..60]] {
        let stranger = folder.path().join("other");
        std::fs::write(&stranger, content).unwrap();
        let error = refused(&challenge, &two, &stranger);
        assert!(matches!(error, CheckpointError::NotOne { .. }), "{error}");
    }
}

#[test]
fn one_process_at_a_time() {
    let challenge = fixed_challenge(16, 2);
    let (_folder, file) = broken_off(&challenge, &[Fault::None], 13);
    let holder = std::fs::File::open(&file).unwrap();
    holder.lock().unwrap();
    let error = run(&challenge, &[Fault::None, Fault::None], &file).map(|_| ()).unwrap_err();
    assert!(matches!(error, MineError::Checkpoint(CheckpointError::InUse { .. })), "{error}");
    drop(holder);
    run(&challenge, &[Fault::None, Fault::None], &file).expect("free again");
}

#[test]
fn a_folder_that_is_not_there_is_told_before_the_work() {
    let missing = Path::new("/nonexistent/run.ckpt");
    let error = run(&fixed_challenge(4, 2), &[Fault::None], missing).map(|_| ()).unwrap_err();
    assert!(matches!(error, MineError::Checkpoint(CheckpointError::Io { .. })), "{error}");
}
