//! Digests between the device's words and the protocol's bytes.

use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use gpu_kernels::abi::{ChainState, DigestWords};

/// Words of a digest.
pub(crate) const DIGEST_WORDS: usize = 8;
/// Words of a [`ChainState`].
pub(crate) const CHAIN_WORDS: usize = size_of::<ChainState>() / 4;

/// A digest as the device holds it.
pub(crate) fn of_digest(digest: &Digest) -> DigestWords {
    of_bytes(&digest.0)
}

/// A state as the device holds it.
pub(crate) fn of_state(state: &State) -> DigestWords {
    of_bytes(&state.0)
}

fn of_bytes(bytes: &[u8; 32]) -> DigestWords {
    let (words, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|at| u32::from_be_bytes(words[at]))
}

/// A digest from the device's words.
fn to_digest(words: &DigestWords) -> Digest {
    let mut bytes = [0; 32];
    for (to, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *to = word.to_be_bytes();
    }
    Digest(bytes)
}

/// Every digest in `words`.
pub(crate) fn to_digests(words: &[u32]) -> impl ExactSizeIterator<Item = Digest> {
    words.as_chunks::<DIGEST_WORDS>().0.iter().map(to_digest)
}

/// A chain that is about to compute `iteration` in slot 0.
pub(super) fn of_chain(state: &State, iteration: u32) -> [u32; CHAIN_WORDS] {
    let mut words = [0; CHAIN_WORDS];
    words[..DIGEST_WORDS].copy_from_slice(&of_state(state));
    words[DIGEST_WORDS] = iteration;
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn words_are_big_endian_numbers_of_the_bytes() {
        let digest = Digest(std::array::from_fn(|at| at as u8));
        let words = of_digest(&digest);
        assert_eq!((words[0], words[7]), (0x0001_0203, 0x1c1d_1e1f));
        assert_eq!(to_digest(&words), digest);
        assert_eq!(to_digests(&[words, words].concat()).collect::<Vec<_>>(), [digest, digest]);
    }

    #[test]
    fn a_chain_is_laid_out_as_its_struct() {
        assert_eq!(offset_of!(ChainState, state), 0);
        assert_eq!(offset_of!(ChainState, iteration), 4 * DIGEST_WORDS);
        let words = of_chain(&State([1; 32]), 7);
        assert_eq!(words, [[0x0101_0101; 8].as_slice(), &[7, 0, 0, 0]].concat()[..]);
    }
}
