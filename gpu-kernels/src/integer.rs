//! Geometry of integer products: tiles, leaves, and where operands lie packed, on
//! which every kernel and the host must agree. Pure; no device code.

use crate::tile::TILE;

/// Inner indices of a chunk of a panel.
pub const CHUNK_K: u32 = 128;
/// Bytes of a chunk: 128 vectors (rows of A, columns of B) of int8.
pub const CHUNK_BYTES: u32 = TILE * CHUNK_K;
/// Inner indices of a piece: what one Philox block draws and one 16-byte access moves.
pub const PIECE_K: u32 = 16;
/// Leaves of a tile, a complete subtree: rows r and r + 8, all columns of the tile.
pub const LEAVES_PER_TILE: u32 = 64;
/// W: columns of a leaf's fold, one a lane of a quad.
pub const FOLD_COLUMNS: u32 = 4;
/// Q: words of a column.
pub const FOLD_WORDS: u32 = 16;
/// Bytes of a leaf's message, its fold.
pub const MESSAGE_BYTES: u32 = 16;

const _: () = assert!(
    TILE * TILE == LEAVES_PER_TILE * FOLD_COLUMNS * FOLD_WORDS * 4,
    "the leaves of a tile must cover it exactly"
);
const _: () = assert!(CHUNK_K == 8 * PIECE_K, "an exclusive-or with v mod 8 stays in the chunk");

/// Position, in bytes, of element `k` of vector `v` (0…127) in its panel.
///
/// A panel is one chunk of 128 inner indices after the other. In a chunk, each vector
/// has 128 contiguous bytes, whose pieces of sixteen are exchanged by an exclusive-or
/// with v mod 8: the swizzle of 128 bytes that `wgmma` and `ldmatrix` read from
/// shared memory without bank conflicts.
#[inline(always)]
pub const fn offset(v: u32, k: u32) -> u64 {
    let (chunk, piece) = (k / CHUNK_K, k % CHUNK_K / PIECE_K);
    chunk as u64 * CHUNK_BYTES as u64
        + (v * CHUNK_K + (piece ^ (v % 8)) * PIECE_K + k % PIECE_K) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_uses_every_byte_of_a_panel_once() {
        let dim = 3 * CHUNK_K;
        let mut seen = vec![false; (TILE * dim) as usize];
        for v in 0..TILE {
            for k in 0..dim {
                assert!(!std::mem::replace(&mut seen[offset(v, k) as usize], true));
            }
        }
        assert!(seen.iter().all(|&s| s));
    }

    #[test]
    fn pieces_of_eight_vectors_lie_in_different_banks() {
        for piece in 0..8 {
            let banks = |v: u32| offset(v, piece * PIECE_K) % 128 / 16;
            assert_eq!((0..8).map(banks).fold(0, |all, bank| all | 1 << bank), 0xff);
        }
    }
}
