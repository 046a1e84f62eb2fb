//! Hashes of leaves and tiles, block by block through SHA-256's compression function: the
//! messages have fixed lengths, so their padding is laid out once.

use crate::protocol::digest::Digest;
use sha2::block_api::compress256;

/// SHA-256's initial value (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];

/// Blocks of 0x01 ‖ two digests, padded.
const NODE_BLOCKS: usize = 2;

/// The hash of a leaf whose message is a fold: one block.
pub(super) fn short_leaf_hash(message: &[u8; 16]) -> Digest {
    let mut blocks = [[0; 64]];
    finish(blocks.as_flattened_mut(), 0x00, 16);
    blocks[0][1..17].copy_from_slice(message);
    digest(&blocks)
}

/// The root over a tile's leaf hashes, whose count is a power of two. The
/// slice is overwritten.
pub(super) fn tile_root(leaves: &mut [Digest]) -> Digest {
    let mut blocks = [[0; 64]; NODE_BLOCKS];
    finish(blocks.as_flattened_mut(), 0x01, 64);
    let mut count = leaves.len();
    assert!(count.is_power_of_two(), "a tile is a complete subtree");
    while count > 1 {
        for node in 0..count / 2 {
            let bytes = blocks.as_flattened_mut();
            bytes[1..33].copy_from_slice(&leaves[2 * node].0);
            bytes[33..65].copy_from_slice(&leaves[2 * node + 1].0);
            leaves[node] = digest(&blocks);
        }
        count /= 2;
    }
    leaves[0]
}

/// Writes the prefix byte and the padding of a message of 1 + `length` bytes.
pub(super) fn finish(bytes: &mut [u8], prefix: u8, length: u64) {
    let end = bytes.len();
    bytes[0] = prefix;
    bytes[1 + length as usize] = 0x80;
    bytes[end - 8..].copy_from_slice(&(8 * (1 + length)).to_be_bytes());
}

/// The hash of a message in whole, padded blocks.
pub(super) fn digest(blocks: &[[u8; 64]]) -> Digest {
    let mut state = INITIAL;
    compress256(&mut state, blocks);
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    Digest(bytes)
}

#[cfg(test)]
mod tests {
    use super::{short_leaf_hash, tile_root};
    use crate::protocol::digest::Digest;

    #[test]
    fn a_short_leafs_hash_is_sha256_of_the_prefixed_message() {
        let message: [u8; 16] = std::array::from_fn(|i| 17 * i as u8);
        assert_eq!(short_leaf_hash(&message), Digest::of(&[&[0], &message]));
    }

    #[test]
    fn tile_root_is_the_tree_of_prefixed_pairs() {
        let leaves: Vec<Digest> = (0..8u8).map(|i| Digest([i; 32])).collect();
        let node = |l: Digest, r: Digest| Digest::of(&[&[1], &l.0, &r.0]);
        let pair = |i: usize| node(leaves[i], leaves[i + 1]);
        let expected = node(node(pair(0), pair(2)), node(pair(4), pair(6)));
        assert_eq!(tile_root(&mut leaves.clone()), expected);
        assert_eq!(tile_root(&mut leaves[..1].to_vec()), leaves[0]);
    }
}
