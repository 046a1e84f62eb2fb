//! A miner in the oracle's style: runs a challenge and hands in a result.
//!
//! Keeps every leaf hash, as no real miner would, so that what it opens needs
//! no second computation.

use super::leaves::Leaves;
use super::tree::{audit_path, hash, tree_hash};
use crate::protocol::challenge::Challenge;
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::evidence::Evidence;
use crate::protocol::names::{Coin, Commitment, Root, State};
use crate::protocol::result::{LaneRoots, Opening, ResultDoc};
use crate::protocol::sample;
use crate::protocol::work::{IterationPlace, RunInputs};
use ed25519_dalek::{Signer, SigningKey};

/// A run that has computed everything and committed to nothing yet.
#[derive(Clone, Debug)]
pub struct Run {
    challenge: Challenge,
    uuids: Vec<Uuid>,
    /// Per lane s(g,0) … s(g,T).
    pub states: Vec<Vec<State>>,
    /// Per lane and iteration, the leaf hashes.
    pub leaves: Vec<Vec<Vec<Digest>>>,
}

impl Run {
    /// Executes `challenge` on one lane per UUID, iteration by iteration.
    pub fn of(challenge: &Challenge, uuids: &[Uuid]) -> Self {
        let work = challenge.work();
        let c = challenge.digest();
        let seeds: Vec<State> = (0..).zip(uuids).map(|(g, uuid)| seed(&c, g, uuid)).collect();
        let leaves = Leaves::of(&RunInputs { work, seeds: &seeds });
        Self::with(challenge, uuids, |lane, iteration, &state| {
            leaves.iteration(&IterationPlace { lane, iteration, state })
        })
    }

    /// The same with leaf hashes that `leaves` gives for lane g, iteration i and
    /// s(g,i−1): any miner, an honest one or not, is made of this.
    pub fn with(
        challenge: &Challenge,
        uuids: &[Uuid],
        mut leaves: impl FnMut(u32, u32, &State) -> Vec<Digest>,
    ) -> Self {
        let c = challenge.digest().0;
        let be32 = u32::to_be_bytes;
        let seed = |(g, uuid): (u32, &Uuid)| vec![seed(&challenge.digest(), g, uuid)];
        let mut states: Vec<Vec<State>> = (0..).zip(uuids).map(seed).collect();
        let mut all_leaves = vec![Vec::new(); uuids.len()];
        for i in 1..=challenge.iterations() {
            let mut roots = Vec::new();
            for (g, (states, of_lane)) in (0..).zip(states.iter().zip(&mut all_leaves)) {
                let state = states.last().expect("every lane has a seed");
                let hashes = leaves(g, i, state);
                roots.push(tree_hash(&hashes));
                of_lane.push(hashes);
            }
            let all_roots: Vec<u8> = roots.iter().flat_map(|root| root.0).collect();
            let x = match i % challenge.sync_interval() {
                0 => hash(&[b"gpu-attest/v1/sync\0", &c, &be32(i), &all_roots]).0.to_vec(),
                _ => Vec::new(),
            };
            for (states, root) in states.iter_mut().zip(&roots) {
                let s = states.last().expect("every lane has a seed");
                states.push(State(hash(&[b"gpu-attest/v1/step\0", &s.0, &be32(i), &root.0, &x]).0));
            }
        }
        Self { challenge: challenge.clone(), uuids: uuids.to_vec(), states, leaves: all_leaves }
    }

    /// D(g,1) … D(g,T) of every lane.
    pub fn lanes(&self) -> Vec<LaneRoots> {
        let roots = |leaves: &[Vec<Digest>]| leaves.iter().map(|l| Root(tree_hash(l).0)).collect();
        let both = self.uuids.iter().zip(&self.leaves);
        both.map(|(&uuid, leaves)| LaneRoots { uuid, iteration_roots: roots(leaves) }).collect()
    }

    /// What the run and `evidence` commit to.
    pub fn commitment(&self, evidence: &Evidence) -> Commitment {
        let lanes = (self.uuids.len() as u32).to_be_bytes();
        let last = |states: &Vec<State>| states.last().expect("every lane has a seed").0;
        let finals: Vec<u8> = self.states.iter().flat_map(last).collect();
        let e = hash(&[evidence.canonical()]);
        let c = self.challenge.digest();
        Commitment(hash(&[b"gpu-attest/v1/commit\0", &c.0, &lanes, &finals, &e.0]).0)
    }

    /// The complete result; `key` signs it if the challenge names a miner.
    pub fn result(
        &self,
        evidence: Evidence,
        coin: Option<Coin>,
        key: Option<&SigningKey>,
    ) -> ResultDoc {
        let commitment = self.commitment(&evidence);
        let lanes = self.uuids.len() as u32;
        let open = |point: sample::SamplePoint| {
            let leaves = &self.leaves[point.lane as usize][point.iteration as usize - 1];
            let path = audit_path(point.leaf as usize, leaves);
            Opening { lane: point.lane, iteration: point.iteration, leaf: point.leaf, path }
        };
        let points = sample::derive(&self.challenge, lanes, &commitment, coin.as_ref());
        let sign = |key: &SigningKey| {
            let c = self.challenge.digest().0;
            key.sign(&[b"gpu-attest/v1/miner\0", &c[..], &commitment.0].concat()).to_bytes()
        };
        ResultDoc {
            challenge_digest: self.challenge.digest(),
            commitment,
            coin,
            lanes: self.lanes(),
            evidence,
            openings: points.into_iter().map(open).collect(),
            device_reports: Vec::new(),
            machine_report: None,
            miner_signature: key.map(sign),
        }
    }
}

/// s(g,0).
fn seed(challenge: &Digest, lane: u32, uuid: &Uuid) -> State {
    State(hash(&[b"gpu-attest/v1/lane\0", &challenge.0, &lane.to_be_bytes(), &uuid.0]).0)
}

/// Runs `challenge` outside a live session, unsigned.
pub fn execute(challenge: &Challenge, uuids: &[Uuid], evidence: Evidence) -> ResultDoc {
    Run::of(challenge, uuids).result(evidence, None, None)
}
