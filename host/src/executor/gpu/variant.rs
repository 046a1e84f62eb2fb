//! Which compiled kernels a device may use, and in which order they are tried.
//! Pure.

use super::ptx_file::PtxFile;
use gpu_kernels::abi::{GEMM_FMA, GEMM_M8N8K4, GEMM_M16N8K16, GemmKernel};
use gpu_kernels::ptx;
use std::fmt;
use std::str::FromStr;

/// A target that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any device of compute capability 7.0 or later.
    Portable,
    /// Compute capability 8.0 and later.
    Sm80,
    /// Compute capability 9.0, and no other.
    Sm90a,
    /// Whatever a file was compiled for; the driver decides.
    File(PtxFile),
}

impl Target {
    /// Every embedded target, the most particular one first.
    pub const ALL: [Self; 3] = [Self::Sm90a, Self::Sm80, Self::Portable];

    /// "portable", "sm_80", "sm_90a", or the file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Sm80 => "sm_80",
            Self::Sm90a => "sm_90a",
            Self::File(file) => file.name(),
        }
    }

    /// The kernels as PTX text; empty in a build that carries none.
    pub fn ptx(self) -> &'static str {
        match self {
            Self::Portable => ptx::PORTABLE,
            Self::Sm80 => ptx::SM_80,
            Self::Sm90a => ptx::SM_90A,
            Self::File(file) => file.text(),
        }
    }

    /// The product kernels compiled for it, the fastest first.
    pub fn gemms(self) -> &'static [GemmKernel] {
        match self {
            Self::Portable => &[GEMM_FMA],
            Self::Sm80 => &[GEMM_M8N8K4, GEMM_FMA],
            Self::Sm90a => &[GEMM_M16N8K16, GEMM_M8N8K4, GEMM_FMA],
            Self::File(file) => file.gemms(),
        }
    }

    /// Whether a device of this compute capability can run it.
    fn runs_on(self, capability: Capability) -> bool {
        match self {
            Self::Portable => capability >= Capability { major: 7, minor: 0 },
            Self::Sm80 => capability >= Capability { major: 8, minor: 0 },
            Self::Sm90a => capability == Capability { major: 9, minor: 0 },
            Self::File(_) => true,
        }
    }
}

/// A device's compute capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// 9 of 9.0.
    pub major: u32,
    /// 0 of 9.0.
    pub minor: u32,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A target and one of its product kernels. Prints and parses as
/// "sm_90a/gemm_m16n8k16".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Whose compiled kernels.
    pub target: Target,
    /// Which product kernel.
    pub gemm: GemmKernel,
}

impl Variant {
    /// Every variant of every embedded target that runs on a device, fastest first.
    pub fn all_for(capability: Capability) -> Vec<Self> {
        let targets = Target::ALL.into_iter().filter(|target| target.runs_on(capability));
        targets.flat_map(Self::all_of).collect()
    }

    /// Every variant of one target, fastest first.
    pub fn all_of(target: Target) -> impl Iterator<Item = Self> {
        target.gemms().iter().map(move |&gemm| Self { target, gemm })
    }

    /// What a device tries, in order: the fastest product kernel of each
    /// target that it can run, from the most particular to the portable one.
    pub fn candidates(capability: Capability) -> Vec<Self> {
        let targets = Target::ALL.into_iter().filter(|target| target.runs_on(capability));
        targets.map(|target| Self { target, gemm: target.gemms()[0] }).collect()
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target.name(), self.gemm.name)
    }
}

/// Text that names no variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kernel variant is called \"{text}\"\nvariants: {}", names().join(", "))]
pub struct UnknownVariant {
    /// What was given.
    pub text: String,
}

fn names() -> Vec<String> {
    Variant::all_for(Capability { major: 9, minor: 0 }).iter().map(Variant::to_string).collect()
}

impl FromStr for Variant {
    type Err = UnknownVariant;
    fn from_str(text: &str) -> Result<Self, UnknownVariant> {
        let all = Self::all_for(Capability { major: 9, minor: 0 });
        all.into_iter()
            .find(|variant| variant.to_string() == text)
            .ok_or_else(|| UnknownVariant { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(major: u32, minor: u32) -> Vec<String> {
        Variant::candidates(Capability { major, minor }).iter().map(Variant::to_string).collect()
    }

    #[test]
    fn hopper_tries_all_three_and_others_never_its_own() {
        // sm_90a is architecture-specific: the driver refuses it on 10.0 and 12.0.
        let hopper = ["sm_90a/gemm_m16n8k16", "sm_80/gemm_m8n8k4", "portable/gemm_fma"];
        assert_eq!(tried(9, 0), hopper);
        for (major, minor) in [(8, 0), (8, 9), (10, 0), (12, 0)] {
            assert_eq!(tried(major, minor), hopper[1..], "{major}.{minor}");
        }
        for (major, minor) in [(7, 0), (7, 5)] {
            assert_eq!(tried(major, minor), hopper[2..], "{major}.{minor}");
        }
        assert!(tried(6, 1).is_empty(), "nothing is compiled for devices before 7.0");
    }

    #[test]
    fn every_variant_parses_as_it_prints() {
        for variant in Variant::all_for(Capability { major: 9, minor: 0 }) {
            assert_eq!(variant.to_string().parse(), Ok(variant));
        }
        assert!("sm_90a".parse::<Variant>().unwrap_err().to_string().contains("portable/gemm_fma"));
    }
}
