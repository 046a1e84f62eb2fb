//! The declared facts about targets: what one PTX file is compiled for, and what
//! of the hardware the kernels in it may use.

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
    /// Compute capability 9.0 and later.
    #[serde(rename = "sm_90")]
    #[value(name = "sm_90")]
    Sm90,
    /// Compute capability 9.0 only: architecture-specific.
    #[serde(rename = "sm_90a")]
    #[value(name = "sm_90a")]
    Sm90a,
    /// Compute capability 10.0 and 10.3: family-specific.
    #[serde(rename = "sm_100f")]
    #[value(name = "sm_100f")]
    Sm100f,
    /// Compute capability 12.0 and later.
    #[serde(rename = "sm_120")]
    #[value(name = "sm_120")]
    Sm120,
}

/// All targets, in the order in which they are built.
pub const TARGETS: [Target; 6] =
    [Target::Portable, Target::Sm80, Target::Sm90, Target::Sm90a, Target::Sm100f, Target::Sm120];

/// Those before Blackwell. libNVVM takes what LLVM 7 writes for these alone: from
/// `compute_100` on it reads the dialect of LLVM 20.
pub const TARGETS_OF_LLVM_7: [Target; 4] =
    [Target::Portable, Target::Sm80, Target::Sm90, Target::Sm90a];

/// What the compilers are told of a target.
struct Facts {
    /// The file's stem.
    name: &'static str,
    /// What `.target` says.
    cpu: &'static str,
    /// PTX ISA, major·10 + minor: the lowest that has what the kernels use, so
    /// that the oldest drivers load it.
    isa: u32,
    /// What ptxas checks it for.
    ptxas_arch: &'static str,
    /// Values of the cfg `attest_has`: what the kernels may use.
    has: &'static [&'static str],
}

const TENSOR_CORES: &str = "tensor_cores";
const BULK_COPIES: &str = "bulk_copies";
const REGISTER_HANDOVER: &str = "register_handover";

impl Target {
    fn facts(self) -> Facts {
        let facts = |name, cpu, isa, has| Facts { name, cpu, isa, ptxas_arch: cpu, has };
        match self {
            // CUDA 13 dropped sm_70; sm_75 is the lowest that it assembles, and
            // takes everything that sm_70 has. Driver 450.
            Target::Portable => {
                Facts { ptxas_arch: "sm_75", ..facts("portable", "sm_70", 70, &[]) }
            }
            // Driver 450.
            Target::Sm80 => facts("sm_80", "sm_80", 70, &[TENSOR_CORES]),
            // Driver 525, for the bulk copies.
            Target::Sm90 => facts("sm_90", "sm_90", 80, &[TENSOR_CORES, BULK_COPIES]),
            Target::Sm90a => {
                facts("sm_90a", "sm_90a", 80, &[TENSOR_CORES, BULK_COPIES, REGISTER_HANDOVER])
            }
            // Driver 575: the suffix f came with CUDA 12.9.
            Target::Sm100f => {
                facts("sm_100f", "sm_100f", 88, &[TENSOR_CORES, BULK_COPIES, REGISTER_HANDOVER])
            }
            // Driver 570. It has bulk copies, and not the shared memory for them:
            // a block gets 99 KiB.
            Target::Sm120 => facts("sm_120", "sm_120", 87, &[TENSOR_CORES]),
        }
    }

    /// Its name: the file's stem.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The file in the PTX folder.
    pub fn file(self) -> String {
        format!("{}.ptx", self.name())
    }

    /// What `.target` says.
    pub fn cpu(self) -> &'static str {
        self.facts().cpu
    }

    /// PTX ISA, major·10 + minor.
    pub fn isa(self) -> u32 {
        self.facts().isa
    }

    /// What ptxas checks it for.
    pub fn ptxas_arch(self) -> &'static str {
        self.facts().ptxas_arch
    }

    /// Values of the cfg `attest_has`.
    pub fn has(self) -> &'static [&'static str] {
        self.facts().has
    }

    /// What libNVVM compiles it for: CUDA 13's dropped everything below 75.
    pub fn nvvm_arch(self) -> String {
        self.ptxas_arch().replace("sm_", "compute_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_listed_from_the_most_portable_up() {
        assert!(TARGETS.is_sorted());
        assert!(TARGETS_OF_LLVM_7.is_sorted());
        assert_eq!(Target::Portable.nvvm_arch(), "compute_75");
        assert_eq!(Target::Sm90a.nvvm_arch(), "compute_90a");
    }

    #[test]
    fn every_value_of_the_cfg_is_one_that_both_manifests_know() {
        let root = crate::workspace::root();
        for manifest in ["Cargo.toml", "xtask/rust-cuda/kernels/Cargo.toml"] {
            let text = std::fs::read_to_string(root.join(manifest)).unwrap();
            let line = text.lines().find(|line| line.contains("cfg(attest_has")).unwrap();
            for value in TARGETS.iter().flat_map(|target| target.has()) {
                assert!(line.contains(&format!("\"{value}\"")), "{value} in {manifest}");
            }
        }
    }
}
