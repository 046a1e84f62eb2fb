//! Tiles per SM over a whole run, and whether they can be believed. Pure.
//!
//! Numbers are never made up: what does not add up is said to be unavailable.

use crate::executor::{Kind, LaneFacts, SmTiles};

/// The counts of earlier processes and of this one together.
pub(super) fn together(before: Option<&SmTiles>, now: SmTiles) -> SmTiles {
    match (before, now) {
        (None, now) => now,
        (Some(SmTiles::NotApplicable), SmTiles::NotApplicable) => SmTiles::NotApplicable,
        (Some(SmTiles::Unavailable(why)), _) => SmTiles::Unavailable(why.clone()),
        (Some(_), SmTiles::Unavailable(why)) => SmTiles::Unavailable(why),
        (Some(SmTiles::Counted(before)), SmTiles::Counted(now)) if before.len() == now.len() => {
            let sums = before.iter().zip(&now).map(|(a, b)| a.saturating_add(*b));
            SmTiles::Counted(sums.collect())
        }
        (Some(_), _) => SmTiles::Unavailable("resumed, and counted otherwise before".to_owned()),
    }
}

/// The counts, if a device with these facts can have made `tiles` tiles so.
pub(super) fn believed(counts: SmTiles, facts: &LaneFacts, tiles: u64) -> SmTiles {
    let SmTiles::Counted(counts) = counts else {
        return match counts {
            SmTiles::NotApplicable if facts.kind == Kind::Gpu => {
                SmTiles::Unavailable("nothing was counted".to_owned())
            }
            other => other,
        };
    };
    let (sms, listed) = (facts.sm_count, counts.len());
    if listed != sms as usize {
        return SmTiles::Unavailable(format!("counters of {listed} SMs on a device of {sms}"));
    }
    SmTiles::counted(counts, tiles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::digest::Uuid;
    use crate::protocol::evidence::document::LaneDetails;

    fn facts(sm_count: u32) -> LaneFacts {
        LaneFacts {
            kind: Kind::Gpu,
            uuid: Uuid::default(),
            model: "a GPU".to_owned(),
            memory_bytes: 0,
            sm_count,
            details: LaneDetails::default(),
        }
    }

    #[test]
    fn counts_of_two_processes_add_up() {
        let counted = |counts: [u64; 2]| SmTiles::Counted(counts.to_vec());
        let none = || SmTiles::Unavailable("why".to_owned());
        assert_eq!(together(None, counted([1, 2])), counted([1, 2]));
        assert_eq!(together(Some(&counted([1, 2])), counted([3, 4])), counted([4, 6]));
        assert_eq!(together(Some(&none()), counted([3, 4])), none());
        assert_eq!(together(Some(&counted([3, 4])), none()), none());
        let cpu = SmTiles::NotApplicable;
        assert_eq!(together(Some(&cpu), cpu.clone()), cpu);
        for (before, now) in [(SmTiles::Counted(vec![1]), counted([1, 2])), (cpu, counted([1, 2]))]
        {
            assert!(matches!(together(Some(&before), now), SmTiles::Unavailable(_)));
        }
    }

    #[test]
    fn counts_that_cannot_be_are_not_believed() {
        let right = SmTiles::Counted(vec![3, 0, 4]);
        assert_eq!(believed(right.clone(), &facts(3), 7), right);
        for (counts, words) in [
            (vec![0, 0, 0], "are zero"),
            (vec![3, 0, 5], "add up to 8 tiles of 7"),
            (vec![u64::MAX, 8, 0], "add up to"),
            (vec![3, 4], "counters of 2 SMs on a device of 3"),
            (vec![3, 0, 4, 0], "counters of 4 SMs on a device of 3"),
        ] {
            let SmTiles::Unavailable(why) = believed(SmTiles::Counted(counts), &facts(3), 7) else {
                panic!("believed, without {words:?}")
            };
            assert!(why.contains(words), "{why}");
        }
        assert!(matches!(believed(SmTiles::NotApplicable, &facts(3), 7), SmTiles::Unavailable(_)));
    }
}
