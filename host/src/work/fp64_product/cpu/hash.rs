//! Leaf and node hashes of whole tiles, block by block through SHA-256's
//! compression function: the messages have fixed lengths, so their padding is
//! laid out once.

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

/// Blocks of 0x00 ‖ 512 bytes, padded.
const LEAF_BLOCKS: usize = 9;
/// Blocks of 0x01 ‖ two digests, padded.
const NODE_BLOCKS: usize = 2;

/// A padded leaf message, to be filled in.
pub(super) struct LeafMessage([[u8; 64]; LEAF_BLOCKS]);

impl LeafMessage {
    /// All outputs +0.0.
    pub(super) fn new() -> Self {
        let mut blocks = [[0; 64]; LEAF_BLOCKS];
        finish(blocks.as_flattened_mut(), 0x00, 512);
        Self(blocks)
    }

    /// Writes outputs `2·at` and `2·at + 1` of the leaf, at < 32.
    #[inline(always)]
    pub(super) fn set_pair(&mut self, at: usize, pair: [f64; 2]) {
        let bytes = &mut self.0.as_flattened_mut()[1 + 16 * at..][..16];
        bytes[..8].copy_from_slice(&pair[0].to_bits().to_be_bytes());
        bytes[8..].copy_from_slice(&pair[1].to_bits().to_be_bytes());
    }

    /// H(0x00 ‖ message).
    pub(super) fn hash(&self) -> Digest {
        digest(&self.0)
    }
}

/// The hash of a leaf given its 64 outputs in message order.
pub(super) fn leaf_hash(outputs: &[f64; 64]) -> Digest {
    let mut message = LeafMessage::new();
    for (at, pair) in outputs.as_chunks::<2>().0.iter().enumerate() {
        message.set_pair(at, *pair);
    }
    message.hash()
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
fn finish(bytes: &mut [u8], prefix: u8, length: u64) {
    let end = bytes.len();
    bytes[0] = prefix;
    bytes[1 + length as usize] = 0x80;
    bytes[end - 8..].copy_from_slice(&(8 * (1 + length)).to_be_bytes());
}

fn digest(blocks: &[[u8; 64]]) -> Digest {
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
    use super::{LeafMessage, leaf_hash, tile_root};
    use crate::protocol::digest::Digest;

    #[test]
    fn leaf_hash_is_sha256_of_the_prefixed_message() {
        let outputs: [f64; 64] = std::array::from_fn(|i| (i as f64 - 31.5) / 3.0);
        let mut message = vec![0];
        message.extend(outputs.iter().flat_map(|x| x.to_bits().to_be_bytes()));
        assert_eq!(leaf_hash(&outputs), Digest::of(&[&message]));
        assert_eq!(LeafMessage::new().hash(), Digest::of(&[&[0; 513]]));
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
