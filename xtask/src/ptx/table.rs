//! The declared facts about kernels: which targets have them, with which launch
//! bounds, which must stay in registers, and how often each of them waits.
//!
//! A kernel that is not listed here does not get into the PTX: an entry point
//! without launch bounds would be compiled for blocks it is never started
//! with.

use super::targets::{TARGETS, Target};

/// Whether a kernel decides the speed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heat {
    /// It does: local memory or spills in it fail the build.
    Hot,
    /// It doesn't: they are only recorded.
    Plain,
}

/// How many instructions of each kind that threads meet at, or that must run
/// exactly as often as is written, an entry point has. A compiler that makes two
/// of one where threads part ways has made a kernel that hangs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCounts {
    /// `bar.sync` and `barrier.sync`, with a count or without.
    pub block_barriers: u32,
    /// `bar.warp.sync`.
    pub warp_barriers: u32,
    /// `shfl.sync`.
    pub shuffles: u32,
    /// `mbarrier.try_wait` and `mbarrier.test_wait`.
    pub waits: u32,
    /// `setmaxnreg`.
    pub hand_overs: u32,
    /// `cp.async.bulk`.
    pub bulk_copies: u32,
}

impl SyncCounts {
    /// Threads that never meet.
    const NONE: SyncCounts = SyncCounts::barriers(0);

    /// Barriers of the block alone.
    const fn barriers(block_barriers: u32) -> SyncCounts {
        SyncCounts { block_barriers, ..SyncCounts::shuffles(0) }
    }

    /// Exchanges between the lanes of a warp alone.
    const fn shuffles(shuffles: u32) -> SyncCounts {
        SyncCounts {
            block_barriers: 0,
            warp_barriers: 0,
            shuffles,
            waits: 0,
            hand_overs: 0,
            bulk_copies: 0,
        }
    }
}

/// One entry point.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Its name in PTX.
    pub name: &'static str,
    /// Threads of a block, `.maxntid`.
    pub threads: u32,
    /// Blocks that must fit on an SM at once, `.minnctapersm`: what bounds its
    /// registers. Without it only `threads` does.
    pub blocks_per_sm_min: Option<u32>,
    /// Whether it decides the speed of a run.
    pub heat: Heat,
    /// Targets that have it.
    pub targets: &'static [Target],
    /// How often its threads meet.
    pub sync: SyncCounts,
}

const ALL: &[Target] = &TARGETS;
const TENSOR_CORES: &[Target] =
    &[Target::Sm80, Target::Sm90, Target::Sm90a, Target::Sm100f, Target::Sm120];
const BULK_COPIES: &[Target] = &[Target::Sm90, Target::Sm90a, Target::Sm100f];
const REGISTER_HANDOVER: &[Target] = &[Target::Sm90a, Target::Sm100f];

/// A ceiling: one unit from registers, nobody meets.
const fn peak(name: &'static str, targets: &'static [Target]) -> Kernel {
    Kernel {
        name,
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        targets,
        sync: SyncCounts::NONE,
    }
}

/// Every entry point there is. Threads are those that the host launches, as
/// the kernels' `abi` module says: a test compares them. (Depending on that
/// crate here would need the PTX that this command makes.)
pub const KERNELS: [Kernel; 16] = [
    Kernel {
        name: "fill",
        threads: 256,
        blocks_per_sm_min: None,
        heat: Heat::Hot,
        targets: ALL,
        sync: SyncCounts::NONE,
    },
    Kernel {
        name: "merkle",
        threads: 256,
        blocks_per_sm_min: None,
        heat: Heat::Plain,
        targets: ALL,
        // After loading, and two a level.
        sync: SyncCounts::barriers(3),
    },
    Kernel {
        name: "chain_step",
        threads: 256,
        blocks_per_sm_min: None,
        heat: Heat::Plain,
        targets: ALL,
        // merkle's, and one before the root's place is used again.
        sync: SyncCounts::barriers(4),
    },
    Kernel {
        name: "gemm_fma",
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        targets: ALL,
        // Before the main loop and in it; three of the tile's end.
        sync: SyncCounts::barriers(5),
    },
    Kernel {
        name: "gemm_m8n8k4",
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        targets: TENSOR_CORES,
        // In the main loop and after it; three of the tile's end.
        sync: SyncCounts::barriers(5),
    },
    Kernel {
        name: "gemm_m16n8k16_tile",
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        targets: &[Target::Sm90],
        sync: SyncCounts {
            // At the start and after the product; three of the tile's end.
            block_barriers: 5,
            // After each block of sixteen rows, and after feeding.
            warp_barriers: 5,
            shuffles: 0,
            // For a full stage; for an empty one, at the start and in the main loop.
            waits: 3,
            hand_overs: 0,
            // A's panel and B's, at the start and in the main loop.
            bulk_copies: 4,
        },
    },
    Kernel {
        name: "gemm_m16n8k16",
        threads: 512,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        targets: REGISTER_HANDOVER,
        sync: SyncCounts {
            // At the start; of the hashing warps, before nodes, two a level, and
            // when a part is done.
            block_barriers: 5,
            // Multiplying: 8 for whole tiles, 4 for halves, 2 for quarters, less
            // the last of parts; hashing: 3 of the progress's.
            warp_barriers: 17,
            shuffles: 0,
            // Stages and slots, for tiles, halves and quarters; the hashing warps'
            // and the feeder's.
            waits: 8,
            // One a role.
            hand_overs: 3,
            // Whole tiles 2; halves 4 and 1; quarters 4 and 4.
            bulk_copies: 15,
        },
    },
    Kernel {
        name: "arena_start",
        threads: 256,
        blocks_per_sm_min: None,
        heat: Heat::Hot,
        targets: ALL,
        sync: SyncCounts::NONE,
    },
    Kernel {
        name: "half_pass",
        threads: 256,
        blocks_per_sm_min: None,
        heat: Heat::Hot,
        targets: ALL,
        sync: SyncCounts::NONE,
    },
    Kernel {
        name: "sweep",
        threads: 32,
        blocks_per_sm_min: Some(16),
        heat: Heat::Hot,
        targets: ALL,
        // ρ before the main loop and in it; four words at five distances; a digest of
        // eight to the sibling.
        sync: SyncCounts::shuffles(30),
    },
    peak("peak_read", ALL),
    peak("peak_copy", ALL),
    peak("peak_fma", ALL),
    peak("peak_sha256", ALL),
    peak("peak_m8n8k4", TENSOR_CORES),
    peak("peak_m16n8k16", BULK_COPIES),
];

/// The kernel of that name.
pub fn kernel(name: &str) -> Option<&'static Kernel> {
    KERNELS.iter().find(|kernel| kernel.name == name)
}

/// The table as text, for the digest of the sources: a change of the table
/// changes the PTX.
pub fn as_text() -> String {
    let target = |t: &Target| format!("{} {} {} {:?}\n", t.name(), t.cpu(), t.isa(), t.has());
    let targets = TARGETS.iter().map(target).collect::<String>();
    KERNELS.iter().fold(targets, |text, kernel| text + &format!("{kernel:?}\n"))
}

#[cfg(test)]
mod tests {
    use gpu_kernels::abi;

    use super::*;

    #[test]
    fn names_are_unique_and_blocks_are_whole_warps() {
        for (index, kernel) in KERNELS.iter().enumerate() {
            assert_eq!(kernel.threads % 32, 0, "{}", kernel.name);
            assert!((32..=1024).contains(&kernel.threads), "{}", kernel.name);
            assert!(KERNELS[..index].iter().all(|earlier| earlier.name != kernel.name));
        }
    }

    #[test]
    fn bounds_are_what_the_host_launches() {
        let threads = |name| kernel(name).unwrap().threads;
        assert_eq!(threads("fill"), abi::FILL_THREADS);
        assert_eq!(threads("merkle"), abi::MERKLE_THREADS);
        assert_eq!(threads("chain_step"), abi::MERKLE_THREADS);
        for gemm in abi::GEMMS {
            assert_eq!(threads(gemm.name), gemm.threads);
        }
        for peak in KERNELS.iter().filter(|kernel| kernel.name.starts_with("peak_")) {
            assert_eq!(peak.threads, abi::PEAK_THREADS, "{}", peak.name);
        }
    }

    #[test]
    fn a_target_has_the_kernels_whose_means_it_has() {
        for kernel in &KERNELS {
            assert!(kernel.targets.is_sorted(), "{}", kernel.name);
            for target in kernel.targets {
                let has = |what| target.has().contains(&what);
                assert!(kernel.sync.hand_overs == 0 || has("register_handover"), "{}", kernel.name);
                assert!(kernel.sync.bulk_copies == 0 || has("bulk_copies"), "{}", kernel.name);
            }
        }
    }
}
