//! Geometry of tiles, leaves and packed operands: constants, the relations
//! between them, and where elements lie, on which every kernel and the host
//! must agree. Pure; no device code.

/// Rows and columns of a tile of C.
pub const TILE: u32 = 128;
/// Leaves of a tile: one per thread of the plain product kernels.
pub const LEAVES_PER_TILE: u32 = 256;
/// Outputs in a leaf (8 rows × 8 columns).
pub const OUTPUTS_PER_LEAF: u32 = 64;
/// Inner indices in a slab: what one pipeline stage of `gemm_m8n8k4` holds.
pub const SLAB_K: u32 = 16;
/// Doubles in a slab: 128 vectors × 16 inner indices, 16 KiB.
pub const SLAB_DOUBLES: u32 = TILE * SLAB_K;

const _: () = assert!(
    TILE * TILE == LEAVES_PER_TILE * OUTPUTS_PER_LEAF,
    "the leaves of a tile must cover it exactly"
);

/// How a panel is packed: which elements are neighbours, so that one 16-byte read
/// serves two registers of a fragment.
///
/// A panel holds 128 vectors (rows of A, columns of B) of any length, in
/// chunks of 64 doubles: eight vectors by four inner indices, by two of either
/// kind. An exclusive-or spreads a chunk's 16-byte words over the shared-memory
/// banks for a tensor-core read (lane = 4·(x mod 8) + k mod 4) as well as for a
/// read of one k by all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Packing {
    /// Vectors x and x+8: the rows of an m16 fragment of A, and what reads both
    /// operands one inner index at a time.
    VectorPairs = 0,
    /// Inner indices k and k+4: a k8 fragment of B.
    IndexPairs = 1,
}

impl Packing {
    /// Position, in doubles, of element `k` of vector `x` (0…127) in its panel.
    #[inline(always)]
    pub const fn offset(self, x: u32, k: u32) -> u32 {
        let (eight, half, word) = (x >> 3, (k >> 2) & 1, word_in_chunk(x & 7, k & 3) * 2);
        match self {
            Self::VectorPairs => {
                (((k >> 3) * 8 + (eight >> 1)) * 2 + half) * 64 + word + (eight & 1)
            }
            Self::IndexPairs => ((k >> 3) * 16 + eight) * 64 + word + half,
        }
    }
}

/// Which 16-byte word of a chunk: vector γ of eight, inner index τ of four.
#[inline(always)]
pub const fn word_in_chunk(gamma: u32, tau: u32) -> u32 {
    tau * 8 + (gamma ^ (2 * tau))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_uses_every_place_of_a_slab_once() {
        for packing in [Packing::VectorPairs, Packing::IndexPairs] {
            let mut seen = vec![false; SLAB_DOUBLES as usize];
            for x in 0..TILE {
                for k in 0..SLAB_K {
                    assert!(!std::mem::replace(&mut seen[packing.offset(x, k) as usize], true));
                }
            }
            assert!(seen.iter().all(|&s| s));
        }
    }
}
