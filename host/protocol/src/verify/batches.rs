//! Openings in batches, for progress.

use crate::result::Opening;

/// Leaves asked for at a time, unless one iteration has more: enough for
/// requests of one iteration to share their operands, few enough for progress.
const BATCH_LEAVES: usize = 1024;

/// Cuts openings into batches without cutting an iteration in two.
pub(super) fn batches(openings: &[Opening]) -> Vec<&[Opening]> {
    let mut batches = Vec::new();
    let mut first = 0;
    let mut at = 0;
    for iteration in openings.chunk_by(|a, b| (a.lane, a.iteration) == (b.lane, b.iteration)) {
        at += iteration.len();
        if at - first >= BATCH_LEAVES {
            batches.push(&openings[first..at]);
            first = at;
        }
    }
    if first < at {
        batches.push(&openings[first..at]);
    }
    batches
}
