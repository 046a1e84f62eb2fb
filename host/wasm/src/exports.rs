//! What the page's script calls: plain numbers in and out, texts as JSON in two buffers.
//!
//! ```text
//! attest_input(bytes) ─▶ address    the script writes the page's data there
//! attest_load() ─▶ 1 or 0           reads and checks it; the output is rounds or a fault
//! attest_leaf(round, opening) ─▶ 1 right, 0 wrong, 2 no such opening; the output is the leaf
//! attest_output(), attest_output_bytes()    where the last output is, in UTF-8
//! ```
//!
//! Guarantee: no memory is read or written but through the buffers, which only grow here.

use crate::report::{self, Round};
use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Largest data block, bytes: some hundred times the results of ordinary challenges.
const INPUT_BYTES_MAX: usize = 512 << 20;

struct Module {
    input: Vec<u8>,
    output: String,
    rounds: Vec<Round>,
}

static MODULE: Mutex<Module> =
    Mutex::new(Module { input: Vec::new(), output: String::new(), rounds: Vec::new() });

/// There is one thread, and a panic ends the module.
fn module() -> MutexGuard<'static, Module> {
    MODULE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Module {
    fn say(&mut self, what: &impl Serialize) {
        self.output = serde_json::to_string(what).unwrap_or_default();
    }
}

/// Room for so many bytes of input; null if it is too much.
#[unsafe(no_mangle)]
pub extern "C" fn attest_input(bytes: usize) -> *mut u8 {
    let mut module = module();
    module.rounds = Vec::new();
    module.input = Vec::new();
    if bytes > INPUT_BYTES_MAX || module.input.try_reserve_exact(bytes).is_err() {
        return std::ptr::null_mut();
    }
    module.input.resize(bytes, 0);
    module.input.as_mut_ptr()
}

/// Reads the input: 1 if every round is right so far. The output is a list of rounds, or the
/// fault.
#[unsafe(no_mangle)]
pub extern "C" fn attest_load() -> u32 {
    let mut module = module();
    let input = std::mem::take(&mut module.input);
    let text = String::from_utf8_lossy(&input);
    match report::read(&text) {
        Ok(rounds) => {
            let short: Vec<_> = rounds.iter().map(Round::in_short).collect();
            module.rounds = rounds;
            module.say(&short);
            1
        }
        Err(fault) => {
            module.say(&fault);
            0
        }
    }
}

/// Recomputes one leaf: 1 if it is right, 0 if not, 2 if there is none. `round` counts the
/// rounds of [`attest_load`]'s output.
#[unsafe(no_mangle)]
pub extern "C" fn attest_leaf(round: u32, opening: u32) -> u32 {
    let mut module = module();
    let leaf = module.rounds.get(round as usize).and_then(|round| round.leaf(opening as usize));
    let Some(leaf) = leaf else { return 2 };
    module.say(&leaf);
    u32::from(leaf.fault.is_none())
}

/// Where the last output is.
#[unsafe(no_mangle)]
pub extern "C" fn attest_output() -> *const u8 {
    module().output.as_ptr()
}

/// Bytes of the last output.
#[unsafe(no_mangle)]
pub extern "C" fn attest_output_bytes() -> usize {
    module().output.len()
}
