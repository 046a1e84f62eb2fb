//! The CPU's part: known answers, computed beside the lanes, which it does not hold up.

use super::{Load, LoadAnswers, Shared, lock, sweeps};
use crate::executor::Executor;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

/// How long it waits for something to check.
const NOTHING_YET: Duration = Duration::from_millis(20);

/// Starts to recompute the first iterations of products, and every block of arenas, in
/// the order in which they come up, until the time is over.
pub(super) fn spawn(
    shared: &Arc<Shared>,
    mut cpu: Box<dyn Executor>,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    let check = move || {
        let mut next = vec![1; shared.answers.len()];
        while !shared.is_over() {
            let turn = shared.turn();
            let load = shared.load_of(turn);
            let has_checked = match &shared.options.loads[load] {
                Load::Products(_) => iteration(&shared, load, &mut next[load], cpu.as_mut()),
                Load::Sweeps => tiles(&shared, load, turn),
            };
            match has_checked {
                Some(true) => {}
                Some(false) => thread::sleep(NOTHING_YET),
                // The host has no memory for it.
                None => return,
            }
        }
    };
    thread::Builder::new().name("known answers".into()).spawn(check)
}

/// Recomputes the next iteration, if a lane has it: `None` if the CPU can't.
fn iteration(shared: &Shared, load: usize, at: &mut u32, cpu: &mut dyn Executor) -> Option<bool> {
    let (Load::Products(products), LoadAnswers::Products(answers)) =
        (&shared.options.loads[load], &shared.answers[load])
    else {
        return Some(false);
    };
    if *at > products.known_iterations.min(products.round_iterations) {
        return Some(false);
    }
    let found = lock(answers).found(*at);
    let Some(found) = found else { return Some(false) };
    let (root, tile_roots) = found.again(products.work, cpu).ok()?;
    // If it was wrong it is found again, and checked again.
    if lock(answers).check(&found, root, &tile_roots) {
        *at += 1;
    }
    Some(true)
}

/// Recomputes the next tiles of an arena of this turn.
fn tiles(shared: &Shared, load: usize, turn: u64) -> Option<bool> {
    let LoadAnswers::Sweeps(answers) = &shared.answers[load] else { return Some(false) };
    let unchecked = lock(answers).unchecked(turn);
    let Some((work, tiles)) = unchecked else { return Some(false) };
    let seed = sweeps::seed(turn);
    let right = shared.options.memory.tile_roots_from(work, &seed, tiles.clone()).ok()?;
    lock(answers).check(turn, work, tiles.start, &right);
    Some(true)
}
