//! Which compiled kernels a device may use, and in which order they are tried.
//! Pure.

use super::ptx_file::PtxFile;
use gpu_kernels::declaration::{GemmKernel, IntegerKernel};
use gpu_kernels::kernels::GEMM_FMA;
use gpu_kernels::table;
use gpu_kernels::target::Target;
use std::fmt;
use std::str::FromStr;

/// Where compiled kernels come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PtxSource {
    /// This build carries them, for one target.
    Embedded(Target),
    /// A file, for whatever it was compiled for.
    File(PtxFile),
}

impl PtxSource {
    /// "portable", "sm_80" and so on, or the file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded(target) => target.name(),
            Self::File(file) => file.name(),
        }
    }

    /// The kernels as PTX text.
    pub fn ptx(self) -> &'static str {
        match self {
            Self::Embedded(target) => target.ptx(),
            Self::File(file) => file.text(),
        }
    }

    /// Its product kernels, the fastest first; at least one.
    pub fn gemms(self) -> Vec<GemmKernel> {
        match self {
            Self::Embedded(target) => {
                table::products().filter(|gemm| gemm.targets.include(target)).collect()
            }
            Self::File(file) => file.gemms().to_vec(),
        }
    }

    /// Its kernels of integer products, the fastest first; a file may have none.
    pub fn integer_products(self) -> Vec<IntegerKernel> {
        match self {
            Self::Embedded(target) => {
                table::integer_products().filter(|of| of.targets.include(target)).collect()
            }
            Self::File(file) => file.integer_products().to_vec(),
        }
    }

    /// Whether a device of this compute capability can run it, as far as is known
    /// before the driver is asked.
    pub fn runs_on(self, capability: Capability) -> bool {
        match self {
            Self::Embedded(target) => target.runs_on(capability.major, capability.minor),
            Self::File(file) => capability.runs(file.compiled_for()),
        }
    }

    /// Why a file's kernels are not for a device of this compute capability; `None` if
    /// they are, and for embedded targets, which only devices get that run them.
    pub fn absence_on(self, capability: Capability) -> Option<String> {
        match self {
            Self::File(file) if !self.runs_on(capability) => {
                Some(format!("it is compiled for {}", file.compiled_for()))
            }
            _ => None,
        }
    }
}

impl From<Target> for PtxSource {
    fn from(target: Target) -> Self {
        Self::Embedded(target)
    }
}

impl From<PtxFile> for PtxSource {
    fn from(file: PtxFile) -> Self {
        Self::File(file)
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

/// Compiled kernels and one product kernel among them. Prints and parses as
/// "sm_90a/gemm_m16n8k16", or as "sm_90a/int8_m16n8k32" if it is one of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Whose compiled kernels.
    pub source: PtxSource,
    /// Which kernel of FP64 products.
    pub gemm: GemmKernel,
    /// Which kernel of integer products, if that is what the variant is about;
    /// otherwise the fastest of the source multiplies integers.
    pub integer: Option<IntegerKernel>,
}

impl Variant {
    /// Every variant of every embedded target, the most particular target first.
    pub fn all() -> impl Iterator<Item = Self> {
        Target::ALL.into_iter().rev().flat_map(Self::all_of)
    }

    /// Every variant of every embedded target that runs on a device, fastest first.
    pub fn all_for(capability: Capability) -> Vec<Self> {
        Self::all().filter(|variant| variant.source.runs_on(capability)).collect()
    }

    /// Whether its source has the FMA-pipe kernel, with which tensor cores are compared.
    pub fn is_comparable(self) -> bool {
        self.source.gemms().contains(&GEMM_FMA)
    }

    /// Every variant of one target or file, fastest first.
    pub fn all_of(source: impl Into<PtxSource>) -> impl Iterator<Item = Self> {
        let source = source.into();
        source.gemms().into_iter().map(move |gemm| Self { source, gemm, integer: None })
    }

    /// Every variant of one target or file that is about integer products, fastest first.
    pub fn integers_of(source: impl Into<PtxSource>) -> impl Iterator<Item = Self> {
        let source = source.into();
        let gemm = source.gemms().into_iter().next();
        let of = move |kernel| gemm.map(|gemm| Self { source, gemm, integer: Some(kernel) });
        source.integer_products().into_iter().filter_map(of)
    }

    /// Every variant of every embedded target that runs on a device and is about integer
    /// products.
    pub fn integers_for(capability: Capability) -> Vec<Self> {
        let all = Target::ALL.into_iter().rev().flat_map(Self::integers_of);
        all.filter(|variant| variant.source.runs_on(capability)).collect()
    }

    /// The kernel that multiplies integers, or `None` if the source has none.
    pub fn integer_product(self) -> Option<IntegerKernel> {
        self.integer.or_else(|| self.source.integer_products().into_iter().next())
    }

    /// What a device tries, in order: the fastest product kernel of each
    /// target that it can run, from the most particular to the portable one.
    pub fn candidates(capability: Capability) -> Vec<Self> {
        let mut candidates = Self::all_for(capability);
        candidates.dedup_by_key(|variant| variant.source);
        candidates
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = self.integer.map_or(self.gemm.name, |integer| integer.name);
        write!(f, "{}/{kernel}", self.source.name())
    }
}

/// Text that names no variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kernel variant is called \"{text}\"\nvariants: {}", names().join(", "))]
pub struct UnknownVariant {
    /// What was given.
    pub text: String,
}

/// Every variant that has a name.
fn named() -> impl Iterator<Item = Variant> {
    Variant::all().chain(Target::ALL.into_iter().rev().flat_map(Variant::integers_of))
}

fn names() -> Vec<String> {
    named().map(|variant| variant.to_string()).collect()
}

impl FromStr for Variant {
    type Err = UnknownVariant;
    fn from_str(text: &str) -> Result<Self, UnknownVariant> {
        let named = named().find(|variant| variant.to_string() == text);
        named.ok_or_else(|| UnknownVariant { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The targets that a device tries, and that of each its fastest kernel is tried.
    fn tried(major: u32, minor: u32) -> Vec<&'static str> {
        let tried = Variant::candidates(Capability { major, minor });
        for variant in &tried {
            assert_eq!(Some(*variant), Variant::all_of(variant.source).next());
        }
        tried.iter().map(|variant| variant.source.name()).collect()
    }

    #[test]
    fn a_device_tries_its_own_kernels_first_and_never_anothers() {
        let own = |first: &[&'static str]| [first, &["sm_80", "portable"]].concat();
        for ((major, minor), expected) in [
            // A100, RTX 3090, L4.
            ((8, 0), own(&[])),
            ((8, 6), own(&[])),
            ((8, 9), own(&[])),
            // H100, H200: architecture-specific, so the driver refuses it elsewhere.
            ((9, 0), own(&["sm_90a", "sm_90"])),
            // B200, B300: one family.
            ((10, 0), own(&["sm_100f", "sm_90"])),
            ((10, 3), own(&["sm_100f", "sm_90"])),
            // Thor, under its old number and its new one: of another family.
            ((10, 1), own(&["sm_90"])),
            ((11, 0), own(&["sm_90"])),
            // RTX 5090, RTX PRO 6000; GB10. 99 KiB of shared memory a block.
            ((12, 0), own(&["sm_120"])),
            ((12, 1), own(&["sm_120"])),
            ((13, 0), own(&["sm_120"])),
        ] {
            assert_eq!(tried(major, minor), expected, "{major}.{minor}");
        }
        for (major, minor) in [(7, 0), (7, 5)] {
            assert_eq!(tried(major, minor), ["portable"], "{major}.{minor}");
        }
        assert!(tried(6, 1).is_empty(), "nothing is compiled for devices before 7.0");
    }

    #[test]
    fn a_kernel_is_only_tried_where_a_block_may_have_its_shared_memory() {
        // What cuDeviceGetAttribute says about a block, opted in, by compute capability.
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
                let integer = variant.integer_product().expect("every target has one");
                let asked = variant.gemm.shared_bytes.max(integer.shared_bytes);
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
        for variant in named() {
            assert_eq!(variant.to_string().parse(), Ok(variant));
        }
        assert!(names().contains(&"portable/int8_dp4a".to_owned()), "{:?}", names());
        let text = "sm_90a".parse::<Variant>().unwrap_err().to_string();
        assert!(text.contains("portable/gemm_fma") && text.contains("sm_100f/"), "{text}");
    }
}
