//! How the SMs of a lane shared its work. Pure.
//!
//! Guarantees: every number follows from the counters; without counters there is
//! nothing.
//! Deliberately lacks: a verdict. A small challenge leaves SMs idle on the best
//! of cards, and the warning says so.

use crate::executor::SmActivity;
use crate::protocol::challenge::INTEGER_MAX;
use crate::protocol::evidence::described::{Digits, Numbers};
use crate::protocol::evidence::document as told;

/// Below this share of SMs at work there is a warning, in per cent.
const ACTIVE_PERCENT_MIN: u64 = 85;
/// An SM that did this many times the mean, or the mean this many times an SM's
/// work, is a warning if every SM had something to do in each iteration.
const UNEVEN_FACTOR: u128 = 2;

/// How the SMs shared a lane's tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmShare {
    /// SMs that counted at least one tile.
    pub active: u64,
    /// SMs.
    pub count: u64,
    /// Fewest tiles of any SM.
    pub tiles_min: u64,
    /// Most tiles of any SM.
    pub tiles_max: u64,
    /// When they were at work.
    pub activity: Option<SmActivity>,
    /// What is out of the ordinary.
    pub warnings: Vec<String>,
}

impl SmShare {
    /// From tiles per SM; `tiles_per_iteration` tells a small challenge from
    /// idle SMs. `None` without counters.
    pub fn of(
        tiles: &[u64],
        activity: Option<SmActivity>,
        tiles_per_iteration: u64,
    ) -> Option<Self> {
        let (&tiles_min, &tiles_max) = (tiles.iter().min()?, tiles.iter().max()?);
        let count = tiles.len() as u64;
        let active = tiles.iter().filter(|&&tiles| tiles > 0).count() as u64;
        let sum: u128 = tiles.iter().map(|&tiles| u128::from(tiles)).sum();
        let mut warnings = Vec::new();
        if 100 * active < ACTIVE_PERCENT_MIN * count {
            let few = if tiles_per_iteration < count {
                format!(" (an iteration has only {tiles_per_iteration} tiles)")
            } else {
                String::new()
            };
            warnings.push(format!("{active} of {count} SMs did all of the work{few}"));
        }
        let mean = sum / u128::from(count);
        let (least, most) = (u128::from(tiles_min), u128::from(tiles_max));
        let all_busy = active == count && tiles_per_iteration >= 4 * count;
        if all_busy && (most > UNEVEN_FACTOR * mean || UNEVEN_FACTOR * least < mean) {
            warnings.push(format!(
                "the SMs shared the work unevenly: from {tiles_min} to {tiles_max} tiles, {mean} \
                 on average"
            ));
        }
        Some(Self { active, count, tiles_min, tiles_max, activity, warnings })
    }

    /// As the evidence has it.
    pub(super) fn told(self, spans: Spans) -> told::SmActivity {
        let activity = self.activity.as_ref();
        let in_evidence = |ns: u64| ns.min(INTEGER_MAX);
        let span = |span: &Option<(u64, u64)>| match span {
            Some((first, last)) => vec![in_evidence(*first), in_evidence(*last)],
            None => Vec::new(),
        };
        let spans_ns = activity.filter(|_| spans == Spans::Told);
        told::SmActivity {
            active: self.active,
            tiles_min: Digits(self.tiles_min),
            tiles_max: Digits(self.tiles_max),
            first_spread_ns: activity.map(|activity| Digits(activity.first_spread_ns())),
            last_spread_ns: activity.map(|activity| Digits(activity.last_spread_ns())),
            spans_ns: spans_ns.map(|activity| Numbers(activity.spans.iter().map(span).collect())),
            warnings: self.warnings,
        }
    }
}

/// Whether evidence has the times of single SMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spans {
    /// If they are known.
    Told,
    /// It would be too long.
    LeftOut,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::sanitise::sanitise;
    use serde_json::json;

    fn warnings(tiles: &[u64], tiles_per_iteration: u64) -> Vec<String> {
        SmShare::of(tiles, None, tiles_per_iteration).unwrap().warnings
    }

    #[test]
    fn idle_sms_are_a_warning_below_85_per_cent() {
        let mut tiles = [8_u64; 100];
        tiles[..15].fill(0);
        assert_eq!(warnings(&tiles, 1000), [""; 0], "85 of 100 are enough");
        tiles[15] = 0;
        assert_eq!(warnings(&tiles, 1000), ["84 of 100 SMs did all of the work"]);
        let small = "84 of 100 SMs did all of the work (an iteration has only 84 tiles)";
        assert_eq!(warnings(&tiles, 84), [small]);
    }

    #[test]
    fn unevenness_is_a_warning_where_there_was_work_for_all() {
        assert_eq!(warnings(&[7, 8, 8, 8], 16), [""; 0]);
        assert!(warnings(&[1, 10, 10, 10], 16)[0].contains("from 1 to 10 tiles, 7 on average"));
        assert_eq!(warnings(&[40, 10, 10, 12], 16).len(), 1);
        // Ten tiles on four SMs can't be even.
        assert_eq!(warnings(&[1, 4, 4, 1], 10), [""; 0]);
        assert_eq!(warnings(&[u64::MAX; 3], 12), [""; 0], "no overflow");
    }

    #[test]
    fn the_evidence_has_what_was_counted_and_nothing_else() {
        assert_eq!(SmShare::of(&[], None, 1), None);
        let activity = Some(SmActivity { spans: vec![Some((0, 9)), Some((5, 15)), None] });
        let share = SmShare::of(&[3, 4, 0], activity, 7).unwrap();
        let expected = json!({
            "active": 2, "tiles_min": "0", "tiles_max": "4", "first_spread_ns": "5",
            "last_spread_ns": "6", "spans_ns": [[0, 9], [5, 15], []],
            "warnings": ["2 of 3 SMs did all of the work"],
        });
        assert_eq!(sanitise(&share.clone().told(Spans::Told)), expected);
        assert_eq!(share.told(Spans::LeftOut).spans_ns, None);
        let plain = sanitise(&SmShare::of(&[3, 4], None, 7).unwrap().told(Spans::Told));
        assert_eq!(plain, json!({"active": 2, "tiles_min": "3", "tiles_max": "4"}));
    }
}
