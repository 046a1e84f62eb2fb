//! Leaf hashes of products: a message of fixed length, whose padding is laid out once.

use crate::protocol::digest::Digest;
use crate::work::hash::{digest, finish};

/// Blocks of 0x00 ‖ 512 bytes, padded.
const LEAF_BLOCKS: usize = 9;

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

#[cfg(test)]
mod tests {
    use super::{LeafMessage, leaf_hash};
    use crate::protocol::digest::Digest;

    #[test]
    fn leaf_hash_is_sha256_of_the_prefixed_message() {
        let outputs: [f64; 64] = std::array::from_fn(|i| (i as f64 - 31.5) / 3.0);
        let mut message = vec![0];
        message.extend(outputs.iter().flat_map(|x| x.to_bits().to_be_bytes()));
        assert_eq!(leaf_hash(&outputs), Digest::of(&[&message]));
        assert_eq!(LeafMessage::new().hash(), Digest::of(&[&[0; 513]]));
    }
}
