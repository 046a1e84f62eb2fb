//! The CPU executor: every core, bit-exact, whatever the kind of work is.
//!
//! Guarantees: the same bits on every instruction set and core count.
//! Deliberately lacks: a thread pool of its own, unless cores are to be left to others (it
//! runs in the caller's rayon pool), SM counters (there are none), and any kind of work: [`crate::work`] has them.

mod simd;
mod verifier;

pub use simd::{Simd, detect_simd};
pub use verifier::CpuVerifier;

use super::host_memory::HostMemory;
use super::{
    Assignment, ExecError, Executor, IterationOutput, Kind, LaneFacts, Segment, SharedMemory, Sink,
    SmTiles, TileRequest,
};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::document::LaneDetails;
use crate::protocol::names::Root;
use crate::protocol::work::{IterationPlace, Work};
use crate::protocol::{chain, merkle};
use crate::work::fp64_product::cpu::Fp64OnCpu;
use crate::work::integer_product::cpu::IntegerOnCpu;
use crate::work::memory_residency::cpu::MemoryOnCpu;

/// One kind of work on the host's cores, for one lane.
pub(crate) trait CpuWork: Send + Sync {
    /// The roots of an iteration's tiles, in order.
    ///
    /// # Errors
    /// [`ExecError::Memory`].
    fn tile_roots(&mut self, at: &IterationPlace) -> Result<Vec<Digest>, ExecError>;

    /// The leaf hashes of each tile, in request order.
    ///
    /// # Errors
    /// [`ExecError::Memory`].
    fn leaf_hashes(&mut self, tiles: &[TileRequest]) -> Result<Vec<Vec<Digest>>, ExecError>;

    /// As [`Executor::read_blocks`]; `None` if there is no arena.
    fn read_blocks(&self, _first: u64, _count: u64) -> Option<Vec<[u32; 4]>> {
        None
    }

    /// As [`Executor::share`].
    fn share(&self) -> Option<SharedMemory> {
        None
    }

    /// As [`Executor::connect`].
    fn connect(&mut self, _lanes: &[Option<SharedMemory>]) {}
}

/// How a CPU executor presents itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuOptions {
    /// The lane's UUID; `None` draws one from the operating system.
    pub uuid: Option<Uuid>,
    /// Cores that are left to others, as long as one is left to this: then it has threads
    /// of its own.
    pub cores_left: usize,
}

/// One lane on the host's cores.
pub struct CpuExecutor {
    facts: LaneFacts,
    simd: Simd,
    /// Its own threads, if it must not have all cores.
    threads: Option<rayon::ThreadPool>,
    /// Of the last [`Executor::begin`].
    begun: Option<(Assignment, Box<dyn CpuWork>)>,
}

impl CpuExecutor {
    /// An executor on the best instruction set of this CPU.
    ///
    /// # Panics
    /// If a UUID is to be drawn and the operating system has no randomness.
    pub fn new(options: CpuOptions) -> Self {
        Self::on(detect_simd(), options)
    }

    /// An executor on `simd`; `None` if this CPU lacks it.
    ///
    /// # Panics
    /// As [`CpuExecutor::new`].
    pub fn with_simd(simd: Simd, options: CpuOptions) -> Option<Self> {
        simd.is_here().then(|| Self::on(simd, options))
    }

    fn on(simd: Simd, options: CpuOptions) -> Self {
        let uuid = options.uuid.unwrap_or_else(|| {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("the operating system provides randomness");
            Uuid(bytes)
        });
        let threads = own_threads(options.cores_left);
        let count = threads.as_ref().map(rayon::ThreadPool::current_num_threads);
        let details = LaneDetails {
            simd: Some(simd.to_string()),
            threads: Some(count.unwrap_or_else(rayon::current_num_threads)),
            ..LaneDetails::default()
        };
        let facts = LaneFacts {
            kind: Kind::Cpu,
            uuid,
            model: cpu_model(),
            memory_bytes: memory_bytes(),
            sm_count: 0,
            details,
        };
        Self { facts, simd, threads, begun: None }
    }

    /// The means for an assignment: those of the last begin, if it was the same.
    fn means(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        if self.begun.as_ref().is_none_or(|(begun, _)| begun != assignment) {
            // What the last one took is given back before the next one takes its own.
            self.begun = None;
            let simd = self.simd;
            let work = on_threads(self.threads.as_ref(), || begin(assignment, simd))?;
            self.begun = Some((assignment.clone(), work));
            let arena = assignment.work.memory_residency();
            self.facts.details.arena_bytes = arena.map(|work| work.arena_bytes());
        }
        Ok(())
    }
}

/// Threads for all cores but these; `None` if none are to be left, or the operating system
/// has no more threads, which is logged: then cores are shared.
fn own_threads(cores_left: usize) -> Option<rayon::ThreadPool> {
    let count = rayon::current_num_threads().saturating_sub(cores_left).max(1);
    let builder = rayon::ThreadPoolBuilder::new().num_threads(count);
    let built = (cores_left > 0).then(|| builder.build())?;
    built.inspect_err(|error| tracing::warn!("no threads of its own for the CPUs: {error}")).ok()
}

fn on_threads<T: Send>(threads: Option<&rayon::ThreadPool>, work: impl FnOnce() -> T + Send) -> T {
    match threads {
        Some(threads) => threads.install(work),
        None => work(),
    }
}

/// The means for a lane's work.
fn begin(assignment: &Assignment, simd: Simd) -> Result<Box<dyn CpuWork>, ExecError> {
    Ok(match assignment.work {
        Work::Fp64Product(shape) => Box::new(Fp64OnCpu::new(shape, simd)),
        Work::MemoryResidency(work) => Box::new(MemoryOnCpu::begin(work, assignment, simd)?),
        Work::IntegerProduct(shape) => Box::new(IntegerOnCpu::new(shape, simd)),
    })
}

impl Executor for CpuExecutor {
    fn facts(&self) -> &LaneFacts {
        &self.facts
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        self.means(assignment)
    }

    fn share(&mut self) -> Option<SharedMemory> {
        self.begun.as_ref().and_then(|(_, work)| work.share())
    }

    fn connect(&mut self, lanes: &[Option<SharedMemory>]) -> Result<(), ExecError> {
        if let Some((_, work)) = &mut self.begun {
            work.connect(lanes);
        }
        Ok(())
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let threads = self.threads.as_ref();
        let (assignment, work) = self.begun.as_mut().expect("a run follows a begin");
        let (lane, mut state) = (assignment.lane, segment.start);
        for iteration in segment.first_iteration..segment.first_iteration + segment.iterations {
            let place = IterationPlace { lane, iteration, state };
            let tile_roots = on_threads(threads, || work.tile_roots(&place))?;
            let root = iteration_root(&tile_roots);
            let output = IterationOutput { iteration, root, tile_roots: &tile_roots };
            if sink(output).is_break() {
                return Err(ExecError::Stopped);
            }
            let sync = segment.solo_sync.and_then(|solo| solo.digest(iteration, &root));
            state = chain::step(&state, iteration, &root, sync.as_ref());
        }
        Ok(())
    }

    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        self.means(assignment)?;
        let (_, work) = self.begun.as_mut().expect("begun above");
        on_threads(self.threads.as_ref(), || work.leaf_hashes(tiles))
    }

    fn read_blocks(&mut self, first: u64, count: u64) -> Result<Vec<[u32; 4]>, ExecError> {
        let begun = self.begun.as_ref();
        let words = begun.and_then(|(_, work)| work.read_blocks(first, count));
        words.ok_or_else(|| ExecError::no_arena("the host"))
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        Ok(SmTiles::NotApplicable)
    }

    fn rest(&mut self) {
        self.begun = None;
    }
}

/// D(g,i): tiles are complete subtrees, so the tree continues over their roots.
fn iteration_root(tile_roots: &[Digest]) -> Root {
    Root::of_tree(merkle::root(tile_roots).expect("an iteration has at least one tile"))
}

/// What Linux calls the CPU, elsewhere the architecture.
fn cpu_model() -> String {
    linux_entry("/proc/cpuinfo", "model name")
        .unwrap_or_else(|| format!("{} CPU", std::env::consts::ARCH))
}

/// The memory that this process may have in all, bytes: the limit of its cgroup, or what
/// the kernel says that the machine has, also if /proc is not there; 0 if unknown.
fn memory_bytes() -> u64 {
    #[cfg(target_os = "linux")]
    let machine = {
        let info = rustix::system::sysinfo();
        info.totalram.saturating_mul(info.mem_unit.into())
    };
    #[cfg(not(target_os = "linux"))]
    let machine = 0;
    HostMemory::read().map_or(machine, |memory| memory.total_bytes)
}

/// The value of the first line `name : value` of a file under /proc.
fn linux_entry(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}
