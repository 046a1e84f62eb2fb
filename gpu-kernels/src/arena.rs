//! Geometry of arenas and the arithmetic of a half-pass, as docs/protocol.md defines
//! them under "Memory residency". Pure; no device code.

use crate::fold::add;
use crate::philox::{Multiply, block};

/// Words (four u32) of a block.
pub const BLOCK_WORDS: u32 = 256;
/// Bytes of a block.
pub const BLOCK_BYTES: u32 = 16 * BLOCK_WORDS;
/// W: columns of a leaf's fold, one a lane of a warp.
pub const FOLD_COLUMNS: u32 = 32;
/// Q: words of a column.
pub const FOLD_WORDS: u32 = 16;
/// Leaves of a tile, a complete subtree.
pub const LEAVES_PER_TILE: u32 = 256;

const _: () = assert!(
    FOLD_COLUMNS * FOLD_WORDS == 2 * BLOCK_WORDS,
    "a leaf folds every word of its two blocks once"
);
const _: () = assert!(BLOCK_BYTES == 4096, "the protocol's block");

/// Words of the counters that arenas and sweeps draw from: third word of P(·).
pub const DRAW_HALF_PASS: u32 = 1;
/// Of an iteration's offsets.
pub const DRAW_OFFSETS: u32 = 2;
/// Of a leaf's ρ.
pub const DRAW_RHO: u32 = 3;

/// ⌊e·n / 2³²⌋: below n.
#[inline(always)]
pub fn scale(multiply: impl Multiply, e: u32, n: u32) -> u32 {
    multiply(e, n).1
}

/// mix(x, y) of a half-pass.
#[inline(always)]
pub fn mix(multiply: impl Multiply, x: [u32; 4], y: [u32; 4]) -> [u32; 4] {
    let counter = [x[0].wrapping_add(y[2]), x[1].wrapping_add(y[3]), x[2], x[3]];
    add(block(multiply, counter, [y[0], y[1]]), x)
}
