//! Sampled leaves of products over the cores: leaves of one product together, since they
//! share rows and columns; few products cut into parts; hashes back in the order of requests.
//!
//! Runs in the rayon pool of the caller. Deliberately lacks what a leaf is made of: kinds of
//! work compute the leaves of a part themselves.

use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::protocol::verify::LeafRequest;
use rayon::prelude::*;

/// Fewest leaves for which a product's leaves are shared out to another core, which then
/// generates some rows and columns a second time.
const LEAVES_PER_CORE_MIN: usize = 16;

/// The hashes of leaves at `places`, one a request, in request order. `product` and `within`
/// say in which product a place lies and in which order a part takes its leaves; a part has
/// at most `leaves_max`. `compute` takes the state and the places of a part, and a core's own
/// scratch memory.
pub(super) fn leaf_hashes<P, K, S>(
    requests: &[LeafRequest],
    places: &[P],
    product: impl Fn(&P) -> u32,
    within: impl Fn(&P) -> K,
    leaves_max: usize,
    compute: impl Fn(&State, &[P], &mut S) -> Vec<Digest> + Sync,
) -> Vec<Digest>
where
    P: Copy + Send + Sync,
    K: Ord,
    S: Default + Send,
{
    let product = |at: usize| (&requests[at].at.state, product(&places[at]));
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_unstable_by_key(|&at| (product(at), within(&places[at]), at));
    let products: Vec<&[usize]> = order.chunk_by(|&a, &b| product(a) == product(b)).collect();
    // Few products: the leaves of each are shared out over several cores.
    let cores_each = rayon::current_num_threads().div_ceil(products.len().max(1));
    let parts: Vec<&[usize]> = products
        .iter()
        .flat_map(|leaves| {
            let parts = cores_each.min(leaves.len() / LEAVES_PER_CORE_MIN).max(1);
            leaves.chunks(leaves.len().div_ceil(parts).min(leaves_max))
        })
        .collect();
    let hashes: Vec<Vec<Digest>> = parts
        .par_iter()
        .map_init(S::default, |scratch, part| {
            let places: Vec<P> = part.iter().map(|&at| places[at]).collect();
            compute(&requests[part[0]].at.state, &places, scratch)
        })
        .collect();
    let mut ordered = vec![Digest::default(); requests.len()];
    for (part, hashes) in parts.iter().zip(hashes) {
        for (&at, hash) in part.iter().zip(hashes) {
            ordered[at] = hash;
        }
    }
    ordered
}
