//! A CPU executor that breaks in one chosen way, and tells when it is dropped.

use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::executor::lanes::Patience;
use attest::executor::{
    Assignment, ExecError, Executor, IterationOutput, Kind, LaneFacts, Segment, Sink, SmTiles,
    TileRequest,
};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::merkle;
use attest::protocol::names::Root;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What goes wrong; the number is an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// `begin` finds too little memory.
    NoMemory,
    /// `begin` never returns.
    HangsAtBegin,
    /// `run` fails with the driver's error, and so does everything after it.
    Sticky(u32),
    /// `run` never returns.
    Hangs(u32),
    /// `run` panics.
    Panics(u32),
    /// One bit of the tile of this index is wrong, once, and so is all above it.
    BitFlip(u32, usize),
    /// Every iteration takes this much longer.
    Slow(Duration),
    /// Counters of this many SMs, made from the right ones by `Counts`.
    Counters(Counts),
    /// `leaf_hashes` never returns.
    HangsAtOpening,
    /// `leaf_hashes` panics.
    PanicsAtOpening,
    /// It can't be dropped.
    HangsAtDrop,
}

/// How long lanes with these faults may be silent: short if one of them hangs, and
/// otherwise long enough for a machine that is busy with other things.
pub fn patience(faults: &[Fault]) -> Patience {
    use Fault::{Hangs, HangsAtBegin, HangsAtDrop, HangsAtOpening};
    let hangs =
        |fault: &Fault| matches!(fault, Hangs(_) | HangsAtBegin | HangsAtDrop | HangsAtOpening);
    let s = if faults.iter().any(hangs) { 2 } else { 120 };
    Patience::Fixed(Duration::from_secs(s))
}

/// How counters are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    Right,
    Zero,
    OneTooMany,
    OneSmTooMany,
    Unreadable,
}

/// Counts executors that live.
pub type Alive = Arc<AtomicUsize>;

pub struct Faulty {
    inner: CpuExecutor,
    facts: LaneFacts,
    fault: Fault,
    /// What goes wrong from the next [`Executor::rest`] on.
    later: Fault,
    broken: bool,
    flipped: bool,
    tiles: u64,
    alive: Alive,
}

/// SMs of a lane with counters.
pub const SMS: u32 = 3;

impl Faulty {
    pub fn new(uuid: u8, fault: Fault, alive: &Alive) -> Self {
        let inner =
            CpuExecutor::new(CpuOptions { uuid: Some(Uuid([uuid; 16])), ..CpuOptions::default() });
        let mut facts = inner.facts().clone();
        facts.model = format!("device {uuid}");
        if matches!(fault, Fault::Counters(_)) {
            (facts.kind, facts.sm_count) = (Kind::Gpu, SMS);
        }
        alive.fetch_add(1, Ordering::SeqCst);
        let alive = Arc::clone(alive);
        let later = fault;
        Self { inner, facts, fault, later, broken: false, flipped: false, tiles: 0, alive }
    }

    /// Like [`Faulty::new`], but nothing goes wrong before it has been used once.
    pub fn later(uuid: u8, fault: Fault, alive: &Alive) -> Self {
        let mut this = Self::new(uuid, Fault::None, alive);
        this.later = fault;
        this
    }

    fn lost(&self) -> ExecError {
        ExecError::Device {
            what: "running iterations".into(),
            device: self.facts.model.clone(),
            cause: "cuEventSynchronize returned CUDA_ERROR_ILLEGAL_ADDRESS (700)".into(),
            advice: "Look at the driver's log.".into(),
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if self.fault == Fault::HangsAtDrop {
            hang();
        }
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

pub fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

impl Executor for Faulty {
    fn facts(&self) -> &LaneFacts {
        &self.facts
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        self.tiles = 0;
        match self.fault {
            Fault::NoMemory => Err(ExecError::Memory {
                device: self.facts.model.clone(),
                needed_bytes: 268_435_456,
                free_bytes: 1024,
                advice: "free device memory".into(),
            }),
            Fault::HangsAtBegin => hang(),
            _ => self.inner.begin(assignment),
        }
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        if self.broken {
            return Err(self.lost());
        }
        let (fault, tiles) = (self.fault, &mut self.tiles);
        let (mut broken, mut flipped) = (false, self.flipped);
        let result = self.inner.run(segment, &mut |output: IterationOutput<'_>| {
            let i = output.iteration;
            match fault {
                Fault::Sticky(k) if k == i => {
                    broken = true;
                    return ControlFlow::Break(());
                }
                Fault::Hangs(k) if k == i => hang(),
                Fault::Panics(k) if k == i => panic!("an index was out of range"),
                Fault::Slow(delay) => std::thread::sleep(delay),
                Fault::BitFlip(k, tile) if k == i && !flipped => {
                    flipped = true;
                    let mut tile_roots = output.tile_roots.to_vec();
                    tile_roots[tile].0[7] ^= 1;
                    let root = Root::of_tree(merkle::root(&tile_roots).expect("there are tiles"));
                    return sink(IterationOutput { root, tile_roots: &tile_roots, ..output });
                }
                _ => {}
            }
            *tiles += output.tile_roots.len() as u64;
            sink(output)
        });
        (self.broken, self.flipped) = (broken, flipped);
        if broken { Err(self.lost()) } else { result }
    }

    fn rest(&mut self) {
        self.fault = self.later;
    }

    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        match self.fault {
            Fault::HangsAtOpening => hang(),
            Fault::PanicsAtOpening => panic!("a buffer was gone"),
            _ => self.inner.leaf_hashes(assignment, tiles),
        }
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        let Fault::Counters(counts) = self.fault else { return self.inner.sm_tiles() };
        let right = vec![self.tiles - self.tiles / 2, self.tiles / 2, 0];
        Ok(match counts {
            Counts::Right => SmTiles::Counted(right),
            Counts::Zero => SmTiles::Counted(vec![0; SMS as usize]),
            Counts::OneTooMany => SmTiles::Counted(vec![right[0] + 1, right[1], 0]),
            Counts::OneSmTooMany => SmTiles::Counted([&right[..], &[0]].concat()),
            Counts::Unreadable => SmTiles::Unavailable("SM ids out of range".into()),
        })
    }
}
