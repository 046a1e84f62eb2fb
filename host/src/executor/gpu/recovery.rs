//! What follows a failure of the driver: another kernel variant, or the lane's
//! end; and how a run goes on after it. Pure.
//!
//! Guarantees: nothing is tried twice; a context that the driver has given up
//! is never used again.

use super::variant::Variant;
use crate::executor::{ExecError, Segment, SoloSync};
use crate::protocol::chain;
use crate::protocol::names::{Root, State};

/// What follows a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// The kernels do not serve: try these, in this order, at least one.
    Retry(Vec<Variant>),
    /// The lane ends with the driver's error.
    EndLane,
}

/// What follows `code`, returned for the kernels of `variant`, if
/// `candidates` are tried in their order.
pub(super) fn after_failure(code: u32, variant: &Variant, candidates: &[Variant]) -> AfterFailure {
    if !is_of_the_kernel(code) {
        return AfterFailure::EndLane;
    }
    // The product kernel may have been exchanged for the target's FMA kernel.
    let same = |candidate: &Variant| candidate == variant;
    let same_target = |candidate: &Variant| candidate.source == variant.source;
    let at = candidates.iter().position(same).or_else(|| candidates.iter().position(same_target));
    match at.map(|at| &candidates[at + 1..]) {
        Some(left) if !left.is_empty() => AfterFailure::Retry(left.to_vec()),
        _ => AfterFailure::EndLane,
    }
}

/// After `error` of the kernels of `variant`: has `attempt` load one of the
/// variants that are left, and try it, until one serves. `attempt` is told what
/// failed before; it returns which variant it tried, and how that came out.
///
/// # Errors
/// The last failure, if no variant is left or none would mend it.
pub(super) fn until_one_serves(
    mut variant: Variant,
    mut error: ExecError,
    candidates: &[Variant],
    mut attempt: impl FnMut(&[Variant], &Variant, &ExecError) -> (Variant, Result<(), ExecError>),
) -> Result<(), ExecError> {
    loop {
        let next = code_of(&error).map(|code| after_failure(code, &variant, candidates));
        let Some(AfterFailure::Retry(left)) = next else { return Err(error) };
        let (tried, result) = attempt(&left, &variant, &error);
        (variant, error) = match result {
            Ok(()) => return Ok(()),
            Err(error) => (tried, error),
        };
    }
}

/// Results that speak of the kernel or of how it is launched, and leave the
/// context as it was. All others end the lane: those that poison the context
/// (700, 702, 710, 714 … 719), the hardware's (214, 220, 226), and whatever no
/// other kernel would mend.
fn is_of_the_kernel(code: u32) -> bool {
    matches!(
        code,
        1                       // invalid value: launched otherwise than it was compiled for
        | 200 | 209 | 218       // no image for this device, PTX that does not compile
        | 222 | 223 | 224       // PTX too new, compilation switched off, affinity
        | 300 | 301 | 302 | 303 // source, file, symbol
        | 500                   // no such kernel
        | 701 | 703             // too few resources, incompatible texturing
        | 720                   // cooperative launch too large
        | 801                   // not supported
        | 900..=909 // graph recording
    )
}

/// How far a segment has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    next: u32,
    last: u32,
    state: State,
    solo_sync: Option<SoloSync>,
}

impl Place {
    /// At the start of `segment`.
    pub(super) fn at_start(segment: &Segment) -> Self {
        Self {
            next: segment.first_iteration,
            last: segment.first_iteration + segment.iterations - 1,
            state: segment.start,
            solo_sync: segment.solo_sync,
        }
    }

    /// The iteration that comes next.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// s of the iteration before it.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// What is left of `segment`; `None` if nothing is.
    pub(super) fn rest(&self, segment: &Segment) -> Option<Segment> {
        let iterations = (self.last + 1).checked_sub(self.next).filter(|&left| left > 0)?;
        Some(Segment { first_iteration: self.next, iterations, start: self.state, ..*segment })
    }

    /// Steps over an iteration, as the device's chain does.
    pub(super) fn pass(&mut self, iteration: u32, root: &Root) {
        let sync = self.solo_sync.and_then(|solo| solo.digest(iteration, root));
        self.state = chain::step(&self.state, iteration, root, sync.as_ref());
        self.next = iteration + 1;
    }
}

/// The driver's code in an executor's error, if it has one.
pub(super) fn code_of(error: &ExecError) -> Option<u32> {
    match error {
        ExecError::Driver { code, .. } => Some(*code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::gpu::variant::Capability;
    use crate::protocol::digest::Digest;
    use gpu_kernels::kernels::GEMM_FMA;

    fn hopper() -> Vec<Variant> {
        Variant::candidates(Capability { major: 9, minor: 0 })
    }

    #[test]
    fn a_kernel_that_does_not_launch_gives_way_to_the_next() {
        let all = hopper();
        for code in [1, 209, 218, 701, 901] {
            for at in 0..3 {
                let next = AfterFailure::Retry(all[at + 1..].to_vec());
                assert_eq!(after_failure(code, &all[at], &all), next, "{code} of {}", all[at]);
            }
            assert_eq!(after_failure(code, &all[3], &all), AfterFailure::EndLane, "{code}");
        }
        // After the exactness check put the FMA kernel in place, same target.
        let exchanged = Variant { gemm: GEMM_FMA, ..all[0] };
        assert_eq!(after_failure(701, &exchanged, &all), AfterFailure::Retry(all[1..].to_vec()));
    }

    #[test]
    fn one_variant_that_was_asked_for_by_name_has_no_successor() {
        let all = hopper();
        assert_eq!(after_failure(701, &all[0], &all[..1]), AfterFailure::EndLane);
        assert_eq!(after_failure(701, &all[0], &[]), AfterFailure::EndLane);
    }

    #[test]
    fn what_poisons_the_context_ends_the_lane() {
        let all = hopper();
        for code in [2, 3, 46, 214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 999] {
            assert_eq!(after_failure(code, &all[0], &all), AfterFailure::EndLane, "{code}");
        }
    }

    fn failure(code: u32) -> ExecError {
        ExecError::Driver {
            what: "launching gemm_m16n8k16".to_owned(),
            device: "GPU 0".to_owned(),
            code,
            cause: format!("cuLaunchKernel returned {code}"),
            advice: "try another".to_owned(),
        }
    }

    /// What was left at each attempt if they fail with these codes, 0 for
    /// one that serves, and the code that it ended with.
    fn attempts(first: u32, then: &[u32]) -> (Vec<usize>, Option<u32>) {
        let all = hopper();
        let (mut left_at, mut codes) = (Vec::new(), then.iter());
        let ended = until_one_serves(all[0], failure(first), &all, |left, before, _| {
            assert!(!left.contains(before), "{before} is tried again");
            left_at.push(left.len());
            let code = *codes.next().expect("no more attempts than codes");
            (left[0], if code == 0 { Ok(()) } else { Err(failure(code)) })
        });
        assert!(codes.next().is_none(), "an attempt was not made");
        (left_at, ended.err().and_then(|error| code_of(&error)))
    }

    #[test]
    fn every_variant_that_is_left_is_tried_until_one_serves() {
        assert_eq!(attempts(701, &[0]), (vec![3], None));
        assert_eq!(attempts(701, &[209, 0]), (vec![3, 2], None));
        assert_eq!(attempts(701, &[209, 701, 1]), (vec![3, 2, 1], Some(1)), "none is left");
        assert_eq!(attempts(700, &[]), (vec![], Some(700)), "the context is lost");
        assert_eq!(attempts(701, &[719]), (vec![3], Some(719)), "lost by the second");
    }

    #[test]
    fn a_failure_that_is_not_the_drivers_ends_the_lane() {
        let all = hopper();
        let mut attempts = 0;
        let ended = until_one_serves(all[0], failure(701), &all, |_, before, _| {
            attempts += 1;
            let error = ExecError::Device {
                what: "loading the kernels".to_owned(),
                device: "GPU 0".to_owned(),
                cause: "kernels portable/gemm_fma cannot be used".to_owned(),
                advice: "update the NVIDIA driver".to_owned(),
            };
            (*before, Err(error))
        });
        assert!(matches!(ended, Err(ExecError::Device { .. })), "{ended:?}");
        assert_eq!(attempts, 1);
    }

    #[test]
    fn a_place_steps_as_the_chain_does() {
        let c = Digest([9; 32]);
        let segment = Segment {
            first_iteration: 5,
            iterations: 3,
            start: State([1; 32]),
            solo_sync: Some(SoloSync { challenge: c, interval: 2 }),
        };
        let mut place = Place::at_start(&segment);
        let root = |i: u32| Root([i as u8; 32]);
        let mut state = segment.start;
        for i in 5..=7 {
            let rest = place.rest(&segment).expect("not at the end");
            assert_eq!((rest.first_iteration, rest.iterations), (i, 8 - i));
            assert_eq!((rest.start, place.state()), (state, state));
            let sync = (i == 6).then(|| chain::sync_digest(&c, 6, &[root(6)]));
            state = chain::step(&state, i, &root(i), sync.as_ref());
            place.pass(i, &root(i));
        }
        assert!(place.rest(&segment).is_none() && place.next() == 8);
    }
}
