//! The rule about claims that are cheap to fake.

use super::SessionCase;
use crate::protocol::json::printable;

/// `fake-discount`.
pub(in crate::policy) fn fake_discount(case: &SessionCase<'_>) -> Option<String> {
    let (policy, session) = (case.policy, case.session);
    let least = policy.prices.fake_discount_max;
    if least <= 0.0 {
        return None;
    }
    let expected = format!("expected no way to fake it for less than {least} of the claim's price");
    let Some(shown) = policy.price(session) else {
        let listed = |name: &&str| policy.price_list().of(name).is_none();
        return Some(match session.claimed().find(listed) {
            Some(name) => format!("{expected}, {} has none", printable(&name)),
            None => format!("{expected}, nothing is shown"),
        });
    };
    (shown.share() < least).then(|| {
        let devices: Vec<_> =
            shown.cheapest.iter().map(|of| format!("{} {}", of.count, of.model)).collect();
        format!(
            "{expected}, {} do as much as was shown for {:.2} {currency} an hour in place of {:.2}",
            devices.join(" and "),
            shown.cheapest_per_hour,
            shown.claimed_per_hour,
            currency = shown.currency
        )
    })
}

#[cfg(test)]
pub(in crate::policy) mod cases {
    use super::super::example::{Cases, Example};
    use crate::protocol::work::memory_residency::MemoryResidency;

    /// 0.72 of an H200's FP64 rate, for which three A100s do.
    fn priced(case: &mut Example) {
        case.policy.prices.fake_discount_max = 0.5;
        let prices = [("NVIDIA H200", 4.0), ("NVIDIA A100-SXM4-80GB", 0.6)];
        case.policy.prices.per_hour = prices.map(|(name, price)| (name.into(), price)).into();
    }

    pub(in crate::policy) const CASES: Cases = &[
        ("fake-discount", priced),
        ("fake-discount", |case| {
            priced(case);
            case.policy.prices.per_hour.remove("NVIDIA H200");
        }),
        ("fake-discount", |case| {
            priced(case);
            // Too few half-passes show nothing of memory.
            let (arena_blocks, half_passes, peer_blocks) = (1 << 24, 9, 0);
            case.work = Some(MemoryResidency { arena_blocks, half_passes, peer_blocks }.into());
            super::super::example::lane(case).as_object_mut().unwrap().remove("achieved_flops");
        }),
    ];

    fn texts(case: &Example) -> Vec<String> {
        case.judge().reasons.into_iter().map(|reason| reason.text).collect()
    }

    #[test]
    fn a_claim_may_cost_little_more_than_the_cheapest_fake() {
        let mut case = Example::honest();
        priced(&mut case);
        assert_eq!(
            texts(&case),
            ["expected no way to fake it for less than 0.5 of the claim's price, 3 NVIDIA \
              A100-SXM4-80GB do as much as was shown for 1.80 USD an hour in place of 4.00"]
        );
        case.policy.prices.fake_discount_max = 0.44;
        assert_eq!(texts(&case), [""; 0]);
        case.policy.prices.per_hour.insert("NVIDIA H200".into(), 4.5);
        assert_eq!(texts(&case).len(), 1);
    }

    #[test]
    fn a_round_of_another_kind_makes_a_fake_dearer() {
        let mut case = Example::honest();
        priced(&mut case);
        // 100 sweeps of 126.9 GB in 3.2 s: 3.9 TB/s.
        let mut before = Example::honest();
        let (arena_blocks, half_passes, peer_blocks) = (30_981_120, 12, 0);
        before.work = Some(MemoryResidency { arena_blocks, half_passes, peer_blocks }.into());
        before.elapsed = Some(std::time::Duration::from_millis(3200));
        case.before.push(before);
        case.policy.prices.per_hour.insert("NVIDIA A100-SXM4-80GB".into(), 1.0);
        assert_eq!(texts(&case), [""; 0], "three of 0.5");
        case.policy.prices.fake_discount_max = 0.76;
        assert!(texts(&case)[0].contains("for 3.00 USD an hour in place of 4.00"));
    }
}
