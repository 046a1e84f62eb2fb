//! What one sweep over an arena of known contents gives, and who was wrong if two finds
//! differ.
//!
//! Every turn fills the arenas anew, without half-passes: what a word must be depends on
//! nothing but its place and the turn. All sweeps of a turn start from the same state, so
//! that each of them must have the same tile roots, and a word that is wrong shows in one
//! tile alone.
//!
//! Guarantees: a tile's root is right only if the CPU or another find has it, too; a wrong
//! tile is judged by recomputing its blocks on the CPU, and its lane is asked to read them
//! back. What is wrong in one tile hides nothing in another.
//! Deliberately lacks: devices. Lanes bring their finds.

use super::fault::{FaultLog, FaultPlace, WrongWords};
use crate::executor::{Assignment, ExecError, Executor};
use crate::protocol::digest::Digest;
use crate::protocol::merkle;
use crate::protocol::names::{Root, State};
use crate::protocol::work::memory_residency::{BLOCK_WORDS, MemoryResidency};
use crate::work::memory_residency::cpu::MemoryCpu;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Tiles that the CPU recomputes at a time.
const KNOWN_TILES: u64 = 32;

/// The work of a sweep over an arena of this many blocks.
pub(super) fn work_of(arena_blocks: u64) -> MemoryResidency {
    MemoryResidency { arena_blocks, half_passes: 0, peer_blocks: 0 }
}

/// Where every lane of a turn starts: what the fill writes and how it is swept.
pub(super) fn seed(turn: u64) -> State {
    State(Digest::of(&[b"attest selftest --stress memory", &turn.to_be_bytes()]).0)
}

/// What a lane begins a turn with.
pub(super) fn assignment(work: MemoryResidency, turn: u64) -> Assignment {
    Assignment { work: work.into(), lane: 0, seeds: Arc::new([seed(turn)]) }
}

/// A wrong tile whose blocks its lane has to read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pin {
    lane: usize,
    fault: usize,
    tile: u64,
}

/// A sweep of a lane.
#[derive(Clone, Copy)]
pub(super) struct Swept<'a> {
    pub(super) lane: usize,
    pub(super) work: MemoryResidency,
    pub(super) turn: u64,
    /// How many there were since the fill, this one included.
    pub(super) sweep: u64,
    pub(super) root: Root,
    pub(super) tile_roots: &'a [Digest],
}

/// The sweeps so far.
pub(super) struct Sweeps {
    cpu: MemoryCpu,
    log: FaultLog,
    turn: u64,
    /// Of arenas of one size each.
    groups: Vec<Group>,
    pins: Vec<Pin>,
    compared: u64,
    fills: u64,
    known_fills: u64,
}

/// Lanes whose arenas are of one size have the same contents.
struct Group {
    work: MemoryResidency,
    /// By tile: what was found first, or what the CPU has.
    roots: Vec<Option<Digest>>,
    /// By tile: whether the CPU has it.
    is_known: Vec<bool>,
    /// Tiles from the first on that the checker has recomputed.
    checked: u64,
    /// Of the tiles that the CPU did not have before: lane and sweep.
    finder: Option<(usize, u64)>,
    /// Wrong roots that were judged, by lane and tile: not a fault again.
    wrong: HashMap<(usize, u64), Digest>,
    /// Lanes that have swept.
    swept: Vec<usize>,
    /// Of all roots, once all are there.
    root: Option<Digest>,
}

impl Group {
    fn new(work: MemoryResidency) -> Self {
        let tiles = work.tiles() as usize;
        Self {
            work,
            roots: vec![None; tiles],
            is_known: vec![false; tiles],
            checked: 0,
            finder: None,
            wrong: HashMap::new(),
            swept: Vec::new(),
            root: None,
        }
    }

    fn is_checked(&self) -> bool {
        self.checked == self.work.tiles()
    }
}

impl Sweeps {
    pub(super) fn new(cpu: MemoryCpu, log: FaultLog) -> Self {
        Self {
            cpu,
            log,
            turn: 0,
            groups: Vec::new(),
            pins: Vec::new(),
            compared: 0,
            fills: 0,
            known_fills: 0,
        }
    }

    pub(super) fn log(&self) -> &FaultLog {
        &self.log
    }

    /// Sweeps that were compared with another find, or with the CPU's.
    pub(super) fn compared(&self) -> u64 {
        self.compared
    }

    /// Fills of arenas of one size, and those of which the CPU has recomputed every block.
    pub(super) fn fills(&self) -> (u64, u64) {
        (self.fills, self.known_fills)
    }

    /// A lane has filled its arena for a turn.
    pub(super) fn join(&mut self, turn: u64, work: MemoryResidency) {
        if turn > self.turn {
            (self.turn, self.groups, self.pins) = (turn, Vec::new(), Vec::new());
        }
        if turn == self.turn && !self.groups.iter().any(|group| group.work == work) {
            self.groups.push(Group::new(work));
            self.fills += 1;
        }
    }

    /// Whether all blocks of a turn are known, and all of `lanes` have swept them.
    pub(super) fn is_settled(&self, turn: u64, lanes: &[usize]) -> bool {
        let has_swept = |lane: &usize| self.groups.iter().any(|group| group.swept.contains(lane));
        self.turn == turn
            && self.groups.iter().all(Group::is_checked)
            && lanes.iter().all(has_swept)
    }

    /// Compares a sweep with what is known; gives the tiles that its lane has to read back,
    /// also of earlier sweeps. Nothing is compared if the turn is over.
    pub(super) fn compare(&mut self, swept: &Swept<'_>) -> Vec<Pin> {
        let Swept { lane, work, turn, sweep, root, tile_roots } = *swept;
        let of_work = |group: &Group| group.work == work;
        let Some(at) = self.groups.iter().position(of_work).filter(|_| self.turn == turn) else {
            return Vec::new();
        };
        let group = &mut self.groups[at];
        if !group.swept.contains(&lane) {
            group.swept.push(lane);
        }
        if group.finder.is_some() || group.is_checked() {
            self.compared += 1;
        }
        group.finder.get_or_insert((lane, sweep));
        let mut differing = Vec::new();
        for (tile, (known, got)) in group.roots.iter_mut().zip(tile_roots).enumerate() {
            if *known.get_or_insert(*got) != *got {
                differing.push(tile as u64);
            }
        }
        if differing.is_empty() {
            let all = || merkle::root(&group.roots.iter().copied().flatten().collect::<Vec<_>>());
            let expected = *group.root.get_or_insert_with(|| all().unwrap_or_default());
            if expected != root.node() && !self.log.is_full() {
                let place = FaultPlace { lane, round: turn, iteration: sweep, tile: None };
                self.log.keep(place, expected, root.node());
            }
        }
        for tile in differing {
            let got = tile_roots[tile as usize];
            if self.groups[at].wrong.get(&(lane, tile)) != Some(&got) {
                self.judge(at, (lane, sweep), tile, got);
            }
        }
        self.take_pins(turn, lane)
    }

    /// Who is wrong about a tile: the lane, or whoever found it first.
    fn judge(&mut self, at: usize, (lane, sweep): (usize, u64), tile: u64, got: Digest) {
        if self.log.is_full() {
            return;
        }
        let group = &self.groups[at];
        if !group.is_known[tile as usize] {
            let start = seed(self.turn);
            let Ok(right) = self.cpu.tile_roots_from(group.work, &start, tile..tile + 1) else {
                return;
            };
            self.know(at, tile, right[0]);
        }
        let right = self.groups[at].roots[tile as usize].expect("known by now");
        if got != right && self.groups[at].wrong.get(&(lane, tile)) != Some(&got) {
            self.fault(at, (lane, sweep), tile, right, got);
        }
    }

    /// The CPU has the root of a tile: whoever found it otherwise was wrong.
    fn know(&mut self, at: usize, tile: u64, right: Digest) {
        let group = &mut self.groups[at];
        let had = group.roots[tile as usize].replace(right);
        let was_known = std::mem::replace(&mut group.is_known[tile as usize], true);
        let finder = group.finder.filter(|_| !was_known);
        if let (Some(had), Some(finder)) = (had, finder)
            && had != right
        {
            group.root = None;
            if !self.log.is_full() {
                self.fault(at, finder, tile, right, had);
            }
        }
    }

    fn fault(
        &mut self,
        at: usize,
        (lane, sweep): (usize, u64),
        tile: u64,
        right: Digest,
        got: Digest,
    ) {
        self.groups[at].wrong.insert((lane, tile), got);
        let place = FaultPlace { lane, round: self.turn, iteration: sweep, tile: Some(tile) };
        if let Some(fault) = self.log.keep(place, right, got) {
            self.pins.push(Pin { lane, fault, tile });
        }
    }

    /// Tiles that a lane has to read back, if its arena is still that of `turn`.
    pub(super) fn take_pins(&mut self, turn: u64, lane: usize) -> Vec<Pin> {
        let is_due = |pin: &mut Pin| self.turn == turn && pin.lane == lane;
        self.pins.extract_if(.., is_due).collect()
    }

    /// What was read back.
    pub(super) fn pinned(&mut self, pin: Pin, words: WrongWords) {
        self.log.pin(pin.fault, words);
    }

    /// Tiles of a turn that the checker has to recompute next.
    pub(super) fn unchecked(&self, turn: u64) -> Option<(MemoryResidency, Range<u64>)> {
        let groups = self.groups.iter().filter(|_| self.turn == turn);
        let group = groups.into_iter().find(|group| !group.is_checked())?;
        let last = (group.checked + KNOWN_TILES).min(group.work.tiles());
        Some((group.work, group.checked..last))
    }

    /// What the checker has found of the tiles from `first` on.
    pub(super) fn check(&mut self, turn: u64, work: MemoryResidency, first: u64, right: &[Digest]) {
        let of_work = |group: &Group| group.work == work;
        let Some(at) = self.groups.iter().position(of_work).filter(|_| self.turn == turn) else {
            return;
        };
        for (tile, &right) in (first..).zip(right) {
            self.know(at, tile, right);
        }
        let group = &mut self.groups[at];
        group.checked = first + right.len() as u64;
        if group.is_checked() {
            self.known_fills += 1;
            self.compared += u64::from(group.finder.is_some());
        }
    }
}

/// Reads the blocks of a tile back, and finds what is wrong in them.
///
/// # Errors
/// The executor's; nothing is known if the CPU has no memory.
pub(super) fn read_back(
    executor: &mut dyn Executor,
    cpu: MemoryCpu,
    work: MemoryResidency,
    turn: u64,
    pin: Pin,
) -> Result<Option<WrongWords>, ExecError> {
    let start = seed(turn);
    let blocks = cpu.tile_blocks(work, &start, pin.tile);
    let Ok(expected) = cpu.block_words(work, &start, &blocks) else { return Ok(None) };
    let mut wrong = WrongWords::default();
    let mut expected = expected.iter();
    for run in blocks.chunk_by(|a, b| a + 1 == *b) {
        let got = executor.read_blocks(run[0], run.len() as u64)?;
        for (block, got) in run.iter().zip(got.chunks_exact(BLOCK_WORDS as usize)) {
            let expected = expected.next().expect("as many blocks");
            for (word, (expected, got)) in (0..).zip(expected.iter().zip(got)) {
                wrong.note(*block, word, *expected, *got);
            }
        }
    }
    Ok(Some(wrong))
}
