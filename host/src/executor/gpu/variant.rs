//! Which compiled kernels a device may use, and in which order they are tried.
//! Pure.

use super::ptx_file::PtxFile;
use gpu_kernels::abi::{GEMM_FMA, GEMM_M8N8K4, GEMM_M16N8K16, GEMM_M16N8K16_TILE, GemmKernel};
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
    /// Compute capability 9.0 and later, but 12: its blocks have too little
    /// shared memory.
    Sm90,
    /// Compute capability 9.0, and no other.
    Sm90a,
    /// Compute capability 10.0 and 10.3: one family.
    Sm100f,
    /// Compute capability 12.0 and later.
    Sm120,
    /// Whatever a file was compiled for.
    File(PtxFile),
}

impl Target {
    /// Every embedded target, the most particular one first.
    pub const ALL: [Self; 6] =
        [Self::Sm120, Self::Sm100f, Self::Sm90a, Self::Sm90, Self::Sm80, Self::Portable];

    /// "portable", "sm_80" and so on, or the file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Sm80 => "sm_80",
            Self::Sm90 => "sm_90",
            Self::Sm90a => "sm_90a",
            Self::Sm100f => "sm_100f",
            Self::Sm120 => "sm_120",
            Self::File(file) => file.name(),
        }
    }

    /// The kernels as PTX text; empty in a build that carries none.
    pub fn ptx(self) -> &'static str {
        match self {
            Self::Portable => ptx::PORTABLE,
            Self::Sm80 => ptx::SM_80,
            Self::Sm90 => ptx::SM_90,
            Self::Sm90a => ptx::SM_90A,
            Self::Sm100f => ptx::SM_100F,
            Self::Sm120 => ptx::SM_120,
            Self::File(file) => file.text(),
        }
    }

    /// The product kernels compiled for it, the fastest first.
    pub fn gemms(self) -> &'static [GemmKernel] {
        match self {
            Self::Portable => &[GEMM_FMA],
            Self::Sm80 | Self::Sm120 => &[GEMM_M8N8K4, GEMM_FMA],
            Self::Sm90 => &[GEMM_M16N8K16_TILE, GEMM_M8N8K4, GEMM_FMA],
            Self::Sm90a | Self::Sm100f => &[GEMM_M16N8K16, GEMM_M8N8K4, GEMM_FMA],
            Self::File(file) => file.gemms(),
        }
    }

    /// Whether a device of this compute capability can run it, as far as is known
    /// before the driver is asked.
    pub fn runs_on(self, capability: Capability) -> bool {
        let Capability { major, minor } = capability;
        match self {
            Self::Portable => major >= 7,
            Self::Sm80 => major >= 8,
            // A block of 12 has 99 KiB of shared memory; what comes after it is
            // not known to have more.
            Self::Sm90 => (9..12).contains(&major),
            Self::Sm90a => (major, minor) == (9, 0),
            Self::Sm100f => matches!((major, minor), (10, 0 | 3)),
            Self::Sm120 => major >= 12,
            Self::File(file) => capability.runs(file.compiled_for()),
        }
    }

    /// Why a file's kernels are not for a device of this compute capability; `None`
    /// where they are, and for embedded targets, which only devices get that run them.
    pub fn absence_on(self, capability: Capability) -> Option<String> {
        match self {
            Self::File(file) if !self.runs_on(capability) => {
                Some(format!("it is compiled for {}", file.compiled_for()))
            }
            _ => None,
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

impl Capability {
    /// Whether a device runs PTX that is compiled for `cpu`: "sm_90" for 9.0 and
    /// later, "sm_90a" for 9.0 alone, "sm_100f" for its family. What is not of that
    /// form is left to the driver.
    fn runs(self, cpu: &str) -> bool {
        let number = cpu.strip_prefix("sm_").unwrap_or("");
        let (number, suffix) = match number.find(|c: char| !c.is_ascii_digit()) {
            Some(at) => number.split_at(at),
            None => (number, ""),
        };
        let Ok(number) = number.parse::<u32>() else { return true };
        let own = Self { major: number / 10, minor: number % 10 };
        match suffix {
            "" => self >= own,
            "a" => self == own,
            "f" => self.major == own.major && self.minor >= own.minor,
            _ => true,
        }
    }
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
    /// Every variant of every embedded target.
    pub fn all() -> impl Iterator<Item = Self> {
        Target::ALL.into_iter().flat_map(Self::all_of)
    }

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
    Variant::all().map(|variant| variant.to_string()).collect()
}

impl FromStr for Variant {
    type Err = UnknownVariant;
    fn from_str(text: &str) -> Result<Self, UnknownVariant> {
        let named = Self::all().find(|variant| variant.to_string() == text);
        named.ok_or_else(|| UnknownVariant { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(major: u32, minor: u32) -> Vec<String> {
        Variant::candidates(Capability { major, minor }).iter().map(Variant::to_string).collect()
    }

    #[test]
    fn a_device_tries_its_own_kernels_first_and_never_anothers() {
        let own =
            |first: &[&'static str]| [first, &["sm_80/gemm_m8n8k4", "portable/gemm_fma"]].concat();
        let bulk = "sm_90/gemm_m16n8k16_tile";
        for ((major, minor), expected) in [
            // A100, RTX 3090, L4.
            ((8, 0), own(&[])),
            ((8, 6), own(&[])),
            ((8, 9), own(&[])),
            // H100, H200: architecture-specific, so the driver refuses it elsewhere.
            ((9, 0), own(&["sm_90a/gemm_m16n8k16", bulk])),
            // B200, B300: one family.
            ((10, 0), own(&["sm_100f/gemm_m16n8k16", bulk])),
            ((10, 3), own(&["sm_100f/gemm_m16n8k16", bulk])),
            // Thor, under its old number and its new one: of another family.
            ((10, 1), own(&[bulk])),
            ((11, 0), own(&[bulk])),
            // RTX 5090, RTX PRO 6000; GB10. 99 KiB of shared memory a block.
            ((12, 0), own(&["sm_120/gemm_m8n8k4"])),
            ((12, 1), own(&["sm_120/gemm_m8n8k4"])),
            ((13, 0), own(&["sm_120/gemm_m8n8k4"])),
        ] {
            assert_eq!(tried(major, minor), expected, "{major}.{minor}");
        }
        for (major, minor) in [(7, 0), (7, 5)] {
            assert_eq!(tried(major, minor), ["portable/gemm_fma"], "{major}.{minor}");
        }
        assert!(tried(6, 1).is_empty(), "nothing is compiled for devices before 7.0");
    }

    #[test]
    fn a_kernel_is_only_tried_where_a_block_may_have_its_shared_memory() {
        // What cuDeviceGetAttribute says of a block, opted in, by compute capability.
        let block_bytes = |major, minor| match (major, minor) {
            (7, 0) => 96 << 10,
            (7, 5) => 64 << 10,
            (8, 0 | 7) => 163 << 10,
            (8, _) | (12, _) => 99 << 10,
            _ => 227 << 10,
        };
        for (major, minor) in [
            (7, 0),
            (7, 5),
            (8, 0),
            (8, 6),
            (8, 7),
            (8, 9),
            (9, 0),
            (10, 0),
            (10, 3),
            (11, 0),
            (12, 0),
        ] {
            for variant in Variant::all_for(Capability { major, minor }) {
                let asked = variant.gemm.shared_bytes;
                assert!(
                    asked <= block_bytes(major, minor),
                    "{variant} on {major}.{minor}: {asked}"
                );
            }
        }
    }

    #[test]
    fn ptx_for_other_devices_is_known_by_its_target() {
        let runs = |major, minor, cpu: &str| Capability { major, minor }.runs(cpu);
        for cpu in ["sm_70", "sm_80", "sm_90", "sm_90a", "", "nonsense", "sm_", "sm_90x"] {
            assert!(runs(9, 0, cpu), "{cpu}");
        }
        for cpu in ["sm_90b7", "sm_100", "sm_100f", "sm_100a", "sm_120"] {
            assert_eq!(runs(9, 0, cpu), cpu == "sm_90b7", "{cpu}");
        }
        assert!(runs(10, 3, "sm_100f") && !runs(10, 3, "sm_100a") && runs(10, 3, "sm_100"));
        assert!(!runs(12, 0, "sm_100f") && !runs(12, 0, "sm_90a") && runs(12, 1, "sm_120"));
    }

    #[test]
    fn every_variant_parses_as_it_prints() {
        for variant in Variant::all() {
            assert_eq!(variant.to_string().parse(), Ok(variant));
        }
        let text = "sm_90a".parse::<Variant>().unwrap_err().to_string();
        assert!(text.contains("portable/gemm_fma") && text.contains("sm_100f/"), "{text}");
    }
}
