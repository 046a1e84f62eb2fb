//! Lane seeds, sync digests, chain steps and the commitment, as docs/protocol.md
//! writes them under "Operands" and "Trees, chain, commitment".

use super::digest::{Digest, Uuid};
use super::names::{Commitment, Root, State};

/// s(g,0) = H("gpu-attest/v1/lane\0" ‖ c ‖ be32(g) ‖ uuid).
pub fn lane_seed(challenge: &Digest, lane: u32, uuid: &Uuid) -> State {
    State(Digest::of(&[b"gpu-attest/v1/lane\0", &challenge.0, &lane.to_be_bytes(), &uuid.0]).0)
}

/// X(i) over the lanes' roots of iteration i, in lane order.
pub fn sync_digest(challenge: &Digest, iteration: u32, roots: &[Root]) -> Digest {
    let i = iteration.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![b"gpu-attest/v1/sync\0", &challenge.0, &i];
    parts.extend(roots.iter().map(|root| root.0.as_slice()));
    Digest::of(&parts)
}

/// s(g,i) from s(g,i−1), D(g,i) and, at sync points only, X(i).
pub fn step(previous: &State, iteration: u32, root: &Root, sync: Option<&Digest>) -> State {
    let sync = sync.map_or(&[][..], |x| &x.0);
    let i = iteration.to_be_bytes();
    State(Digest::of(&[b"gpu-attest/v1/step\0", &previous.0, &i, &root.0, sync]).0)
}

/// The commitment to the lanes' final states s(g,T) and the evidence digest e.
pub fn commitment(challenge: &Digest, finals: &[State], evidence: &Digest) -> Commitment {
    let lanes = u32::try_from(finals.len()).expect("at most 64 lanes").to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![b"gpu-attest/v1/commit\0", &challenge.0, &lanes];
    parts.extend(finals.iter().map(|state| state.0.as_slice()));
    parts.push(&evidence.0);
    Commitment(Digest::of(&parts).0)
}
