//! Several lanes: the chain across sync points, openings, and what happens when
//! a lane fails, hangs, panics or lies.

use crate::common::spec;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::lanes::{Execution, Patience, RunError, RunOptions, execute};
use attest::executor::{
    Assignment, ExecError, Executor, IterationOutput, LaneFacts, Segment, Sink, SmTiles,
    TileRequest,
};
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::names::{Coin, Commitment, Root, State};
use attest::protocol::sample::{SamplePoint, derive};
use serde_json::Value;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What goes wrong, and in which iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// `begin` says that there is no memory.
    Memory,
    /// `run` returns a device fault.
    Fails(u32),
    /// `run` never returns.
    Hangs(u32),
    /// `run` panics.
    Panics(u32),
    /// The root does not belong to the tile roots.
    WrongRoot(u32),
    /// An iteration is left out.
    Skips(u32),
    /// A tile root is missing.
    ShortTiles(u32),
    /// The segment ends early without an error.
    EndsEarly(u32),
    /// Tiles come out differently after the run.
    Unstable,
}

/// A CPU executor with a fault.
struct Faulty {
    inner: CpuExecutor,
    fault: Fault,
}

impl Executor for Faulty {
    fn facts(&self) -> &LaneFacts {
        self.inner.facts()
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        if self.fault == Fault::Memory {
            return Err(ExecError::Memory {
                device: "a small device".into(),
                needed_bytes: 2,
                free_bytes: 1,
                advice: "Use a larger one.".into(),
            });
        }
        self.inner.begin(assignment)
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let mut failure = None;
        let result = self.inner.run(segment, &mut |output: IterationOutput<'_>| {
            let i = output.iteration;
            match self.fault {
                Fault::Fails(k) if k == i => {
                    failure = Some(ExecError::Device {
                        what: "the product kernel".into(),
                        device: "a broken device".into(),
                        cause: "unspecified launch failure".into(),
                        advice: "Look at the driver's log.".into(),
                    });
                    ControlFlow::Break(())
                }
                Fault::Hangs(k) if k == i => loop {
                    std::thread::park();
                },
                Fault::Panics(k) if k == i => panic!("an index was out of range"),
                Fault::WrongRoot(k) if k == i => {
                    sink(IterationOutput { root: Root([0xEE; 32]), ..output })
                }
                Fault::Skips(k) if k == i => ControlFlow::Continue(()),
                Fault::ShortTiles(k) if k == i => {
                    let tile_roots = &output.tile_roots[1..];
                    sink(IterationOutput { tile_roots, ..output })
                }
                Fault::EndsEarly(k) if k == i => ControlFlow::Break(()),
                _ => sink(output),
            }
        });
        match (failure, self.fault) {
            (Some(failure), _) => Err(failure),
            (None, Fault::EndsEarly(_)) => Ok(()),
            (None, _) => result,
        }
    }

    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        let mut hashes = self.inner.leaf_hashes(assignment, tiles)?;
        if self.fault == Fault::Unstable {
            hashes[0][17].0[0] ^= 1;
        }
        Ok(hashes)
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        self.inner.sm_tiles()
    }
}

fn cpu(uuid: u8) -> CpuExecutor {
    CpuExecutor::new(CpuOptions { uuid: Some(Uuid([uuid; 16])), ..CpuOptions::default() })
}

fn honest(lanes: u8) -> Vec<Box<dyn Executor>> {
    (1..=lanes).map(|uuid| Box::new(cpu(uuid)) as Box<dyn Executor>).collect()
}

/// Honest lanes, but for `lane`.
fn with_fault(lanes: u8, lane: u8, fault: Fault) -> Vec<Box<dyn Executor>> {
    let mut executors = honest(lanes);
    executors[lane as usize] = Box::new(Faulty { inner: cpu(lane + 1), fault });
    executors
}

fn challenge(matrix_dim: u64, num_iterations: u64, sync_interval: u64) -> Challenge {
    Challenge::issue(ChallengeSpec {
        work: crate::common::products(matrix_dim, 2),
        num_iterations,
        sync_interval,
        samples_per_iteration: 6,
        ..spec()
    })
    .unwrap()
}

fn run(challenge: &Challenge, executors: Vec<Box<dyn Executor>>) -> Result<Execution, RunError> {
    run_within(120, challenge, executors)
}

/// A run in which no lane is silent for longer than this.
fn run_within(
    silent_s: u64,
    challenge: &Challenge,
    executors: Vec<Box<dyn Executor>>,
) -> Result<Execution, RunError> {
    let patience = Patience::Fixed(Duration::from_secs(silent_s));
    execute(challenge, executors, &RunOptions { patience, ..RunOptions::default() }, &|_| ())
}

fn error(executors: Vec<Box<dyn Executor>>) -> RunError {
    run(&challenge(128, 7, 3), executors).err().expect("the run should fail")
}

#[test]
fn vectors_reproduce_in_full() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display();
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let Some(token) = file["challenge"].as_str() else { continue };
        files += 1;
        let challenge = Challenge::from_token(token).unwrap();
        let lanes = file["result"]["lanes"].as_array().unwrap();
        let executors = lanes.iter().map(|lane| {
            let uuid = Some(lane["uuid"].as_str().unwrap().parse().unwrap());
            Box::new(CpuExecutor::new(CpuOptions { uuid, ..CpuOptions::default() }))
                as Box<dyn Executor>
        });
        let mut execution = run(&challenge, executors.collect()).unwrap();
        for (lane, got) in execution.lanes.iter().enumerate() {
            let roots: Vec<Root> = digests(&lanes[lane]["iteration_roots"]);
            assert_eq!(got.roots, roots, "{name}, lane {lane}");
            let states: Vec<State> = digests(&file["states"][lane]);
            assert_eq!(got.states[1..], states, "{name}, lane {lane}");
        }
        let openings = file["result"]["openings"].as_array().unwrap();
        let number = |value: &Value| value.as_u64().unwrap();
        let points: Vec<SamplePoint> = openings
            .iter()
            .map(|opening| SamplePoint {
                lane: number(&opening["lane"]) as u32,
                iteration: number(&opening["iteration"]) as u32,
                leaf: number(&opening["leaf"]),
            })
            .collect();
        let opened = execution.open(&points).unwrap();
        assert_eq!(serde_json::to_value(&opened).unwrap(), file["result"]["openings"], "{name}");
    }
    assert!(files >= 9, "vector files are missing from {folder}");
}

#[test]
fn openings_come_in_the_order_asked() {
    let challenge = challenge(256, 3, 2);
    let mut execution = run(&challenge, honest(2)).unwrap();
    let mut points =
        derive(&challenge, 2, &Commitment([3; 32]), Some(&Coin::new([4; 32]).unwrap()));
    points.reverse();
    let opened = execution.open(&points).unwrap();
    assert!(opened.iter().map(|opening| opening.point()).eq(points.iter().copied()));
    assert!(execution.open(&[]).unwrap().is_empty());
}

#[test]
fn openings_outside_the_run_are_refused() {
    let mut execution = run(&challenge(128, 2, 2), honest(1)).unwrap();
    let leaves = execution.work().leaves();
    let point = |lane, iteration, leaf| SamplePoint { lane, iteration, leaf };
    execution.open(&[point(0, 2, leaves - 1)]).unwrap();
    for bad in [point(1, 1, 0), point(0, 0, 0), point(0, 3, 0), point(0, 1, leaves)] {
        let result = execution.open(&[point(0, 1, 0), bad]);
        assert!(matches!(result, Err(RunError::NoSuchLeaf(got)) if got == bad), "{bad:?}");
    }
}

#[test]
fn lanes_meet_at_every_sync_point() {
    // 7 iterations: sync points 3 and 6, and a rest.
    let execution = run(&challenge(128, 7, 3), honest(3)).unwrap();
    for lane in &execution.lanes {
        let met: Vec<u32> = lane.barriers.iter().map(|times| times.iteration).collect();
        assert_eq!(met, [3, 6]);
        assert_eq!((lane.roots.len(), lane.states.len()), (7, 8));
    }
    for at in 0..2 {
        let times = execution.lanes.iter().map(|lane| lane.barriers[at]);
        let last_arrival = times.clone().map(|times| times.arrived_ns).max().unwrap();
        assert!(times.clone().all(|times| times.released_ns >= last_arrival));
    }
    let skew = execution.skew().unwrap();
    assert!(skew.mean_ns <= skew.worst_ns && [3, 6].contains(&skew.worst_iteration));
    assert!(run(&challenge(128, 7, 3), honest(1)).unwrap().skew().is_none());
}

#[test]
fn progress_ends_with_every_iteration() {
    let seen = RefCell::new(Vec::new());
    let options = RunOptions::default();
    let report = |done: &[u32]| seen.borrow_mut().push(done.to_vec());
    execute(&challenge(128, 7, 3), honest(2), &options, &report).unwrap();
    assert_eq!(seen.borrow().last().unwrap(), &[7, 7]);
}

#[test]
fn a_failing_lane_ends_the_run() {
    // In the first, a middle and the last iteration, and alone.
    for (lanes, lane, at) in [(3, 1, 1), (3, 2, 5), (3, 0, 7), (1, 0, 4)] {
        let error = error(with_fault(lanes, lane, Fault::Fails(at)));
        let RunError::Lane { lane: l, iteration, source, .. } = error else { panic!("{error}") };
        assert_eq!((l, iteration), (u32::from(lane), at));
        let ExecError::Device { cause, .. } = *source else { panic!("{source}") };
        assert_eq!(cause, "unspecified launch failure");
    }
}

#[test]
fn a_lane_without_memory_ends_the_run() {
    let error = error(with_fault(2, 1, Fault::Memory));
    let RunError::Lane { lane: 1, iteration: 0, source, device } = error else {
        panic!("{error}");
    };
    assert!(matches!(*source, ExecError::Memory { .. }), "{source}");
    assert_eq!(device, cpu(1).facts().model);
}

#[test]
fn a_hung_lane_ends_the_run() {
    // While others wait at a sync point, after the last one, and alone.
    for (lanes, lane, at) in [(3, 1, 2), (2, 1, 7), (1, 0, 3)] {
        let executors = with_fault(lanes, lane, Fault::Hangs(at));
        match run_within(2, &challenge(128, 7, 3), executors).err() {
            Some(RunError::Hung { lane: l, iteration, .. }) => {
                assert_eq!((l, iteration), (u32::from(lane), at));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_panicking_lane_ends_the_run() {
    let error = error(with_fault(3, 2, Fault::Panics(4)));
    let RunError::Broken { lane: 2, iteration: 4, cause, .. } = error else { panic!("{error}") };
    assert_eq!(cause, "panicked: an index was out of range");
}

#[test]
fn broken_promises_end_the_run() {
    for (fault, at, words) in [
        (Fault::Skips(4), 4, "iteration 5 came instead of 4"),
        (Fault::ShortTiles(5), 5, "1 tile roots came instead of 2"),
        (Fault::EndsEarly(6), 6, "the segment ended before iteration 6"),
    ] {
        let error = error(with_fault(2, 1, fault));
        let RunError::Broken { lane: 1, iteration, cause, .. } = error else { panic!("{error}") };
        assert_eq!((iteration, cause.as_str()), (at, words), "{fault:?}");
    }
}

#[test]
fn a_wrong_root_is_not_opened() {
    // At a sync point, so that the next segment starts from the chain with it.
    let mut execution = run(&challenge(128, 7, 3), with_fault(2, 1, Fault::WrongRoot(6))).unwrap();
    let point = |iteration| SamplePoint { lane: 1, iteration, leaf: 9 };
    execution.open(&[point(5), point(7)]).unwrap();
    let error = execution.open(&[point(5), point(6)]).unwrap_err();
    assert!(matches!(error, RunError::Broken { lane: 1, iteration: 6, .. }), "{error}");
}

#[test]
fn an_unstable_tile_is_not_opened() {
    let mut execution = run(&challenge(128, 7, 3), with_fault(2, 0, Fault::Unstable)).unwrap();
    let error = execution.open(&[SamplePoint { lane: 0, iteration: 2, leaf: 300 }]).unwrap_err();
    assert!(matches!(error, RunError::Unstable { lane: 0, iteration: 2, tile: 1, .. }), "{error}");
}

#[test]
fn the_stop_flag_ends_the_run() {
    let stop = Arc::new(AtomicBool::new(false));
    let options = RunOptions { stop: stop.clone(), ..RunOptions::default() };
    // Many seconds of work even on a large machine; the first look around comes
    // after a tenth of one.
    let challenge = challenge(512, 5000, 1000);
    let report = |done: &[u32]| stop.store(done.iter().all(|&n| n > 0), Ordering::Relaxed);
    match execute(&challenge, honest(2), &options, &report).err().unwrap() {
        RunError::Stopped { iterations } => assert!((1..5000).contains(&iterations)),
        other => panic!("{other}"),
    }
}

#[test]
fn lane_counts_and_uuids_are_checked_first() {
    assert!(matches!(error(Vec::new()), RunError::NoLanes));
    let twice: Vec<Box<dyn Executor>> = vec![Box::new(cpu(1)), Box::new(cpu(2)), Box::new(cpu(1))];
    let error = error(twice);
    assert!(
        matches!(error, RunError::DuplicateUuid { first: 0, second: 2, uuid: Uuid([1, ..]) }),
        "{error}"
    );
    // 6 samples in each of 10,000 iterations fit on one lane, not on two.
    let result = run(&challenge(128, 10_000, 1), honest(2));
    assert!(matches!(result, Err(RunError::LaneCount { .. })));
}

fn digests<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> Vec<T> {
    let entries = value.as_array().unwrap().iter();
    entries.map(|entry| entry.as_str().unwrap().parse().unwrap()).collect()
}
