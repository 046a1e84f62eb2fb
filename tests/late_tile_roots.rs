//! Executors that hand tile roots over late, while the next segment is computed: the run
//! is the same, and one that keeps some of them is found out.

use crate::common::{products, spec};
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::lanes::{Execution, RunError, RunOptions, execute};
use attest::executor::{
    Assignment, Collect, ExecError, Executor, IterationOutput, LaneFacts, Segment, Sink, SmTiles,
    TileRequest,
};
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::digest::{Digest, Uuid};
use std::collections::VecDeque;

/// A CPU executor that gives the tile roots of a segment's end as late as it may.
struct Late {
    inner: CpuExecutor,
    collect: Option<Collect>,
    held: VecDeque<Vec<Digest>>,
    /// How many of its iterations' tile roots it never gives.
    keeps: usize,
}

impl Late {
    fn give(held: &mut VecDeque<Vec<Digest>>, collect: &mut Option<Collect>, keeps: usize) {
        while held.len() > keeps {
            let (Some(late), Some(collect)) = (held.pop_front(), collect.as_mut()) else { return };
            collect(&late);
        }
    }
}

impl Executor for Late {
    fn facts(&self) -> &LaneFacts {
        self.inner.facts()
    }
    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        (self.collect, self.held) = (None, VecDeque::new());
        self.inner.begin(assignment)
    }
    fn defer_tile_roots(&mut self, collect: Collect) {
        self.collect = Some(collect);
    }
    fn settle(&mut self) {
        Self::give(&mut self.held, &mut self.collect, self.keeps);
    }
    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let last = segment.first_iteration + segment.iterations - 1;
        let Self { inner, collect, held, keeps } = self;
        inner.run(segment, &mut |output| {
            Self::give(held, collect, *keeps);
            if output.iteration == last && collect.is_some() {
                held.push_back(output.tile_roots.to_vec());
                return sink(IterationOutput { tile_roots: &[], ..output });
            }
            sink(output)
        })
    }
    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        self.inner.leaf_hashes(assignment, tiles)
    }
    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        self.inner.sm_tiles()
    }
}

fn cpu(lane: u8) -> CpuExecutor {
    CpuExecutor::new(CpuOptions { uuid: Some(Uuid([lane + 1; 16])), ..CpuOptions::default() })
}

fn late(lanes: u8, keeps: usize) -> Vec<Box<dyn Executor>> {
    let executor = |lane| Late { inner: cpu(lane), collect: None, held: VecDeque::new(), keeps };
    (0..lanes).map(|lane| Box::new(executor(lane)) as Box<dyn Executor>).collect()
}

fn run(challenge: &Challenge, executors: Vec<Box<dyn Executor>>) -> Result<Execution, RunError> {
    execute(challenge, executors, &RunOptions::default(), &|_| ())
}

/// Seven iterations, the last a segment of its own; and a sync point at each.
fn challenges() -> [Challenge; 2] {
    [3, 1].map(|sync_interval| {
        let spec = ChallengeSpec {
            work: products(128, 2),
            num_iterations: 7,
            sync_interval,
            samples_per_iteration: 2,
            ..spec()
        };
        Challenge::issue(spec).expect("a challenge")
    })
}

#[test]
fn late_tile_roots_are_the_same_in_the_same_order() {
    for challenge in challenges() {
        let at_once = (0..3).map(|lane| Box::new(cpu(lane)) as Box<dyn Executor>).collect();
        let expected = run(&challenge, at_once).expect("an honest run");
        let got = run(&challenge, late(3, 0)).expect("an honest run");
        for (got, expected) in got.lanes.iter().zip(&expected.lanes) {
            assert_eq!(got.tile_roots, expected.tile_roots);
            assert_eq!(got.roots, expected.roots);
        }
    }
}

#[test]
fn one_lane_by_itself_is_given_everything_at_once() {
    // It would be late for nobody.
    let [challenge, _] = challenges();
    let execution = run(&challenge, late(1, 0)).expect("an honest run");
    assert_eq!(execution.lanes[0].tile_roots.len(), 7 * 2);
}

#[test]
fn tile_roots_that_never_come_end_the_run() {
    for challenge in challenges() {
        let error = run(&challenge, late(2, 1)).err().expect("some are missing").to_string();
        assert!(error.contains("12 tile roots came instead of 14"), "{error}");
    }
}
