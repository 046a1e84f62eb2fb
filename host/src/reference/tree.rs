//! RFC 6962 section 2.1, by its own recursive definitions.

use crate::protocol::digest::Digest;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a concatenation.
pub fn hash(parts: &[&[u8]]) -> Digest {
    Digest(Sha256::digest(parts.concat()).into())
}

/// The hash of one leaf: SHA-256(0x00 ‖ message).
pub fn leaf_hash(message: &[u8]) -> Digest {
    hash(&[&[0x00], message])
}

/// k: the largest power of two smaller than `count` (at least 2).
fn split(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

/// MTH of a non-empty list whose leaves are hashed already.
///
/// # Panics
/// On an empty list, which no iteration has.
pub fn tree_hash(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => panic!("an iteration has leaves"),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            hash(&[&[0x01], &tree_hash(left).0, &tree_hash(right).0])
        }
    }
}

/// PATH(m, D\[n\]): from the leaf's sibling upwards.
pub fn audit_path(m: usize, leaves: &[Digest]) -> Vec<Digest> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if m < k {
        (audit_path(m, left), tree_hash(right))
    } else {
        (audit_path(m - k, right), tree_hash(left))
    };
    path.push(sibling);
    path
}

#[cfg(test)]
mod tests {
    use super::{audit_path, leaf_hash, tree_hash};
    use crate::protocol::merkle;

    #[test]
    fn recursion_and_the_protocols_levels_agree() {
        for count in 1..140_u32 {
            let leaves: Vec<_> = (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect();
            assert_eq!(Some(tree_hash(&leaves)), merkle::root(&leaves));
            for index in 0..count as usize {
                assert_eq!(audit_path(index, &leaves), merkle::path(&leaves, index));
            }
        }
    }
}
