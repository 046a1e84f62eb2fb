//! What to plan if memory ran out between the plan and its allocation: the
//! device's, or the host's that the driver locks. Pure.

use super::plan::{LaunchPlan, PlanInput};

/// Whose memory could not be had; the driver's result is the same for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemoryOf {
    /// The device's.
    Device,
    /// The host's, page-locked.
    Host,
}

/// The next, smaller thing to try with what is free now on the device: half the
/// chunk down to one product, then half the ring down to one slot. For the host
/// only the ring counts, so the chunk stays. `None` if `failed` was the
/// smallest.
pub(super) fn back_off(
    input: &PlanInput,
    failed: &LaunchPlan,
    short: MemoryOf,
    free_bytes: u64,
) -> Option<PlanInput> {
    let smaller = PlanInput { free_bytes, ..*input };
    if short == MemoryOf::Host {
        let ring_slots_max = (failed.ring_slots > 1).then_some(failed.ring_slots / 2);
        ring_slots_max.map(|slots| PlanInput { ring_slots_max: Some(slots), ..smaller })
    } else if failed.chunk_products > 1 {
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
    use crate::protocol::work::fp64_product::Fp64Product;
    use gpu_kernels::kernels::GEMM_M16N8K16;

    /// With memory for all products at once.
    fn whole() -> PlanInput {
        PlanInput {
            work: Fp64Product { dim: 1024, products: 10 }.into(),
            free_bytes: 16 << 30,
            sm_count: 132,
            gemm: GEMM_M16N8K16,
            integer: None,
            chunk_products_max: None,
            ring_slots_max: None,
        }
    }

    #[test]
    fn each_step_is_smaller_and_there_is_a_last_one() {
        let mut input = whole();
        let mut plan = LaunchPlan::new(&input).unwrap();
        assert!(plan.chunk_products > 1 && plan.ring_slots > 1);
        let mut steps = 0;
        while let Some(next) = back_off(&input, &plan, MemoryOf::Device, 16 << 30) {
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
    fn for_the_hosts_memory_only_the_ring_shrinks() {
        let mut input = whole();
        let first = LaunchPlan::new(&input).unwrap();
        let mut plan = first.clone();
        while let Some(next) = back_off(&input, &plan, MemoryOf::Host, 16 << 30) {
            let smaller = LaunchPlan::new(&next).unwrap();
            assert!(smaller.host_bytes() < plan.host_bytes(), "{smaller} after {plan}");
            assert_eq!(smaller.chunk_products, first.chunk_products);
            (input, plan) = (next, smaller);
        }
        assert!(first.ring_slots > 1);
        assert_eq!(plan.ring_slots, 1);
    }

    #[test]
    fn what_is_free_now_counts() {
        let input = PlanInput {
            work: Fp64Product { dim: 1024, products: 64 }.into(),
            free_bytes: 16 << 30,
            sm_count: 132,
            gemm: GEMM_M16N8K16,
            integer: None,
            chunk_products_max: None,
            ring_slots_max: None,
        };
        let plan = LaunchPlan::new(&input).unwrap();
        assert_eq!(plan.chunk_products, 64);
        let next = back_off(&input, &plan, MemoryOf::Device, 256 << 20).unwrap();
        assert!(LaunchPlan::new(&next).unwrap().chunk_products < 16);
        let gone = back_off(&input, &plan, MemoryOf::Device, 1 << 20).unwrap();
        let short = LaunchPlan::new(&gone).unwrap_err();
        assert_eq!(short.free_bytes, 1 << 20, "the error has what is free now");
    }
}
