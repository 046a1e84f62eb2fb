//! Merkle trees as in RFC 6962 section 2.1 and RFC 9162 section 2.1.
//!
//! Guarantees: leaf and node hashes are kept apart by their first byte; an odd
//! node moves up unhashed; the length and the sides of a path follow from index
//! and count alone, never from the path.
//! Deliberately lacks: consistency proofs.

use super::digest::Digest;

/// H(0x00 ‖ message).
pub fn leaf_hash(message: &[u8]) -> Digest {
    Digest::of(&[&[0], message])
}

/// H(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of(&[&[1], &left.0, &right.0])
}

/// The next level up: pairs hashed, an odd last node as it is.
fn level_above(nodes: &[Digest]) -> Vec<Digest> {
    nodes
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node_hash(left, right),
            odd => odd[0],
        })
        .collect()
}

/// The root over leaf hashes (or over the roots of complete subtrees of one
/// size, in order); `None` if there are none.
pub fn root(leaves: &[Digest]) -> Option<Digest> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level_above(&level);
    }
    level.first().copied()
}

/// A whole tree, for whoever takes many paths from it.
pub struct Tree {
    /// From the leaves up; the last has one node, or none.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over leaf hashes, or over the roots of complete subtrees.
    pub fn over(leaves: &[Digest]) -> Self {
        let mut levels = vec![leaves.to_vec()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(level_above(level));
        }
        Self { levels }
    }

    /// The root; `None` if there are no leaves.
    pub fn root(&self) -> Option<Digest> {
        self.levels.last()?.first().copied()
    }

    /// The audit path of leaf `index`, from its sibling upwards.
    ///
    /// # Panics
    /// If `index` is not below the number of leaves.
    pub fn path(&self, index: usize) -> Vec<Digest> {
        let count = self.levels[0].len();
        assert!(index < count, "leaf {index} of {count}");
        let sibling = |(up, level): (usize, &Vec<Digest>)| level.get((index >> up) ^ 1).copied();
        self.levels.iter().enumerate().filter_map(sibling).collect()
    }
}

/// The audit path of one leaf, from its sibling upwards.
///
/// # Panics
/// If `index` is not below the number of leaves.
pub fn path(leaves: &[Digest], index: usize) -> Vec<Digest> {
    Tree::over(leaves).path(index)
}

/// How many digests the path of leaf `index` of `count` has. 0 if the index
/// is not below the count.
pub fn path_len(index: u64, count: u64) -> usize {
    let (mut at, mut last, mut len) = (index, count.saturating_sub(1), 0);
    if at > last {
        return 0;
    }
    while last > 0 {
        // A node has a sibling unless it is the odd last one of its level.
        len += usize::from(at ^ 1 <= last);
        (at, last) = (at / 2, last / 2);
    }
    len
}

/// The root that `path` leads to from leaf hash `leaf`; `None` if the index
/// is not below the count or the path has not exactly its length.
pub fn root_from_path(leaf: &Digest, index: u64, count: u64, path: &[Digest]) -> Option<Digest> {
    if index >= count || path.len() != path_len(index, count) {
        return None;
    }
    let (mut at, mut last, mut node) = (index, count - 1, *leaf);
    let mut siblings = path.iter();
    while last > 0 {
        if at ^ 1 <= last {
            let sibling = siblings.next()?;
            node = if at % 2 == 0 { node_hash(&node, sibling) } else { node_hash(sibling, &node) };
        }
        (at, last) = (at / 2, last / 2);
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::{Tree, leaf_hash, path, path_len, root, root_from_path};
    use crate::digest::Digest;

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count as u32).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_path_of_small_trees_leads_to_the_root_and_no_other_length_does() {
        for count in 1..70 {
            let leaves = leaves(count);
            for index in 0..count {
                let (i, n) = (index as u64, count as u64);
                let mut path = path(&leaves, index);
                assert_eq!(path.len(), path_len(i, n));
                assert_eq!(root_from_path(&leaves[index], i, n, &path), root(&leaves));
                path.push(Digest::default());
                assert_eq!(root_from_path(&leaves[index], i, n, &path), None);
                path.truncate(path.len().saturating_sub(2));
                if n > 1 {
                    assert_eq!(root_from_path(&leaves[index], i, n, &path), None);
                }
                assert_eq!(root_from_path(&leaves[index], n, n, &path), None);
            }
        }
        assert_eq!(root(&[]), None);
        assert_eq!(Tree::over(&[]).root(), None);
    }

    #[test]
    fn tiles_are_complete_subtrees() {
        for tiles in [1, 2, 3, 5, 9] {
            let leaves = leaves(tiles * 256);
            let roots: Vec<_> = leaves.chunks(256).map(|tile| root(tile).unwrap()).collect();
            assert_eq!(root(&roots), root(&leaves));
            for index in [0, 1, 255, tiles * 256 - 1, tiles * 128] {
                let (tile, leaf) = (index / 256, index % 256);
                let of_tile = &leaves[tile * 256..][..256];
                // A tile's path is followed by the path of its root.
                let by_tile = [path(of_tile, leaf), Tree::over(&roots).path(tile)].concat();
                assert_eq!(by_tile, path(&leaves, index));
            }
        }
    }
}
