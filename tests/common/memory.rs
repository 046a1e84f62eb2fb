//! The vector files of memory residency, as far as their numbers follow from the lanes'
//! seeds: chain, roots and openings, on whatever computes leaves.

use attest::protocol::chain::{lane_seed, step, sync_digest};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::merkle;
use attest::protocol::names::{Root, State};
use attest::protocol::work::memory_residency::MemoryResidency;
use base64::Engine as _;
use serde_json::Value;
use std::str::FromStr;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");

/// The runs among the vector files.
pub const RUNS: [&str; 3] = ["memory-bare", "memory-own", "memory-peers"];

/// A vector file's JSON.
pub fn json(name: &str) -> Value {
    let text = std::fs::read_to_string(format!("{FOLDER}/{name}.json")).expect("readable");
    serde_json::from_str(&text).expect("JSON")
}

pub fn digest(value: &Value) -> Digest {
    value.as_str().and_then(|text| text.parse().ok()).expect("64 hex digits")
}

/// A list of digests, states or roots.
fn digests<T: FromStr>(value: &Value) -> Vec<T> {
    value.as_array().expect("a list").iter().map(parsed).collect()
}

fn parsed<T: FromStr>(value: &Value) -> T {
    value.as_str().and_then(|text| text.parse().ok()).expect("64 hex digits")
}

/// A run of a vector file.
pub struct MemoryRun {
    pub name: &'static str,
    pub work: MemoryResidency,
    pub file: Value,
    /// s(g,0) of every lane.
    pub seeds: Vec<State>,
    challenge: Digest,
    sync_interval: u32,
}

/// Lane, iteration, s(g,i−1), leaf.
pub type Leaf = (u32, u32, State, u64);

impl MemoryRun {
    pub fn read(name: &'static str) -> Self {
        let file = json(name);
        let token = file["challenge"].as_str().expect("a token");
        let bytes = base64::engine::general_purpose::STANDARD.decode(token).unwrap();
        let challenge: Value = serde_json::from_slice(&bytes).unwrap();
        let number = |field: &str| challenge[field].as_u64();
        let count = |field: &str| number(field).expect("a required field");
        let work = MemoryResidency::new(
            count("arena_blocks"),
            count("half_passes"),
            count("peer_blocks"),
            number("gpu_count"),
        )
        .unwrap();
        let sync_interval = count("sync_interval") as u32;
        let challenge = Digest::of(&[&bytes]);
        assert_eq!(challenge, digest(&file["challenge_digest"]), "{name}");
        let seeds = digests(&file["lane_seeds"]);
        Self { name, work, file, seeds, challenge, sync_interval }
    }

    pub fn states(&self, lane: usize) -> Vec<State> {
        [vec![self.seeds[lane]], digests(&self.file["states"][lane])].concat()
    }

    /// Every opened leaf, and leaf 5 of lane 0's first iteration.
    pub fn opened(&self) -> Vec<Leaf> {
        let number = |value: &Value| value.as_u64().expect("a number");
        let opening = |opening: &Value| {
            let (lane, iteration) = (number(&opening["lane"]), number(&opening["iteration"]));
            let state = self.states(lane as usize)[iteration as usize - 1];
            (lane as u32, iteration as u32, state, number(&opening["leaf"]))
        };
        let openings = self.file["result"]["openings"].as_array().expect("a list");
        openings.iter().map(opening).chain([(0, 1, self.seeds[0], 5)]).collect()
    }

    /// Compares seeds, states, roots, paths and leaf 5 with those that follow from
    /// `leaves`, which has all leaf hashes of lane g and iteration i with s(g,i−1).
    pub fn reproduces(&self, mut leaves: impl FnMut(u32, u32, &State) -> Vec<Digest>) {
        let name = self.name;
        let lanes = self.file["result"]["lanes"].as_array().expect("a list");
        let iterations = digests::<State>(&self.file["states"][0]).len() as u32;
        let mut states: Vec<State> = Vec::new();
        for (g, lane) in (0..).zip(lanes) {
            let uuid: Uuid = lane["uuid"].as_str().unwrap().parse().unwrap();
            states.push(lane_seed(&self.challenge, g, &uuid));
        }
        assert_eq!(states, self.seeds, "{name}");
        let openings = self.file["result"]["openings"].as_array().expect("a list");
        let mut opened = 0;
        for i in 1..=iterations {
            let all: Vec<Vec<Digest>> = (0..).zip(&states).map(|(g, s)| leaves(g, i, s)).collect();
            if i == 1 {
                let expected = &self.file["lane0_iteration1_leaf5"]["hash"];
                assert_eq!(all[0][5], digest(expected), "{name}, leaf 5");
            }
            for opening in openings.iter().filter(|opening| opening["iteration"] == i) {
                let of_lane = &all[opening["lane"].as_u64().unwrap() as usize];
                let path = merkle::path(of_lane, opening["leaf"].as_u64().unwrap() as usize);
                assert_eq!(path, digests::<Digest>(&opening["path"]), "{name}: {opening}");
                opened += 1;
            }
            let roots: Vec<Root> =
                all.iter().map(|all| Root::of_tree(merkle::root(all).unwrap())).collect();
            let sync =
                (i % self.sync_interval == 0).then(|| sync_digest(&self.challenge, i, &roots));
            for (g, (state, root)) in states.iter_mut().zip(&roots).enumerate() {
                let at = i as usize - 1;
                assert_eq!(*root, parsed(&lanes[g]["iteration_roots"][at]), "{name} {g} {i}");
                *state = step(state, i, root, sync.as_ref());
                assert_eq!(*state, parsed(&self.file["states"][g][at]), "{name} {g} {i}");
            }
        }
        assert_eq!(opened, openings.len(), "{name}");
    }
}

/// One fold of the file of folds.
pub struct FoldCase {
    pub key: [u32; 2],
    pub tweak: u32,
    pub index: u64,
    pub columns: Vec<Vec<[u32; 4]>>,
    pub message: String,
}

/// All folds of the vector file.
pub fn folds() -> Vec<FoldCase> {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let hex32 = |value: &Value| u32::from_str_radix(&text(value), 16).unwrap();
    let case = |fold: &Value| {
        let bytes = hex::decode(text(&fold["words"])).unwrap();
        let u32s: Vec<u32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect();
        let words = u32s.as_chunks::<4>().0;
        let columns = fold["columns"].as_u64().unwrap() as usize;
        FoldCase {
            key: [hex32(&fold["key"][0]), hex32(&fold["key"][1])],
            tweak: hex32(&fold["tweak"]),
            index: text(&fold["index"]).parse().unwrap(),
            columns: words.chunks(words.len() / columns).map(<[_]>::to_vec).collect(),
            message: text(&fold["message"]),
        }
    };
    json("fold")["folds"].as_array().unwrap().iter().map(case).collect()
}
