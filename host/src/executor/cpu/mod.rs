//! The CPU executor: every core, bit-exact, as fast as fused multiply-adds in
//! a fixed order allow.
//!
//! Guarantees: the same bits on every instruction set, core count and block
//! size; memory a few MiB per core whatever n is. Unsafe code is confined to
//! the kernels of the two x86 instruction sets.
//! Deliberately lacks: a thread pool of its own (it runs in the caller's rayon
//! pool), SM counters (there are none), and library products, which reorder
//! the sums.
//!
//! ```text
//! kernel ─ portable, avx2, avx512   packed panels: generate, multiply
//! stream                            Philox counters, rounds that vectors share
//! block ─ hash                      a rectangle of tiles: sums, leaf hashes
//! iteration                         blocks over the cores, tile roots in order
//! verifier                          sampled leaves over the cores
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod hash;
mod iteration;
mod kernel;
mod portable;
mod stream;
mod verifier;

pub use kernel::{Simd, detect_simd};
pub use verifier::CpuVerifier;

use super::host_memory::HostMemory;
use super::{
    ExecError, Executor, IterationOutput, Kind, LaneFacts, Segment, Sink, SmTiles, TileRequest,
};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::document::LaneDetails;
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::{chain, merkle};
use iteration::Compute;
use kernel::Engine;

/// How a CPU executor presents itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuOptions {
    /// The lane's UUID; `None` draws one from the operating system.
    pub uuid: Option<Uuid>,
}

/// One lane on the host's cores.
pub struct CpuExecutor {
    facts: LaneFacts,
    compute: Compute,
}

impl CpuExecutor {
    /// An executor on the best instruction set of this CPU.
    ///
    /// # Panics
    /// If a UUID is to be drawn and the operating system has no randomness.
    pub fn new(options: CpuOptions) -> Self {
        Self::on_engine(Engine::best(), options)
    }

    /// An executor on `simd`; `None` where this CPU lacks it.
    ///
    /// # Panics
    /// As [`CpuExecutor::new`].
    pub fn with_simd(simd: Simd, options: CpuOptions) -> Option<Self> {
        Engine::new(simd).map(|engine| Self::on_engine(engine, options))
    }

    fn on_engine(engine: Engine, options: CpuOptions) -> Self {
        let uuid = options.uuid.unwrap_or_else(|| {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("the operating system provides randomness");
            Uuid(bytes)
        });
        let details = LaneDetails {
            simd: Some(engine.simd().to_string()),
            threads: Some(rayon::current_num_threads()),
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
        Self { facts, compute: Compute::new(engine) }
    }
}

impl Executor for CpuExecutor {
    fn facts(&self) -> &LaneFacts {
        &self.facts
    }

    fn begin(&mut self, _shape: Fp64Product) -> Result<(), ExecError> {
        Ok(())
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let mut state = segment.start;
        for iteration in segment.first_iteration..segment.first_iteration + segment.iterations {
            let tile_roots = self.compute.tile_roots(segment.shape, &state);
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

    fn tile_leaf_hashes(
        &mut self,
        dim: u32,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        Ok(self.compute.leaf_hashes(dim, tiles))
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        Ok(SmTiles::NotApplicable)
    }
}

/// D(g,i): tiles are complete subtrees, so the tree continues over their roots.
fn iteration_root(tile_roots: &[Digest]) -> Digest {
    merkle::root(tile_roots).expect("a shape has at least one tile")
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
