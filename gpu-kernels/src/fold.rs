//! The arithmetic of a fold, as docs/protocol.md defines it under "Fold". Pure
//! per-thread arithmetic.

use crate::philox::{Multiply, round};

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

/// Column `column` of the fold of leaf `leaf` (low word first), before its first
/// word; key k0, k1 and tweak w.
#[inline(always)]
pub fn column_start(
    multiply: impl Multiply,
    column: u32,
    leaf: [u32; 2],
    key: [u32; 3],
) -> [u32; 4] {
    round(multiply, [column, leaf[0], key[2], leaf[1]], [key[0], key[1]])
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
