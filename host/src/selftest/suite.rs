//! What each kind of work is checked on: cases for the oracle and for GPUs, and what must
//! come out of them.

use super::Outcome;
use super::check::{self, Case, Expected};
use super::lanes::LaneExecutors;
use super::vectors::{self, VectorFile};
use crate::executor::Executor;
use crate::executor::cpu::{CpuExecutor, CpuOptions, CpuVerifier, Simd};
use crate::protocol::digest::Uuid;
use crate::protocol::names::Root;
use crate::protocol::verify::{Recompute, RecomputeError, RecomputeIteration as _};
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::work::integer_product::IntegerProduct;
use crate::protocol::work::memory_residency::MemoryResidency;
use crate::protocol::work::{RunInputs, Work};
use crate::reference::tree::tree_hash;
use crate::reference::{Leaves, Oracle, OracleExecutor};
use rayon::prelude::*;
use std::convert::Infallible;

/// The cases of a kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    Products,
    Memory,
    Integer,
}

/// Small enough for the scalar oracle: every boundary of tiles, products,
/// iterations and sync points once.
const PRODUCTS: [Case; 6] = [
    product(128, 1, 1, 1),
    product(128, 3, 5, 2),
    product(256, 2, 4, 3),
    product(384, 2, 3, 1),
    product(512, 1, 2, 2),
    product(1024, 1, 1, 1),
];

/// For GPUs, against the CPU executor: whether that agrees with the oracle is told
/// by rows of its own, which [`super::Options::only`] may leave out.
const PRODUCTS_ON_GPUS: [Case; 11] = [
    product(128, 1, 1, 1),
    product(128, 5, 9, 4),
    product(128, 513, 2, 1), // more tiles than chain_step takes: a merkle launch
    product(256, 3, 7, 3),
    product(384, 2, 5, 5),
    product(512, 4, 4, 1),
    product(640, 1, 3, 2),
    product(768, 3, 2, 2),
    product(896, 2, 2, 1),
    product(1024, 1, 4, 3),
    product(1024, 4, 2, 1),
];

/// The smallest arena with no, one, two, seven and twelve half-passes; halves of a number
/// of blocks that is no power of two; windows of one tile, of several and of all blocks,
/// across two lanes and three.
const MEMORY: [Case; 8] = [
    memory((512, 0, 0), 1, 2, 1),
    memory((512, 1, 0), 1, 1, 1),
    memory((512, 2, 0), 1, 3, 2),
    memory((1536, 7, 0), 1, 3, 3),
    memory((1024, 12, 0), 1, 2, 1),
    memory((512, 2, 256), 2, 3, 2),
    memory((1536, 1, 768), 3, 4, 2),
    memory((512, 12, 512), 2, 2, 1),
];

/// The same, longer; and more tiles than chain_step takes.
const MEMORY_ON_GPUS: [Case; 10] = [
    memory((512, 0, 0), 1, 2, 1),
    memory((512, 1, 0), 1, 1, 1),
    memory((512, 2, 0), 1, 37, 4),
    memory((1536, 7, 0), 1, 9, 9),
    memory((4608, 12, 0), 1, 5, 1),
    memory((262_656, 0, 0), 1, 2, 1),
    memory((512, 2, 256), 2, 3, 2),
    memory((1536, 1, 768), 3, 4, 2),
    memory((1536, 7, 1536), 3, 5, 1),
    memory((4608, 12, 4608), 2, 4, 2),
];

/// As [`PRODUCTS`], of integers.
const INTEGER: [Case; 6] = [
    integer(128, 1, 1, 1),
    integer(128, 3, 5, 2),
    integer(256, 2, 4, 3),
    integer(384, 2, 3, 1),
    integer(512, 1, 2, 2),
    integer(1024, 1, 1, 1),
];

/// As [`PRODUCTS_ON_GPUS`], and a side of many tiles that is odd.
const INTEGER_ON_GPUS: [Case; 12] = [
    integer(128, 1, 1, 1),
    integer(128, 5, 9, 4),
    integer(128, 513, 2, 1),
    integer(256, 3, 7, 3),
    integer(384, 2, 5, 5),
    integer(512, 4, 4, 1),
    integer(640, 1, 3, 2),
    integer(768, 3, 2, 2),
    integer(896, 2, 2, 1),
    integer(1024, 1, 4, 3),
    integer(1024, 4, 2, 1),
    integer(2176, 2, 2, 1),
];

/// Small challenges, computed by independent programs; see tests/vectors.
const EMBEDDED_VECTORS: [&[u8]; 10] = [
    include_bytes!("../../../tests/vectors/draws.json"),
    include_bytes!("../../../tests/vectors/odd-tree-384.json"),
    include_bytes!("../../../tests/vectors/one-product.json"),
    include_bytes!("../../../tests/vectors/two-lanes-counters.json"),
    include_bytes!("../../../tests/vectors/fold.json"),
    include_bytes!("../../../tests/vectors/memory-bare.json"),
    include_bytes!("../../../tests/vectors/memory-own.json"),
    include_bytes!("../../../tests/vectors/memory-peers.json"),
    include_bytes!("../../../tests/vectors/integer-128.json"),
    include_bytes!("../../../tests/vectors/integer-384.json"),
];

const fn product(dim: u32, products: u32, iterations: u32, sync: u32) -> Case {
    let work = Work::Fp64Product(Fp64Product { dim, products });
    Case { work, lanes: 1, iterations, sync }
}

const fn integer(dim: u32, products: u32, iterations: u32, sync: u32) -> Case {
    let work = Work::IntegerProduct(IntegerProduct { dim, products });
    Case { work, lanes: 1, iterations, sync }
}

/// (N, p, K), G, T, S.
const fn memory(work: (u64, u32, u64), lanes: u32, iterations: u32, sync: u32) -> Case {
    let (arena_blocks, half_passes, peer_blocks) = work;
    let work = MemoryResidency { arena_blocks, half_passes, peer_blocks };
    Case { work: Work::MemoryResidency(work), lanes, iterations, sync }
}

impl Suite {
    pub(super) const ALL: [Self; 3] = [Self::Products, Self::Memory, Self::Integer];

    /// What the names of its rows end with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Products => "",
            Self::Memory => " memory",
            Self::Integer => " integer",
        }
    }

    /// Those that the oracle walks.
    pub(super) fn cases(self) -> &'static [Case] {
        match self {
            Self::Products => &PRODUCTS,
            Self::Memory => &MEMORY,
            Self::Integer => &INTEGER,
        }
    }

    /// Those that the CPU walks for GPUs.
    pub(super) fn cases_on_gpus(self) -> &'static [Case] {
        match self {
            Self::Products => &PRODUCTS_ON_GPUS,
            Self::Memory => &MEMORY_ON_GPUS,
            Self::Integer => &INTEGER_ON_GPUS,
        }
    }

    /// What the oracle, scalar as it is, makes of its cases; on all cores at least.
    pub(super) fn walk_by_oracle(self) -> Vec<Expected> {
        let walk = |case: &Case| {
            let leaves = Leaves::of(&RunInputs { work: case.work, seeds: &case.seeds() });
            case.expect_from(|at| {
                Ok::<_, Infallible>(Root::of_tree(tree_hash(&leaves.iteration(at))))
            })
        };
        self.cases()
            .par_iter()
            .with_max_len(1)
            .map(|case| walk(case).unwrap_or_else(|never| match never {}))
            .collect()
    }

    /// What the CPU makes of the cases for GPUs.
    pub(super) fn walk_by_cpu(self) -> Result<Vec<Expected>, RecomputeError> {
        let mut cpu = CpuVerifier::new();
        let mut walk = |case: &Case| {
            let seeds = case.seeds();
            let run = RunInputs { work: case.work, seeds: &seeds };
            case.expect_from(|at| cpu.iteration_root(&run, at))
        };
        self.cases_on_gpus().iter().map(&mut walk).collect()
    }

    pub(super) fn check_cpu(self, simd: Simd, expected: &[Expected]) -> Outcome {
        let open = || CpuExecutor::with_simd(simd, CpuOptions::default()).map(Box::new);
        let Some(first) = open() else {
            return Outcome::Absent("this CPU lacks it".to_owned());
        };
        let mut lanes = LaneExecutors::starting_with(first, || Ok(open().expect("it is here")));
        check_cases(&mut lanes, self.cases().iter().zip(expected), &Oracle, &mut |_| ())
    }

    pub(super) fn check_cpu_verifier(self, expected: &[Expected]) -> Outcome {
        let verifier = CpuVerifier::new();
        let check = |(case, expected)| check::recomputation(&verifier, case, expected, &Oracle);
        self.cases().iter().zip(expected).try_for_each(check).into()
    }
}

pub(super) fn check_oracle() -> Outcome {
    let mut lanes = LaneExecutors::new(|| Ok(Box::new(OracleExecutor::new(Uuid([7; 16])))));
    let check = |json: &&[u8]| vectors::check_json(json, &mut lanes).map(|_| ());
    EMBEDDED_VECTORS.iter().try_for_each(check).into()
}

/// A vector file on the host: on the CPU, and on the oracle, too, if it is small.
pub(super) fn check_file(file: &VectorFile) -> Outcome {
    let mut oracle = LaneExecutors::new(|| Ok(Box::new(OracleExecutor::new(Uuid([7; 16])))));
    let open = || Ok(Box::new(CpuExecutor::new(CpuOptions::default())) as Box<dyn Executor>);
    let mut cpu = LaneExecutors::new(open);
    if file.suits_oracle() {
        let by_oracle = Outcome::from(file.check(&mut oracle).map(|_| ()));
        if by_oracle != Outcome::Same {
            return by_oracle;
        }
    }
    file.check(&mut cpu).map(|_| ()).into()
}

/// "n=128…1024, 6 cases".
pub(super) fn summary(cases: &[Case]) -> String {
    let size = |case: &Case| match case.work {
        Work::Fp64Product(work) => ("n", u64::from(work.dim)),
        Work::MemoryResidency(work) => ("N", work.arena_blocks),
        Work::IntegerProduct(work) => ("n", u64::from(work.dim)),
    };
    let sizes = cases.iter().map(size);
    let (letter, low) = sizes.clone().min().unwrap_or(("n", 0));
    let (_, high) = sizes.max().unwrap_or(("n", 0));
    format!("{letter}={low}…{high}, {} cases", cases.len())
}

/// Tells `on_case` of each case before it is checked.
pub(super) fn check_cases<'a>(
    executors: &mut LaneExecutors<'_>,
    cases: impl Iterator<Item = (&'a Case, &'a Expected)>,
    oracle: &dyn Recompute,
    on_case: &mut dyn FnMut(&Case),
) -> Outcome {
    for (case, expected) in cases {
        on_case(case);
        let outcome = Outcome::from(check::executors(executors, case, expected, oracle));
        match outcome {
            Outcome::Same => {}
            Outcome::Differs(what) => return Outcome::Differs(format!("{case}: {what}")),
            Outcome::Failed(what) => return Outcome::Failed(format!("{case}: {what}")),
            other => return other,
        }
    }
    Outcome::Same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_one_that_a_challenge_could_have() {
        for case in Suite::ALL.into_iter().flat_map(|of| [of.cases(), of.cases_on_gpus()]).flatten()
        {
            let Work::MemoryResidency(work) = case.work else { continue };
            let MemoryResidency { arena_blocks, half_passes, peer_blocks } = work;
            let lanes = Some(u64::from(case.lanes));
            let made =
                MemoryResidency::new(arena_blocks, u64::from(half_passes), peer_blocks, lanes);
            assert_eq!(made, Ok(work));
            // Executors take turns over lanes that read nothing of each other.
            assert_eq!(case.lanes > 1, work.reads_peers(), "{case}");
        }
    }
}
