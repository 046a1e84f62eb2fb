//! The stress test finds bits of memory that are wrong, and names device, block and word,
//! whatever the other kinds do meanwhile.

use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::{
    Assignment, ExecError, Executor, IterationOutput, LaneFacts, Segment, Sink, SmTiles,
    TileRequest,
};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::merkle;
use attest::protocol::names::Root;
use attest::protocol::work::fp64_product::Fp64Product;
use attest::protocol::work::integer_product::IntegerProduct;
use attest::selftest::Health;
use attest::selftest::stress::{
    FAULTS_MAX, Load, StressOptions, StressReport, StressSubject, stress,
};
use attest::work::memory_residency::cpu::{Arena, EmptyArena, LaneSweep, MemoryCpu};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// N of the arenas here: two tiles a sweep.
const BLOCKS: u64 = 1024;

/// A bit of an arena: block, word, bit.
type Bit = (u64, u32, u32);

/// How memory is wrong.
#[derive(Clone, Debug, Default)]
struct Wrong {
    /// These flip before the sweep with this number.
    flips: Vec<(u64, Bit)>,
    /// These bits are always 1.
    stuck: Vec<Bit>,
    /// The sweep with this number reads tile 1 wrong, though memory is right.
    misread: Option<u64>,
}

/// The CPU, but its arena has bits that go wrong.
struct Memory {
    inner: CpuExecutor,
    arena: Option<Arena>,
    wrong: Wrong,
    sweeps: u64,
    /// How often blocks were read back, on all lanes.
    reads: Arc<AtomicU64>,
}

impl Executor for Memory {
    fn facts(&self) -> &LaneFacts {
        self.inner.facts()
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        self.arena = None;
        let Some(work) = assignment.work.memory_residency() else {
            return self.inner.begin(assignment);
        };
        let empty = EmptyArena::allocate(work).expect("memory for a small arena");
        let seed = &assignment.seeds[assignment.lane as usize];
        let go_on = &mut || ControlFlow::Continue(());
        let mut arena = MemoryCpu::new().fill(empty, seed, go_on).expect("nobody stops it");
        for &(block, word, bit) in &self.wrong.stuck {
            let parts = arena.words(block, 1)[word as usize];
            if parts[bit as usize / 32] & 1 << (bit % 32) == 0 {
                arena.flip(block, word, bit);
            }
        }
        self.arena = Some(arena);
        Ok(())
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let Some(arena) = &mut self.arena else { return self.inner.run(segment, sink) };
        assert_eq!((segment.first_iteration, segment.iterations), (1, 1));
        self.sweeps += 1;
        for &(_, (block, word, bit)) in
            self.wrong.flips.iter().filter(|(sweep, _)| *sweep == self.sweeps)
        {
            arena.flip(block, word, bit);
        }
        let sweep = LaneSweep { state: segment.start, own: arena, second: arena };
        let mut tile_roots = MemoryCpu::new().tile_roots(&sweep);
        if self.wrong.misread == Some(self.sweeps) {
            tile_roots[1].0[0] ^= 4;
        }
        let root = Root::of_tree(merkle::root(&tile_roots).expect("there are tiles"));
        let output = IterationOutput { iteration: 1, root, tile_roots: &tile_roots };
        if sink(output).is_break() { Err(ExecError::Stopped) } else { Ok(()) }
    }

    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        self.inner.leaf_hashes(assignment, tiles)
    }

    fn read_blocks(&mut self, first: u64, count: u64) -> Result<Vec<[u32; 4]>, ExecError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.arena.as_ref().expect("there is an arena").words(first, count))
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        Ok(SmTiles::NotApplicable)
    }
}

/// What a run is to come to before it ends.
struct Until {
    /// Sweeps of each lane.
    sweeps: u64,
    /// Whether blocks were read back.
    reads: bool,
    /// How long an arena stays.
    turn: Duration,
}

/// One arena for all of the run.
fn until(sweeps: u64, reads: bool) -> Until {
    Until { sweeps, reads, turn: Duration::from_secs(1000) }
}

fn run(lanes: &[Wrong], loads: Vec<Load>, until: Until) -> StressReport {
    let Until { sweeps, reads, turn } = until;
    let read = Arc::new(AtomicU64::new(0));
    let subjects = (1..).zip(lanes).map(|(uuid, wrong)| {
        let inner =
            CpuExecutor::new(CpuOptions { uuid: Some(Uuid([uuid; 16])), ..CpuOptions::default() });
        let (wrong, reads) = (wrong.clone(), Arc::clone(&read));
        let executor = Memory { inner, arena: None, wrong, sweeps: 0, reads };
        let (name, executor) = (format!("device {uuid}"), Box::new(executor));
        StressSubject { name, executor, arena_blocks: BLOCKS }
    });
    let options = StressOptions {
        turn,
        patience: Duration::from_secs(100),
        ..StressOptions::new(Duration::from_secs(120), loads, BLOCKS)
    };
    let reference = || Box::new(CpuExecutor::new(CpuOptions::default())) as Box<dyn Executor>;
    let stop = options.stop.clone();
    let report = stress(subjects.collect(), &reference, &options, &mut |lanes| {
        let has_enough = |lane: &attest::selftest::stress::StressLane| {
            lane.failure.is_some()
                || lane.loads.iter().all(|load| {
                    let least = if load.work.memory_residency().is_some() { sweeps } else { 1 };
                    load.iterations >= least
                })
        };
        let has_read = !reads || read.load(Ordering::Relaxed) > 0;
        stop.store(has_read && lanes.iter().all(has_enough), Ordering::Relaxed);
    });
    report.expect("there are threads")
}

/// In the first half, in the second half, the last bit of all.
const BITS: [Bit; 3] = [(3, 17, 0), (700, 255, 64), (BLOCKS - 1, 255, 127)];

#[test]
fn a_flipped_bit_is_named_by_device_block_and_word() {
    for bit in BITS {
        let (block, word, at) = bit;
        // Alone, and beside one that is right, before and behind it.
        let faulty = Wrong { flips: vec![(2, bit)], ..Wrong::default() };
        let right = Wrong::default();
        for (lanes, device) in [
            (vec![faulty.clone()], "device 1"),
            (vec![faulty.clone(), right.clone()], "device 1"),
            (vec![right, faulty.clone()], "device 2"),
        ] {
            let report = run(&lanes, vec![Load::Sweeps], until(20, true));
            let [fault] = &report.faults[..] else { panic!("{bit:?}: {report:?}") };
            assert_eq!((fault.device.as_str(), fault.kind), (device, "memory"));
            let words = fault.words.as_ref().expect("they were read back");
            let [wrong] = words.first[..] else { panic!("{words:?}") };
            assert_eq!((words.count, wrong.block, wrong.word), (1, block, word), "{fault}");
            assert_eq!(wrong.bits(), 1, "{fault}");
            let part = at as usize / 32;
            assert_eq!(wrong.expected[part] ^ wrong.got[part], 1 << (at % 32), "{fault}");
            let text = fault.to_string();
            assert!(text.starts_with(device) && text.contains("(1 bit)"), "{text}");
            assert_eq!((report.health(), report.unjudged), (Health::Faulty, 0));
            assert!(report.lanes.iter().all(|lane| lane.failure.is_none()), "{report:?}");
        }
    }
}

/// A bit that was wrong from the fill on is found by what the CPU computes, and by nothing
/// else if there is one lane alone.
#[test]
fn a_bit_that_is_stuck_is_found_on_one_lane_alone() {
    // One in two has to be 1 anyway.
    let bits: Vec<Bit> = (0..16).map(|at| (60 * at, 15 * at as u32, 8 * at as u32)).collect();
    let stuck = Wrong { stuck: bits.clone(), ..Wrong::default() };
    let report = run(&[stuck], vec![Load::Sweeps], until(20, true));
    let words = report.faults.iter().filter_map(|fault| fault.words.as_ref());
    let words: Vec<_> = words.flat_map(|words| &words.first).collect();
    assert!(words.len() > 2, "{report:?}");
    for wrong in words {
        let is_it = |bit: &&Bit| (bit.0, bit.1) == (wrong.block, wrong.word);
        let (.., bit) = bits.iter().find(is_it).expect("nothing else is wrong");
        let part = *bit as usize / 32;
        assert_eq!(wrong.expected[part] ^ wrong.got[part], 1 << (bit % 32));
        assert_ne!(wrong.got[part] & 1 << (bit % 32), 0, "it is stuck at 1");
    }
}

#[test]
fn what_is_right_when_it_is_read_back_is_said_to_be() {
    // In what is compared with later sweeps, and in a later one.
    for sweep in [1, 3] {
        let misread = Wrong { misread: Some(sweep), ..Wrong::default() };
        let report = run(&[misread], vec![Load::Sweeps], until(20, true));
        let [fault] = &report.faults[..] else { panic!("{sweep}: {report:?}") };
        assert_eq!((fault.tile, fault.iteration), (Some(1), sweep));
        assert_eq!(fault.words.as_ref().map(|words| words.count), Some(0), "{fault}");
        assert!(fault.to_string().contains("right when they were read back"), "{fault}");
    }
}

#[test]
fn bits_in_several_tiles_hide_none_of_each_other_and_faults_are_bounded() {
    let flips = BITS.iter().map(|&bit| (2, bit)).collect();
    let report = run(&[Wrong { flips, ..Wrong::default() }], vec![Load::Sweeps], until(20, true));
    let words = report.faults.iter().flat_map(|fault| &fault.words.as_ref().unwrap().first);
    let mut found: Vec<_> = words.map(|word| (word.block, word.word)).collect();
    found.sort_unstable();
    assert_eq!(found, BITS.map(|(block, word, _)| (block, word)), "{report:?}");
    // Another bit before each sweep, for ever.
    let flips = (1..4000).map(|sweep| (sweep, (sweep % BLOCKS, 1, 1))).collect();
    let report = run(&[Wrong { flips, ..Wrong::default() }], vec![Load::Sweeps], until(100, true));
    assert_eq!(report.faults.len(), FAULTS_MAX);
    assert!(report.unjudged > 0, "{report:?}");
}

#[test]
fn healthy_lanes_are_healthy_at_all_kinds_in_turns() {
    let loads = || {
        let fp64 = Load::products(Fp64Product { dim: 128, products: 1 }.into());
        let integer = Load::products(IntegerProduct { dim: 128, products: 1 }.into());
        vec![fp64, integer, Load::Sweeps]
    };
    let turns = |reads| Until { sweeps: 20, reads, turn: Duration::from_millis(50) };
    let report = run(&[Wrong::default(), Wrong::default()], loads(), turns(false));
    assert!(report.is_healthy(), "{report:?}");
    assert_eq!(
        report.loads.iter().map(|load| load.kind).collect::<Vec<_>>(),
        ["fp64", "integer", "memory"]
    );
    assert!(report.loads.iter().all(|load| load.known > 0), "{report:?}");
    assert!(report.loads[2].fills >= report.loads[2].known, "{report:?}");
    // One that is wrong at one kind only, in every fill.
    let faulty = Wrong { stuck: BITS.to_vec(), ..Wrong::default() };
    let report = run(&[Wrong::default(), faulty], loads(), turns(true));
    assert!(!report.faults.is_empty(), "{report:?}");
    for fault in &report.faults {
        assert_eq!((fault.device.as_str(), fault.kind), ("device 2", "memory"), "{fault}");
    }
}
