//! Merkle trees as in RFC 6962 section 2.1 and RFC 9162 section 2.1.
//!
//! Guarantees: leaf and node hashes are kept apart by their first byte; an odd
//! node moves up unhashed; the length and the sides of a path follow from index
//! and count alone, never from the path.
//! Deliberately lacks: consistency proofs, and holding a whole tree.

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
/// size, in order); `None` where there are none.
pub fn root(leaves: &[Digest]) -> Option<Digest> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level_above(&level);
    }
    level.first().copied()
}

/// The audit path of leaf `index`, from its sibling upwards.
///
/// # Panics
/// Where `index` is not below the number of leaves.
pub fn path(leaves: &[Digest], index: usize) -> Vec<Digest> {
    assert!(index < leaves.len(), "leaf {index} of {}", leaves.len());
    let mut path = Vec::new();
    let mut at = index;
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        path.extend(level.get(at ^ 1));
        level = level_above(&level);
        at /= 2;
    }
    path
}

/// How many digests the path of leaf `index` of `count` has. 0 where the index
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

/// The root that `path` leads to from leaf hash `leaf`; `None` where the index
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

/// The path of leaf `leaf` of tile `tile`, in the tree over all leaves of all
/// tiles, from the tile roots and that one tile's leaf hashes. A tile's 256
/// leaves are a complete subtree, so its path is followed by the tile's own.
///
/// # Panics
/// Where `leaf` or `tile` is out of range.
pub fn leaf_path_from_tiles(
    tile_roots: &[Digest],
    tile: u64,
    tile_leaves: &[Digest],
    leaf: u32,
) -> Vec<Digest> {
    assert!(tile_leaves.len().is_power_of_two(), "a tile is a complete subtree");
    let mut whole = path(tile_leaves, leaf as usize);
    whole.extend(path(tile_roots, usize::try_from(tile).expect("tile index fits memory")));
    whole
}

#[cfg(test)]
mod tests {
    use super::{leaf_hash, leaf_path_from_tiles, path, path_len, root, root_from_path};
    use crate::protocol::digest::Digest;

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
                let path_by_tile = leaf_path_from_tiles(&roots, tile as u64, of_tile, leaf as u32);
                assert_eq!(path_by_tile, path(&leaves, index));
            }
        }
    }
}
