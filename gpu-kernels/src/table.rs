//! Looking things up in the tables of kernels and targets. For the host and for
//! `cargo xtask ptx`: not compiled for devices, which ask nothing of them, and whose
//! text would number its labels by every function here.

use crate::declaration::{Computes, GemmKernel, IntegerKernel, Kernel, PeakKernel, Unit};
use crate::kernels::KERNELS;
use crate::target::{Target, Targets};

impl Targets {
    /// Whether `target` is one of them.
    pub fn include(self, target: Target) -> bool {
        let has = |means| target.has().contains(&means);
        match self {
            Self::All => true,
            Self::With(means) => has(means),
            Self::WithBut(means, better) => has(means) && !has(better),
        }
    }
}

impl Kernel {
    /// As a product kernel, if it is one.
    pub fn product(&self) -> Option<GemmKernel> {
        match self.computes {
            Computes::Product(product) => Some(self.computing(product)),
            _ => None,
        }
    }

    /// As a kernel of integer products, if it is one.
    pub fn integer_product(&self) -> Option<IntegerKernel> {
        match self.computes {
            Computes::IntegerProduct(product) => Some(self.computing(product)),
            _ => None,
        }
    }

    /// As a ceiling kernel, if it is one.
    pub fn ceiling(&self) -> Option<PeakKernel> {
        match self.computes {
            Computes::Ceiling(ceiling) => Some(self.computing(ceiling)),
            _ => None,
        }
    }

    /// Whether every iteration of FP64 products needs it, whichever kernel
    /// multiplies.
    pub fn supports_products(&self) -> bool {
        matches!(self.computes, Computes::Operands | Computes::Tree | Computes::Step)
    }
}

/// The kernel of that name.
pub fn named(name: &str) -> Option<&'static Kernel> {
    KERNELS.iter().find(|kernel| kernel.name == name)
}

/// The product kernels, the fastest first.
pub fn products() -> impl Iterator<Item = GemmKernel> {
    KERNELS.iter().filter_map(Kernel::product)
}

/// The kernels of integer products, the fastest first.
pub fn integer_products() -> impl Iterator<Item = IntegerKernel> {
    KERNELS.iter().filter_map(Kernel::integer_product)
}

/// The ceiling kernels.
pub fn ceilings() -> impl Iterator<Item = PeakKernel> {
    KERNELS.iter().filter_map(Kernel::ceiling)
}

/// The ceiling kernel of `unit`.
pub fn ceiling_of(unit: Unit) -> Option<PeakKernel> {
    ceilings().find(|ceiling| ceiling.computes.unit == unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::GEMM_FMA;
    use crate::target::Means;

    #[test]
    fn names_are_unique_and_blocks_are_whole_warps() {
        for (index, kernel) in KERNELS.iter().enumerate() {
            assert_eq!(kernel.threads % 32, 0, "{}", kernel.name);
            assert!((32..=1024).contains(&kernel.threads), "{}", kernel.name);
            assert!(KERNELS[..index].iter().all(|earlier| earlier.name != kernel.name));
        }
    }

    #[test]
    fn a_target_has_the_kernels_whose_means_it_has() {
        for kernel in KERNELS {
            for target in Target::ALL.into_iter().filter(|&t| kernel.targets.include(t)) {
                let has = |means| target.has().contains(&means);
                let name = kernel.name;
                assert!(kernel.sync.hand_overs == 0 || has(Means::RegisterHandover), "{name}");
                assert!(kernel.sync.bulk_copies == 0 || has(Means::BulkCopies), "{name}");
            }
        }
    }

    /// An iteration runs on every target, its tensor cores are compared with the FMA
    /// pipe of the same file, and bench measures the ceiling of its unit beside it.
    #[test]
    fn a_target_has_all_that_its_product_kernels_are_used_with() {
        for target in Target::ALL {
            let has = |kernel: &Kernel| kernel.targets.include(target);
            assert!(KERNELS.iter().filter(|kernel| kernel.supports_products()).all(has));
            assert!(has(&GEMM_FMA.entry()), "{}", target.name());
            for product in products().filter(|product| has(&product.entry())) {
                let ceiling = ceiling_of(product.computes.unit);
                assert!(ceiling.is_some_and(|ceiling| has(&ceiling.entry())), "{}", product.name);
            }
        }
        let count = |which: fn(&Kernel) -> bool| KERNELS.iter().filter(|k| which(k)).count();
        assert_eq!(count(|kernel| kernel.computes == Computes::Operands), 1);
        assert_eq!(count(|kernel| kernel.computes == Computes::Tree), 1);
        assert_eq!(count(|kernel| kernel.computes == Computes::Step), 1);
    }

    #[test]
    fn means_choose_targets() {
        let names = |targets: Targets| {
            let all = Target::ALL.into_iter().filter(|&target| targets.include(target));
            all.map(Target::name).collect::<Vec<_>>()
        };
        assert_eq!(names(Targets::All).len(), Target::ALL.len());
        assert_eq!(names(Targets::With(Means::RegisterHandover)), ["sm_90a", "sm_100f"]);
        let spared = Targets::WithBut(Means::BulkCopies, Means::RegisterHandover);
        assert_eq!(names(spared), ["sm_90"]);
    }
}
