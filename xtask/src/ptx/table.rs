//! The declared facts about targets and kernels: what is compiled for what,
//! with which launch bounds, and which kernels must stay in registers.
//!
//! A kernel that is not listed here does not get into the PTX: an entry point
//! without launch bounds would be compiled for blocks it is never started
//! with.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What one PTX file is compiled for, from the most portable up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
pub enum Target {
    /// Any device since compute capability 7.0, any driver since 450.
    #[serde(rename = "portable")]
    #[value(name = "portable")]
    Portable,
    /// Compute capability 8.0 and later.
    #[serde(rename = "sm_80")]
    #[value(name = "sm_80")]
    Sm80,
    /// Compute capability 9.0 only: uses features that later ones dropped.
    #[serde(rename = "sm_90a")]
    #[value(name = "sm_90a")]
    Sm90a,
}

/// All targets, in the order in which they are built.
pub const TARGETS: [Target; 3] = [Target::Portable, Target::Sm80, Target::Sm90a];

impl Target {
    /// Its name: the file's stem, and the value of the cfg `attest_target`.
    pub fn name(self) -> &'static str {
        match self {
            Target::Portable => "portable",
            Target::Sm80 => "sm_80",
            Target::Sm90a => "sm_90a",
        }
    }

    /// The file in the PTX folder.
    pub fn file(self) -> String {
        format!("{}.ptx", self.name())
    }

    /// What `.target` says.
    pub fn cpu(self) -> &'static str {
        match self {
            Target::Portable => "sm_70",
            Target::Sm80 => "sm_80",
            Target::Sm90a => "sm_90a",
        }
    }

    /// PTX ISA, major·10 + minor: the lowest that has what the kernels use, so
    /// that the oldest drivers load it (7.0: 450, 8.0: 525).
    pub fn isa(self) -> u32 {
        match self {
            Target::Portable | Target::Sm80 => 70,
            Target::Sm90a => 80,
        }
    }

    /// What ptxas checks it for. CUDA 13 dropped sm_70; sm_75 is the lowest
    /// that it assembles, and takes everything that sm_70 has.
    pub fn ptxas_arch(self) -> &'static str {
        match self {
            Target::Portable => "sm_75",
            Target::Sm80 => "sm_80",
            Target::Sm90a => "sm_90a",
        }
    }
}

/// Whether a kernel decides the speed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heat {
    /// It does: local memory or spills in it fail the build.
    Hot,
    /// It doesn't: they are only recorded.
    Plain,
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
    /// First target that has it; the later ones have it too.
    pub since: Target,
}

/// Every entry point there is. Threads are those that the host launches, as
/// the kernels' `abi` module says: a test compares them. (Depending on that
/// crate here would need the PTX that this command makes.)
pub const KERNELS: [Kernel; 10] = [
    Kernel {
        name: "fill",
        threads: 256,
        blocks_per_sm_min: None,
        heat: Heat::Hot,
        since: Target::Portable,
    },
    Kernel {
        name: "merkle",
        threads: 256,
        blocks_per_sm_min: None,
        heat: Heat::Plain,
        since: Target::Portable,
    },
    Kernel {
        name: "chain_step",
        threads: 256,
        blocks_per_sm_min: None,
        heat: Heat::Plain,
        since: Target::Portable,
    },
    Kernel {
        name: "gemm_fma",
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        since: Target::Portable,
    },
    Kernel {
        name: "gemm_m8n8k4",
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        since: Target::Sm80,
    },
    Kernel {
        name: "gemm_m16n8k16",
        threads: 512,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        since: Target::Sm90a,
    },
    Kernel {
        name: "peak_fma",
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        since: Target::Portable,
    },
    Kernel {
        name: "peak_sha256",
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        since: Target::Portable,
    },
    Kernel {
        name: "peak_m8n8k4",
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        since: Target::Sm80,
    },
    Kernel {
        name: "peak_m16n8k16",
        threads: 256,
        blocks_per_sm_min: Some(1),
        heat: Heat::Hot,
        since: Target::Sm90a,
    },
];

/// The kernel of that name.
pub fn kernel(name: &str) -> Option<&'static Kernel> {
    KERNELS.iter().find(|kernel| kernel.name == name)
}

/// The table as text, for the digest of the sources: a change of the table
/// changes the PTX.
pub fn as_text() -> String {
    let targets = TARGETS.map(|t| format!("{} {} {}\n", t.name(), t.cpu(), t.isa())).concat();
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
        for gemm in [abi::GEMM_FMA, abi::GEMM_M8N8K4, abi::GEMM_M16N8K16] {
            assert_eq!(threads(gemm.name), gemm.threads);
        }
        for peak in KERNELS.iter().filter(|kernel| kernel.name.starts_with("peak_")) {
            assert_eq!(peak.threads, abi::PEAK_THREADS, "{}", peak.name);
        }
    }

    #[test]
    fn targets_are_listed_from_the_most_portable_up() {
        assert!(TARGETS.is_sorted());
        assert!(TARGETS.map(Target::isa).is_sorted());
    }
}
