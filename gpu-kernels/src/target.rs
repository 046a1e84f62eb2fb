//! The targets: what each PTX file is compiled for, what of the hardware the
//! kernels in it may use, and which devices run it. All that is known of a target is
//! declared here; `cargo xtask ptx` compiles by it, and the host chooses by it.

/// What one PTX file is compiled for, from the most portable up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Any device since compute capability 7.0, any driver since 450.
    Portable,
    /// Compute capability 8.0 and later.
    Sm80,
    /// Compute capability 9.0 and later, but 12: its blocks have too little shared
    /// memory.
    Sm90,
    /// Compute capability 9.0 only: architecture-specific.
    Sm90a,
    /// Compute capability 10.0 and 10.3: family-specific.
    Sm100f,
    /// Compute capability 12.0 and later.
    Sm120,
}

/// What some targets have and others lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// FP64 tensor cores, integer ones with `mma.m16n8k32`, and `cp.async`.
    TensorCores,
    /// `cp.async.bulk`, and the shared memory that makes it worth while.
    BulkCopies,
    /// `setmaxnreg`.
    RegisterHandover,
    /// `wgmma`: tensor cores that read their operands from shared memory.
    Wgmma,
}

impl Means {
    /// Its value of the cfg `attest_has`, by which device code asks for it.
    pub const fn cfg_value(self) -> &'static str {
        match self {
            Self::TensorCores => "tensor_cores",
            Self::BulkCopies => "bulk_copies",
            Self::RegisterHandover => "register_handover",
            Self::Wgmma => "wgmma",
        }
    }
}

/// What the compilers are told of a target.
struct Facts {
    name: &'static str,
    cpu: &'static str,
    isa: u32,
    ptxas_arch: &'static str,
    has: &'static [Means],
}

impl Target {
    /// Every target, in the order in which they are built: the most portable first.
    pub const ALL: [Self; 6] =
        [Self::Portable, Self::Sm80, Self::Sm90, Self::Sm90a, Self::Sm100f, Self::Sm120];

    const fn facts(self) -> Facts {
        use Means::{BulkCopies, RegisterHandover, TensorCores, Wgmma};
        const fn facts(cpu: &'static str, isa: u32, has: &'static [Means]) -> Facts {
            Facts { name: cpu, cpu, isa, ptxas_arch: cpu, has }
        }
        match self {
            // CUDA 13 dropped sm_70; sm_75 is the lowest that it assembles, and
            // takes everything that sm_70 has. Driver 450.
            Self::Portable => {
                Facts { name: "portable", ptxas_arch: "sm_75", ..facts("sm_70", 70, &[]) }
            }
            // Driver 450.
            Self::Sm80 => facts("sm_80", 70, &[TensorCores]),
            // Driver 525, for the bulk copies.
            Self::Sm90 => facts("sm_90", 80, &[TensorCores, BulkCopies]),
            Self::Sm90a => facts("sm_90a", 80, &[TensorCores, BulkCopies, RegisterHandover, Wgmma]),
            // Driver 575: the suffix f came with CUDA 12.9.
            Self::Sm100f => facts("sm_100f", 88, &[TensorCores, BulkCopies, RegisterHandover]),
            // Driver 570. It has bulk copies, and not the shared memory for them:
            // a block gets 99 KiB.
            Self::Sm120 => facts("sm_120", 87, &[TensorCores]),
        }
    }

    /// Its name, and the stem of its file.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// What `.target` says.
    pub const fn cpu(self) -> &'static str {
        self.facts().cpu
    }

    /// PTX ISA, major·10 + minor: the lowest that has what the kernels use, so that
    /// the oldest drivers load it.
    pub const fn isa(self) -> u32 {
        self.facts().isa
    }

    /// What ptxas checks it for.
    pub const fn ptxas_arch(self) -> &'static str {
        self.facts().ptxas_arch
    }

    /// What its kernels may use.
    pub const fn has(self) -> &'static [Means] {
        self.facts().has
    }

    /// Whether a device of compute capability `major`.`minor` runs it, as far as is
    /// known before the driver is asked.
    pub const fn runs_on(self, major: u32, minor: u32) -> bool {
        match self {
            Self::Portable => major >= 7,
            Self::Sm80 => major >= 8,
            // A block of 12 has 99 KiB of shared memory; what comes after it is
            // not known to have more.
            Self::Sm90 => 9 <= major && major < 12,
            Self::Sm90a => major == 9 && minor == 0,
            Self::Sm100f => major == 10 && (minor == 0 || minor == 3),
            Self::Sm120 => major >= 12,
        }
    }

    /// The committed text of its kernels.
    #[cfg(feature = "ptx")]
    pub const fn ptx(self) -> &'static str {
        match self {
            Self::Portable => include_str!("../ptx/portable.ptx"),
            Self::Sm80 => include_str!("../ptx/sm_80.ptx"),
            Self::Sm90 => include_str!("../ptx/sm_90.ptx"),
            Self::Sm90a => include_str!("../ptx/sm_90a.ptx"),
            Self::Sm100f => include_str!("../ptx/sm_100f.ptx"),
            Self::Sm120 => include_str!("../ptx/sm_120.ptx"),
        }
    }
}

/// Which targets have a kernel. The kernel's module has the same under
/// `#[cfg(attest_has = …)]`; `cargo xtask ptx` refuses a file in which they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Every one.
    All,
    /// Those that have this.
    With(Means),
    /// Those that have the first and lack the second, with which a better kernel
    /// takes its place.
    WithBut(Means, Means),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_listed_from_the_most_portable_up() {
        assert!(Target::ALL.is_sorted());
        let names = Target::ALL.map(Target::name);
        assert!(names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1));
    }
}
