//! What to plan where memory ran out between the plan and its allocation. Pure.

use super::plan::{LaunchPlan, PlanInput};

/// The next, smaller thing to try with what is free now: half the chunk down to
/// one product, then half the ring down to one slot. `None` where `failed` was
/// the smallest.
pub(super) fn retreat(
    input: &PlanInput,
    failed: &LaunchPlan,
    free_bytes: u64,
) -> Option<PlanInput> {
    let smaller = PlanInput { free_bytes, ..*input };
    if failed.chunk_products > 1 {
        let chunk_products_max = Some(failed.chunk_products / 2);
        Some(PlanInput { chunk_products_max, ..smaller })
    } else if failed.ring_slots > 1 {
        let ring_slots_max = Some(failed.ring_slots / 2);
        Some(PlanInput { chunk_products_max: Some(1), ring_slots_max, ..smaller })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::plan::Shape;
    use gpu_kernels::abi::GEMM_M16N8K16;

    #[test]
    fn each_step_is_smaller_and_there_is_a_last_one() {
        let mut input = PlanInput {
            shape: Shape { dim: 1024, products: 10 },
            free_bytes: 16 << 30,
            sm_count: 132,
            gemm: GEMM_M16N8K16,
            chunk_products_max: None,
            ring_slots_max: None,
        };
        let mut plan = LaunchPlan::new(&input).unwrap();
        assert!(plan.chunk_products > 1 && plan.ring_slots > 1);
        let mut steps = 0;
        while let Some(next) = retreat(&input, &plan, 16 << 30) {
            let smaller = LaunchPlan::new(&next).unwrap();
            assert!(smaller.bytes.on_device() <= plan.bytes.on_device());
            let size = |plan: &LaunchPlan| plan.chunk_products * 1000 + plan.ring_slots;
            assert!(size(&smaller) < size(&plan), "{smaller} is not smaller than {plan}");
            (input, plan) = (next, smaller);
            steps += 1;
        }
        assert!((2..40).contains(&steps), "{steps} steps");
        assert_eq!((plan.chunk_products, plan.ring_slots), (1, 1));
    }

    #[test]
    fn what_is_free_now_counts() {
        let input = PlanInput {
            shape: Shape { dim: 1024, products: 64 },
            free_bytes: 16 << 30,
            sm_count: 132,
            gemm: GEMM_M16N8K16,
            chunk_products_max: None,
            ring_slots_max: None,
        };
        let plan = LaunchPlan::new(&input).unwrap();
        assert_eq!(plan.chunk_products, 64);
        let next = retreat(&input, &plan, 256 << 20).unwrap();
        assert!(LaunchPlan::new(&next).unwrap().chunk_products < 16);
        let gone = retreat(&input, &plan, 1 << 20).unwrap();
        let short = LaunchPlan::new(&gone).unwrap_err();
        assert_eq!(short.free_bytes, 1 << 20, "the error has what is free now");
    }
}
