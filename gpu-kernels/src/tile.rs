//! Geometry of tiles, leaves and packed operands: constants, the relations
//! between them, and the two index functions that every kernel and the host
//! must agree on. Pure; no device code.

/// Rows and columns of a tile of C.
pub const TILE: u32 = 128;
/// Leaves of a tile: one per thread of the plain product kernels.
pub const LEAVES_PER_TILE: u32 = 256;
/// Outputs in a leaf (8 rows × 8 columns).
pub const OUTPUTS_PER_LEAF: u32 = 64;
/// Inner indices in a slab: what one pipeline stage of a product kernel holds.
pub const SLAB_K: u32 = 16;
/// Doubles in a slab: 128 vectors × 16 inner indices, 16 KiB.
pub const SLAB_DOUBLES: u32 = TILE * SLAB_K;

const _: () = assert!(
    TILE * TILE == LEAVES_PER_TILE * OUTPUTS_PER_LEAF,
    "the leaves of a tile must cover it exactly"
);

/// Position, in doubles, of element `k` of vector `x` (0…127) in its panel.
///
/// A panel holds 128 vectors (rows of A, columns of B) of any length, cut
/// into groups of four inner indices. Inside a group of sixteen vectors, the
/// vectors x and x+8 are neighbours, so that one 16-byte read serves two
/// fragments; the exclusive-or spreads the eight 16-byte columns over the
/// shared-memory banks for a tensor-core read (lane = 4·(x mod 8) + k mod 4)
/// as well as for a read of one k by all lanes.
#[inline(always)]
pub const fn packed_offset(x: u32, k: u32) -> u32 {
    let (block, pair, gamma) = (x >> 4, (x >> 3) & 1, x & 7);
    let (k8, half, tau) = (k >> 3, (k >> 2) & 1, k & 3);
    ((k8 * 8 + block) * 2 + half) * 64 + (tau * 8 + (gamma ^ (2 * tau))) * 2 + pair
}
