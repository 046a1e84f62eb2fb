//! Openings that lead elsewhere: paths cut or grown, trees built by other rules,
//! inner nodes passed off as leaves, openings left out or given twice.

use super::{Say, UUIDS, alone};
use crate::common::spec;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::digest::Digest;
use attest::protocol::merkle::{node_hash, path_len};
use attest::protocol::names::Root;
use attest::protocol::result::{LaneRoots, Opening, ResultDoc, commit};
use attest::protocol::sample::derive;
use attest::reference::{Oracle, Run};

/// Nine tiles, so 2304 leaves: the tree has odd nodes above the tiles.
fn challenge() -> Challenge {
    Challenge::issue(ChallengeSpec {
        work: crate::common::products(384, 1),
        num_iterations: 1,
        samples_per_iteration: 60,
        ..spec()
    })
    .unwrap()
}

fn honest() -> (Challenge, ResultDoc) {
    let challenge = challenge();
    let result = Say::honestly(&challenge).result(None);
    assert_eq!(alone(&challenge, &result), "verified");
    (challenge, result)
}

/// The code after `change` of every opening.
fn changed(change: impl Fn(&mut Opening)) -> &'static str {
    let (challenge, mut result) = honest();
    result.openings.iter_mut().for_each(change);
    alone(&challenge, &result)
}

#[test]
fn truncated_and_overlong() {
    assert_eq!(changed(|opening| opening.path.clear()), "path-length");
    assert_eq!(changed(|opening| opening.path.truncate(opening.path.len() - 1)), "path-length");
    assert_eq!(changed(|opening| opening.path = opening.path[1..].to_vec()), "path-length");
    assert_eq!(changed(|opening| opening.path.push(Digest::default())), "path-length");
    assert_eq!(changed(|opening| opening.path.push(opening.path[0])), "path-length");
    assert_eq!(changed(|opening| opening.path.insert(0, opening.path[0])), "path-length");
}

#[test]
fn swapped_siblings() {
    assert_eq!(changed(|opening| opening.path.swap(0, 1)), "leaf-mismatch");
    assert_eq!(changed(|opening| opening.path.reverse()), "leaf-mismatch");
    // Two leaves of one iteration with each other's paths.
    let (challenge, mut result) = honest();
    let length = |o: &Opening| o.path.len();
    let other =
        result.openings.iter().skip(1).position(|o| length(o) == length(&result.openings[0]));
    let (first, rest) = result.openings.split_at_mut(1);
    std::mem::swap(&mut first[0].path, &mut rest[other.unwrap()].path);
    assert_eq!(alone(&challenge, &result), "leaf-mismatch");
}

#[test]
fn the_sibling_is_never_the_miners_to_place() {
    // The sibling's place follows from the leaf's index: naming the sibling's index
    // instead is another opening than the one that is due.
    assert_eq!(changed(|opening| opening.leaf ^= 1), "openings-mismatch");
}

/// What stands in a path where an odd last node has no sibling.
#[derive(Clone, Copy, PartialEq)]
enum Odd {
    Nothing,
    Itself,
    /// As far as the path may be long.
    ItselfWithin,
}

/// A result over leaves of honest work, whose tree is built by the miner's own
/// rule: levels from `level_above`.
fn with_tree(level_above: impl Fn(&[Digest]) -> Vec<Digest>, odd: Odd) -> &'static str {
    let challenge = challenge();
    let leaves = Run::of(&challenge, &UUIDS[..1]).leaves[0][0].clone();
    let mut levels = vec![leaves];
    while levels.last().unwrap().len() > 1 {
        levels.push(level_above(levels.last().unwrap()));
    }
    let iteration_roots = vec![Root::of_tree(levels.last().unwrap()[0])];
    let lanes = vec![LaneRoots { uuid: UUIDS[0], iteration_roots }];
    let evidence = super::cpu_evidence(&UUIDS[..1]);
    let commitment = commit(&challenge, &lanes, &evidence);
    let count = challenge.work().leaves();
    let open = |point: attest::protocol::sample::SamplePoint| {
        let sibling = |(up, level): (usize, &Vec<Digest>)| {
            let at = point.leaf as usize >> up;
            let itself = level.get(at).filter(|_| odd != Odd::Nothing);
            level.get(at ^ 1).or(itself).copied()
        };
        let below_root = &levels[..levels.len() - 1];
        let mut path: Vec<Digest> = below_root.iter().enumerate().filter_map(sibling).collect();
        if odd == Odd::ItselfWithin {
            path.truncate(path_len(point.leaf, count));
        }
        Opening { lane: 0, iteration: point.iteration, leaf: point.leaf, path }
    };
    let points = derive(&challenge, 1, &commitment, None);
    // The last tile, whose nodes are odd, is among the samples.
    assert!(points.iter().any(|point| point.leaf >= 8 * 256));
    let openings = points.into_iter().map(open).collect();
    let challenge_digest = challenge.digest();
    let result = ResultDoc {
        challenge_digest,
        commitment,
        coin: None,
        lanes,
        evidence,
        openings,
        device_reports: Vec::new(),
        machine_report: None,
        miner_signature: None,
    };
    alone(&challenge, &result)
}

fn pairs(level: &[Digest], odd: impl Fn(&Digest) -> Digest) -> Vec<Digest> {
    let pair = |pair: &[Digest]| match pair {
        [left, right] => node_hash(left, right),
        last => odd(&last[0]),
    };
    level.chunks(2).map(pair).collect()
}

#[test]
fn odd_nodes_doubled() {
    // As in Bitcoin's trees, where two lists of leaves can have one root.
    let doubled = |level: &[Digest]| pairs(level, |odd| node_hash(odd, odd));
    assert_eq!(with_tree(doubled, Odd::Itself), "path-length");
    assert_eq!(with_tree(doubled, Odd::ItselfWithin), "leaf-mismatch");
}

#[test]
fn other_rules_for_trees() {
    let promoted = |level: &[Digest]| pairs(level, |odd| *odd);
    assert_eq!(with_tree(promoted, Odd::Nothing), "verified");
    let without_prefix = |level: &[Digest]| -> Vec<Digest> {
        let node = |pair: &[Digest]| match pair {
            [left, right] => Digest::of(&[&left.0, &right.0]),
            odd => odd[0],
        };
        level.chunks(2).map(node).collect()
    };
    assert_eq!(with_tree(without_prefix, Odd::Nothing), "leaf-mismatch");
    let sorted = |level: &[Digest]| -> Vec<Digest> {
        let node = |pair: &[Digest]| match pair {
            [left, right] => node_hash(left.min(right), left.max(right)),
            odd => odd[0],
        };
        level.chunks(2).map(node).collect()
    };
    assert_eq!(with_tree(sorted, Odd::Nothing), "leaf-mismatch");
}

#[test]
fn a_leaf_as_a_node() {
    // The 64 bytes of two children as the message of a leaf: H(0x00 ‖ …) is not
    // H(0x01 ‖ …), so no node is a leaf's hash. A tree one level short, whose
    // leaves are the parents of the real ones:
    let challenge = challenge();
    let run = Run::with(&challenge, &UUIDS[..1], |_, _, state| {
        let leaves = Oracle.iteration_leaves(challenge.work().fp64_product().unwrap(), state);
        let parents = pairs(&leaves, |odd| *odd);
        // Its leaves must still be as many: the parents, twice.
        [parents.clone(), parents].concat()
    });
    assert_eq!(alone(&challenge, &Say::of(run).result(None)), "leaf-mismatch");
    // The right tree, and paths that start at the parents.
    assert_eq!(changed(|opening| opening.path = opening.path[1..].to_vec()), "path-length");
}

#[test]
fn openings_left_out_or_given_twice() {
    let tampered = |tamper: &dyn Fn(&mut Vec<Opening>)| {
        let (challenge, mut result) = honest();
        tamper(&mut result.openings);
        alone(&challenge, &result)
    };
    assert_eq!(tampered(&|openings| openings.clear()), "openings-mismatch");
    assert_eq!(tampered(&|openings| openings.truncate(1)), "openings-mismatch");
    // One honest opening in the place of all.
    let one_for_all = |openings: &mut Vec<Opening>| {
        let (one, count) = (openings[0].clone(), openings.len());
        *openings = vec![one; count];
    };
    assert_eq!(tampered(&one_for_all), "openings-mismatch");
    assert_eq!(tampered(&|openings| openings.push(openings[0].clone())), "openings-mismatch");
    assert_eq!(tampered(&|openings| openings.reverse()), "openings-mismatch");
}
