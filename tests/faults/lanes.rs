//! A lane that breaks ends the run with lane, device, iteration and cause; the
//! others do not wait for it; every executor that can be dropped is.

use crate::faults::wrapper::{Alive, Counts, Fault, SMS, patience};
use crate::faults::{challenge, lanes_with};
use attest::executor::abandoned;
use attest::executor::lanes::{Execution, RunError, RunOptions, execute};
use attest::mining::mine::{MineOptions, mine};
use attest::protocol::sample::SamplePoint;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn run(faults: &[Fault], alive: &Alive) -> Result<Execution, RunError> {
    let challenge = challenge(Some(faults.len() as u64), 7, 3);
    let options = RunOptions { patience: patience(faults), ..RunOptions::default() };
    execute(&challenge, lanes_with(faults, alive), &options, &|_| ())
}

#[track_caller]
fn failure(faults: &[Fault], alive: &Alive) -> RunError {
    run(faults, alive).map(|_| ()).expect_err("the run should fail")
}

#[test]
fn a_sticky_error_ends_the_run_with_the_drivers_name_for_it() {
    let alive = Alive::default();
    let error = failure(&[Fault::None, Fault::Sticky(5), Fault::None], &alive);
    let text = error.to_string();
    for part in ["lane 1", "device 2", "iteration 5", "CUDA_ERROR_ILLEGAL_ADDRESS", "\n"] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
    assert_eq!(alive.load(Ordering::SeqCst), 0, "executors that are not dropped");
}

#[test]
fn too_little_memory_is_told_in_bytes() {
    let alive = Alive::default();
    let text = failure(&[Fault::None, Fault::NoMemory], &alive).to_string();
    for part in ["lane 1", "device 2", "268.4 MB", "1.024 kB"] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_hung_lane_is_named_while_the_others_wait_at_the_barrier() {
    for (fault, at) in [(Fault::Hangs(2), 2), (Fault::Hangs(7), 7), (Fault::HangsAtBegin, 0)] {
        let alive = Alive::default();
        let error = failure(&[Fault::None, Fault::None, fault], &alive);
        let RunError::Hung { lane: 2, ref device, iteration, silent_ms } = error else {
            panic!("{error}")
        };
        assert_eq!((device.as_str(), iteration), ("device 3", at));
        assert!(silent_ms >= 2000);
        assert!(abandoned::any(), "its thread may not be waited for when the process ends");
        assert_eq!(alive.load(Ordering::SeqCst), 1, "only the hung one is still held");
    }
}

#[test]
fn a_lane_that_waited_and_cannot_be_dropped_holds_nobody_up() {
    // In a thread, so that a run without an end is a failure and not a hang.
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let alive = Alive::default();
        let error = failure(&[Fault::Hangs(2), Fault::HangsAtDrop, Fault::None], &alive);
        let _ = sender.send((error, alive.load(Ordering::SeqCst)));
    });
    let ended = ended.recv_timeout(Duration::from_secs(60));
    let (error, alive) = ended.expect("the run ends");
    // The lane that hung first, not the one that hung because the run ended.
    assert!(matches!(error, RunError::Hung { lane: 0, iteration: 2, .. }), "{error}");
    assert_eq!(alive, 2, "only the two that hang are still held");
}

#[test]
fn a_panic_is_a_failure_of_its_lane() {
    let alive = Alive::default();
    let error = failure(&[Fault::Panics(4), Fault::None], &alive);
    assert!(matches!(error, RunError::Broken { lane: 0, iteration: 4, .. }), "{error}");
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn the_first_failure_is_told_and_two_at_once_do_not_deadlock() {
    let alive = Alive::default();
    let error = failure(&[Fault::Sticky(3), Fault::Panics(3), Fault::Hangs(3)], &alive);
    assert!(!matches!(error, RunError::Stopped { .. }), "{error}");
    assert!(alive.load(Ordering::SeqCst) <= 1);
}

#[test]
fn a_slow_lane_is_waited_for_and_seen() {
    let alive = Alive::default();
    // So long that what a busy machine adds to the fast lane's work does not matter.
    let delay = Duration::from_millis(250);
    let execution = run(&[Fault::None, Fault::Slow(delay)], &alive).expect("slow is no fault");
    let timing = attest::evidence::RunTiming::of(&execution);
    // The fast lane waits at both sync points for three slow iterations.
    assert!(timing.lanes[0].waited >= 4 * delay, "{timing:?}");
    assert!(timing.lanes[0].waited > timing.lanes[1].waited);
    assert!(timing.skew.expect("they met").worst_ns as u128 >= 2 * delay.as_nanos());
    // Waiting for the slow one is skew; what the meeting itself takes is not.
    assert!(timing.lanes[0].waited_for_last >= 4 * delay, "{timing:?}");
    assert!(timing.sync_share() > 0.0 && timing.sync_share() < timing.skew_share());
    let of_both =
        timing.lanes.iter().all(|lane| lane.waited_for_last + lane.synchronising == lane.waited);
    assert!(of_both, "no device, so a wait has no third part: {timing:?}");
}

#[test]
fn counters_that_cannot_be_are_never_evidence() {
    for counts in [Counts::Zero, Counts::OneTooMany, Counts::OneSmTooMany, Counts::Unreadable] {
        let alive = Alive::default();
        let challenge = challenge(None, 4, 2);
        let executors = lanes_with(&[Fault::Counters(counts)], &alive);
        let mined =
            mine(&challenge, executors, &MineOptions::default(), &|_| ()).expect("it goes on");
        let lane = &mined.result.evidence.lanes()[0];
        assert!(lane.sm_tiles.is_empty(), "{counts:?}: {:?}", lane.sm_tiles);
        let why = lane.sm_monitoring.as_deref().expect("a reason");
        assert!(why.starts_with("unavailable: "), "{counts:?}: {why}");
    }
    let alive = Alive::default();
    let executors = lanes_with(&[Fault::Counters(Counts::Right)], &alive);
    let mined = mine(&challenge(None, 4, 2), executors, &MineOptions::default(), &|_| ()).unwrap();
    assert_eq!(mined.result.evidence.lanes()[0].sm_tiles.len(), SMS as usize);
}

#[test]
fn sync_times_and_phases_are_evidence() {
    let alive = Alive::default();
    let executors = lanes_with(&[Fault::None, Fault::None], &alive);
    let mined = mine(&challenge(None, 7, 3), executors, &MineOptions::default(), &|_| ()).unwrap();
    let evidence = mined.result.evidence.value();
    assert_eq!(evidence["sync"]["points"], 2);
    for lane in 0..2 {
        let times = evidence["lanes"][lane]["sync_times"].as_array().expect("a list");
        assert_eq!(times.iter().map(|time| &time[0]).collect::<Vec<_>>(), [3, 6]);
        assert!(times.iter().all(|time| time[1].as_u64() <= time[2].as_u64()));
        assert!(evidence["lanes"][lane]["timing"]["elapsed_ns"].as_u64() > Some(0));
        // The last iteration is no sync point, and all wait for each other there too.
        let at = |name: &str, which: usize| evidence["lanes"][lane][name][which].as_u64();
        let (start, end) = ("start_barrier", "end_barrier");
        assert!(at(start, 0) <= at(start, 1) && at(start, 1) <= times[0][1].as_u64());
        assert!(times[1][2].as_u64() <= at(end, 0) && at(end, 0) <= at(end, 1));
    }
    let ends = |lane: usize, which: usize| &evidence["lanes"][lane]["end_barrier"][which];
    assert!(ends(0, 1).as_u64() >= ends(1, 0).as_u64(), "nobody leaves before all are there");
    crate::common::assert_documented(evidence);
}

#[test]
fn a_wrong_bit_is_found_when_its_tile_is_opened() {
    let alive = Alive::default();
    let mut execution =
        run(&[Fault::None, Fault::BitFlip(4, 1)], &alive).expect("nobody sees it yet");
    let point = |leaf| SamplePoint { lane: 1, iteration: 4, leaf };
    let error = execution.open(&[point(300)]).expect_err("the tile comes out differently");
    assert!(matches!(error, RunError::Unstable { lane: 1, iteration: 4, tile: 1, .. }), "{error}");
    // Whoever looked may look again: nothing was lost.
    assert_eq!(execution.open(&[point(10)]).expect("another tile").len(), 1);
}

#[test]
fn an_executor_that_hangs_or_panics_at_its_openings_ends_them() {
    let point = |lane| SamplePoint { lane, iteration: 2, leaf: 1 };
    for fault in [Fault::HangsAtOpening, Fault::PanicsAtOpening] {
        let alive = Alive::default();
        let mut execution = run(&[Fault::None, fault], &alive).expect("the run itself is fine");
        let error = execution.open(&[point(0), point(1)]).expect_err("the openings fail");
        match error {
            RunError::Hung { lane: 1, iteration: 2, ref device, .. } => {
                assert_eq!((fault, device.as_str()), (Fault::HangsAtOpening, "device 2"));
            }
            RunError::Broken { lane: 1, iteration: 2, ref cause, .. } => {
                assert_eq!(cause, "panicked: a buffer was gone");
            }
            other => panic!("{other}"),
        }
    }
}
