//! Plans over the whole range of shapes and memory sizes.

use super::*;
use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::work::integer_product::IntegerProduct;
use crate::protocol::work::memory_residency::MemoryResidency;
use gpu_kernels::kernels::{GEMM_FMA, GEMM_M16N8K16, INT8_DP4A};
use proptest::prelude::*;

const GIB: u64 = 1 << 30;

fn input(dim: u32, products: u32, free_bytes: u64) -> PlanInput {
    PlanInput {
        work: Fp64Product { dim, products }.into(),
        free_bytes,
        sm_count: 132,
        gemm: GEMM_M16N8K16,
        integer: Some(INT8_DP4A),
        chunk_products_max: None,
        ring_slots_max: None,
    }
}

#[test]
fn one_chunk_where_all_operands_fit() {
    // 64 GB of operands: 240 products of 268 MB each.
    let plan = LaunchPlan::new(&input(4096, 240, 139 * GIB)).unwrap();
    assert_eq!((plan.chunk_products, plan.bytes.operands), (240, 240 << 28));
    assert_eq!(plan.ring_slots, 1);
    assert_eq!(plan.chunks().collect::<Vec<_>>(), [(0, 240)]);
}

#[test]
fn chunks_are_even_where_they_do_not_fit() {
    // A greedy split of 8 into chunks of 7 would leave a last chunk of 1.
    let plan = LaunchPlan::new(&input(4096, 8, 2 * GIB)).unwrap();
    assert_eq!(plan.chunks().collect::<Vec<_>>(), [(0, 4), (4, 4)]);
}

#[test]
fn a_short_iteration_gets_a_long_ring_and_a_graph() {
    let plan = LaunchPlan::new(&input(1024, 1, 139 * GIB)).unwrap();
    assert!(plan.ring_slots > 64 && plan.graph_iterations > 16, "{plan}");
    assert_eq!(plan.ring_slots % plan.graph_iterations, 0);
    assert_eq!((plan.merkle.len(), plan.step_nodes), (0, 64));
}

#[test]
fn merkle_levels_at_the_boundaries() {
    // 512 nodes need no level, 513 need one; 512² need one, 512²+1 two.
    let counts = |nodes| {
        let (levels, left) = merkle_levels(nodes);
        (levels.iter().map(|level| (level.count, level.groups)).collect::<Vec<_>>(), left)
    };
    assert_eq!(counts(1), (vec![], 1));
    assert_eq!(counts(512), (vec![], 512));
    assert_eq!(counts(513), (vec![(513, 2)], 2));
    assert_eq!(counts(512 * 512), (vec![(512 * 512, 512)], 512));
    assert_eq!(counts(512 * 512 + 1), (vec![(512 * 512 + 1, 513), (513, 2)], 2));
    assert_eq!(counts(1 << 28).0.len(), 3, "the largest iteration: n = 32768, m = 4096");
}

#[test]
fn what_does_not_fit_is_told_with_numbers() {
    let error = LaunchPlan::new(&input(32768, 1, 16 * GIB)).unwrap_err();
    assert!(error.needed_bytes > 16 * GIB && error.free_bytes == 16 * GIB, "{error:?}");
    let enough = PlanInput { free_bytes: error.needed_bytes, ..input(32768, 1, 0) };
    assert!(LaunchPlan::new(&enough).is_ok(), "the needed bytes must be enough");
    let short = PlanInput { free_bytes: error.needed_bytes - 1, ..enough };
    assert!(LaunchPlan::new(&short).is_err());
}

#[test]
fn only_persistent_kernels_have_scratch() {
    let plan = |gemm| LaunchPlan::new(&PlanInput { gemm, ..input(1024, 1, GIB) }).unwrap();
    assert_eq!(plan(GEMM_FMA).bytes.scratch, 0);
    assert_eq!(plan(GEMM_M16N8K16).bytes.scratch, 132 * GEMM_SCRATCH_BYTES_PER_BLOCK);
    // 16 tiles for 132 SMs: at most four blocks a tile, not a block an SM.
    assert_eq!((gemm_grid(&GEMM_M16N8K16, 132, 16), gemm_grid(&GEMM_M16N8K16, 132, 64)), (64, 132));
    assert_eq!(gemm_grid(&GEMM_FMA, 132, 1024), 1024);
}

proptest! {
    #[test]
    fn every_plan_covers_the_iteration_and_keeps_to_its_memory(
        tiles_per_side in 1_u32..=64,
        products in 1_u32..=512,
        free_mib in 1_u64..=150_000,
        chunk_max in proptest::option::of(1_u32..20),
        slots_max in proptest::option::of(1_u32..20),
    ) {
        let mut input = input(tiles_per_side * 128, products, free_mib << 20);
        input.chunk_products_max = chunk_max;
        input.ring_slots_max = slots_max;
        match LaunchPlan::new(&input) {
            Err(error) => prop_assert!(error.needed_bytes > error.free_bytes),
            Ok(plan) => {
                let mut next = 0;
                for (first, count) in plan.chunks() {
                    prop_assert_eq!(first, next);
                    prop_assert!((1..=plan.chunk_products).contains(&count));
                    next += count;
                }
                prop_assert_eq!(next, products);
                prop_assert!(plan.bytes.on_device() <= free_mib << 20);
                prop_assert!(plan.ring_slots >= 1 && plan.graph_iterations >= 1);
                prop_assert_eq!(plan.ring_slots % plan.graph_iterations, 0);
                prop_assert!((1..=512).contains(&plan.step_nodes));
                prop_assert!(plan.chunk_products <= chunk_max.unwrap_or(u32::MAX));
                prop_assert!(plan.ring_slots <= slots_max.unwrap_or(u32::MAX));
            }
        }
    }
}

#[test]
fn integer_products_are_cut_into_chunks_as_others_are() {
    let of = |dim, products, free_bytes| PlanInput {
        work: IntegerProduct { dim, products }.into(),
        ..input(128, 1, free_bytes)
    };
    // 512 MiB a product.
    let plan = LaunchPlan::new(&of(16384, 8, 139 * GIB)).unwrap();
    assert_eq!((plan.chunk_products, plan.bytes.operands), (8, 8 << 29), "{plan}");
    assert_eq!((plan.ring_slots, plan.bytes.scratch), (1, 0));
    let plan = LaunchPlan::new(&of(16384, 8, 3 * GIB)).unwrap();
    assert_eq!(plan.chunks().collect::<Vec<_>>(), [(0, 4), (4, 4)]);
    assert_eq!(plan.bytes.operands, 4 << 29);
    let plan = LaunchPlan::new(&of(1024, 1, 139 * GIB)).unwrap();
    assert!(plan.ring_slots > 64 && plan.graph_iterations > 16, "{plan}");
    let error = LaunchPlan::new(&of(65536, 1, 8 * GIB)).unwrap_err();
    assert!(error.needed_bytes > 8 * GIB, "{error:?}");
}

#[test]
fn a_persistent_kernel_of_integers_has_its_scratch() {
    let mut kernel = INT8_DP4A;
    kernel.computes.grid = gpu_kernels::declaration::IntegerGrid::Persistent;
    kernel.computes.scratch_bytes_per_block = 4096;
    let work = IntegerProduct { dim: 1024, products: 1 }.into();
    let input = PlanInput { work, integer: Some(kernel), ..input(128, 1, GIB) };
    assert_eq!(LaunchPlan::new(&input).unwrap().bytes.scratch, 132 * 4096);
}

/// An arena of N blocks that reads itself.
fn arena(arena_blocks: u64, free_bytes: u64) -> PlanInput {
    let work = MemoryResidency { arena_blocks, half_passes: 12, peer_blocks: 0 };
    PlanInput { work: work.into(), ..input(128, 1, free_bytes) }
}

#[test]
fn the_largest_arena_fits_and_one_of_four_more_pages_does_not() {
    for free_bytes in [0, 64 << 20, 66 << 20, 100 << 20, 23 * GIB + 77, 139 * GIB + 12_345] {
        let blocks = largest_arena(&arena(512, free_bytes));
        let fits = |blocks| LaunchPlan::new(&arena(blocks, free_bytes)).is_ok();
        assert!(blocks == 0 || fits(blocks), "{free_bytes}: {blocks}");
        assert!(blocks.is_multiple_of(512) && !fits(blocks + 4 * 512), "{free_bytes}: {blocks}");
    }
    assert!(largest_arena(&arena(512, 139 * GIB)) * 4096 > 138 * GIB);
    assert_eq!(largest_arena(&arena(512, u64::MAX)), 1 << 28, "the protocol's bound");
}

#[test]
fn an_arena_is_as_large_as_was_asked_or_there_is_no_plan() {
    // 135 GB of 150.1: one slot of 64420 tiles, as a sweep takes longer than a batch.
    let plan = LaunchPlan::new(&arena(32_983_040, 139 * GIB)).unwrap();
    assert_eq!(plan.bytes.arena, 32_983_040 * 4096);
    assert_eq!((plan.ring_slots, plan.graph_iterations), (1, 1), "{plan}");
    assert_eq!((plan.merkle.len(), plan.step_nodes), (1, 126));
    // Memory for the arena alone is too little: the tree and the margin come on top.
    let error = LaunchPlan::new(&arena(1 << 20, 4 * GIB)).unwrap_err();
    assert!(error.needed_bytes > 4 * GIB && error.free_bytes == 4 * GIB, "{error:?}");
    let enough = LaunchPlan::new(&arena(1 << 20, error.needed_bytes)).unwrap();
    assert_eq!(enough.bytes.arena, 4 * GIB);
    assert!(LaunchPlan::new(&arena(1 << 20, error.needed_bytes - 1)).is_err());
}

#[test]
fn a_short_sweep_gets_a_long_ring_and_a_graph() {
    let plan = LaunchPlan::new(&arena(512, GIB)).unwrap();
    assert!(plan.ring_slots >= 64 && plan.graph_iterations > 16, "{plan}");
    assert_eq!((plan.merkle.len(), plan.step_nodes), (0, 1));
}
