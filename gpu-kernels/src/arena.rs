//! Geometry of arenas and the arithmetic of a half-pass and a fold, as
//! docs/protocol.md defines them under "Memory residency" and "Fold". Pure; no
//! device code.

use crate::philox::{Multiply, block, round};

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

/// Element by element, modulo 2³².
#[inline(always)]
pub fn add(a: [u32; 4], b: [u32; 4]) -> [u32; 4] {
    [
        a[0].wrapping_add(b[0]),
        a[1].wrapping_add(b[1]),
        a[2].wrapping_add(b[2]),
        a[3].wrapping_add(b[3]),
    ]
}

/// Column `column` of the fold of leaf `leaf`, before its first word; key k0, k1 and
/// tweak w.
#[inline(always)]
pub fn column_start(multiply: impl Multiply, column: u32, leaf: u32, key: [u32; 3]) -> [u32; 4] {
    // An arena has at most 2²⁸ leaves: the upper half of the index is zero.
    round(multiply, [column, leaf, key[2], 0], [key[0], key[1]])
}

/// A column once `word` is in it.
#[inline(always)]
pub fn absorb(
    multiply: impl Multiply,
    column: [u32; 4],
    word: [u32; 4],
    key: [u32; 3],
) -> [u32; 4] {
    let [a, b, c, d] = column;
    let [a, b, c, d] = round(multiply, [a ^ word[0], b, c ^ word[1], d], [key[0], key[1]]);
    round(multiply, [a ^ word[2], b, c ^ word[3], d], [key[0], key[1]])
}

/// Two columns that became one.
#[inline(always)]
pub fn join(multiply: impl Multiply, column: [u32; 4], other: [u32; 4], key: [u32; 3]) -> [u32; 4] {
    let key = [key[0], key[1]];
    round(multiply, round(multiply, add(column, other), key), key)
}
