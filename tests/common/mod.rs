//! What several tests share: the vectors' runs, an honest miner, and an oracle that
//! remembers.
#![allow(dead_code, reason = "each test uses its part")]

pub mod device;
pub mod machine;
pub mod memory;
pub mod ocsp;
pub mod site;

use attest::executor::Executor;
use attest::executor::cpu::{CpuExecutor, CpuOptions};
use attest::identity::SigningIdentity;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::names::{Root, State};
use attest::protocol::result::ResultDoc;
use attest::protocol::verified::{Extent, Verified};
use attest::protocol::verify::{
    Failure, LeafRequest, Means, Recompute, RecomputeError, RecomputeIteration, verify_with,
};
use attest::protocol::work::fp64_product::Fp64Fields;
use attest::protocol::work::integer_product::IntegerFields;
use attest::protocol::work::memory_residency::MemoryFields;
use attest::protocol::work::{IterationPlace, RunInputs, Work, WorkFields};
use attest::reference::tree::tree_hash;
use attest::reference::{Leaves, Oracle};
use attest::session::message::{Device, DeviceKind};
use attest::session::respond::{Miner, OnDemand};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{PipeReader, PipeWriter, Read as _, pipe};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where the vector files are.
pub const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");

/// One complete run of a vector file.
pub struct Vector {
    pub name: String,
    pub challenge: Challenge,
    /// The result as the file has it.
    pub value: Value,
    pub result: ResultDoc,
}

/// All complete runs, in the order of their names.
pub fn vectors() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = std::fs::read_dir(VECTORS)
        .expect("tests/vectors exists")
        .filter_map(|entry| read_vector(&entry.expect("readable").path()))
        .collect();
    vectors.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(vectors.len() >= 9, "vector files are missing");
    vectors
}

/// The run of one vector file.
pub fn vector(name: &str) -> Vector {
    read_vector(format!("{VECTORS}/{name}").as_ref()).expect("a complete run")
}

fn read_vector(path: &std::path::Path) -> Option<Vector> {
    let mut file: Value = serde_json::from_slice(&std::fs::read(path).expect("readable")).unwrap();
    let value = file.get_mut("result")?.take();
    let challenge = Challenge::from_token(file["challenge"].as_str().unwrap()).unwrap();
    let result = ResultDoc::read(value.to_string().as_bytes(), &challenge).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Some(Vector { name, challenge, value, result })
}

/// m FP64 products of n × n matrices, as a challenge names them.
pub fn products(matrix_dim: u64, num_matrices: u64) -> WorkFields {
    WorkFields::Fp64Product(Fp64Fields { matrix_dim, num_matrices })
}

/// m int8 products of n × n matrices, as a challenge names them.
pub fn integers(matrix_dim: u64, num_matrices: u64) -> WorkFields {
    WorkFields::IntegerProduct(IntegerFields { matrix_dim, num_matrices })
}

/// Sweeps of arenas, as a challenge names them.
pub fn arena(arena_blocks: u64, half_passes: u64, peer_blocks: u64) -> WorkFields {
    WorkFields::MemoryResidency(MemoryFields { arena_blocks, half_passes, peer_blocks })
}

/// A small valid challenge to change.
pub fn spec() -> ChallengeSpec {
    ChallengeSpec {
        version: 1,
        work: products(128, 1),
        gpu_pow_seed: Digest([1; 32]),
        validator_nonce: Digest([2; 32]),
        num_iterations: 2,
        sync_interval: 1,
        verification_sample_rate: 1.0,
        samples_per_iteration: 2,
        issued_at: "2026-01-01T00:00:00Z".to_owned(),
        expires_at: "2026-01-01T01:00:00Z".to_owned(),
        gpu_count: None,
        gpu_model: None,
        min_memory_bytes: None,
        max_duration_ms: None,
        min_sm_utilization: None,
        miner_id: None,
        validator_id: None,
    }
}

/// Every field of this evidence, at any depth, is in docs/evidence.md.
#[track_caller]
pub fn assert_documented(evidence: &Value) {
    match evidence {
        Value::Object(members) => {
            for (name, value) in members {
                let docs = include_str!("../../docs/evidence.md");
                assert!(docs.contains(&format!("`{name}`")), "docs/evidence.md lacks {name}");
                assert_documented(value);
            }
        }
        Value::Array(values) => values.iter().for_each(assert_documented),
        _ => {}
    }
}

/// Evidence of the CPU executor for these lanes.
pub fn cpu_evidence(uuids: &[Uuid]) -> Evidence {
    evidence_of_models(uuids, &vec!["reference"; uuids.len()])
}

/// Evidence of lanes without counters that claim these models.
pub fn evidence_of_models(uuids: &[Uuid], models: &[&str]) -> Evidence {
    let lane = |(uuid, model): (&Uuid, &&str)| {
        json!({
            "uuid": uuid.to_string(),
            "model": model,
            "memory_bytes": 1024,
            "sm_count": 0,
            "sm_tiles": [],
        })
    };
    let lanes: Vec<Value> = uuids.iter().zip(models).map(lane).collect();
    Evidence::from_value(json!({"schema": 1, "executor": "cpu", "lanes": lanes})).unwrap()
}

/// An honest miner on the CPU.
pub fn cpu_miner(signs_with: Option<SigningIdentity>) -> Miner {
    // One device, whatever it is asked.
    let uuid = Some(CpuExecutor::new(CpuOptions::default()).facts().uuid);
    cpu_miner_with(signs_with, move |_| {
        let cpu: Box<dyn Executor> =
            Box::new(CpuExecutor::new(CpuOptions { uuid, ..CpuOptions::default() }));
        vec![cpu]
    })
}

/// The same on the executors that `open` opens.
pub fn cpu_miner_with(
    signs_with: Option<SigningIdentity>,
    open: impl Fn(&Challenge) -> Vec<Box<dyn Executor>> + Send + Sync + 'static,
) -> Miner {
    let devices = vec![Device {
        kind: DeviceKind::Cpu,
        model: "a CPU".to_owned(),
        uuid: None,
        memory_bytes: 0,
    }];
    let open = Box::new(move |challenge: &Challenge| Ok(open(challenge).into()));
    let miner = Miner::new(Arc::new(OnDemand { devices, open }));
    Miner { identity: signs_with.map(Arc::new), ..miner }
}

/// The oracle, computing each leaf once and each arena once: for verifying one run many
/// times.
#[derive(Default)]
pub struct Remembering(Mutex<Vec<KnownRun>>);

/// What is known of the leaves of a run.
struct KnownRun {
    work: Work,
    seeds: Vec<State>,
    leaves: Leaves,
    hashes: HashMap<LeafRequest, Digest>,
}

impl Remembering {
    /// What is known of `run`, for `use_it`.
    fn with<T>(&self, run: &RunInputs<'_>, use_it: impl FnOnce(&mut KnownRun) -> T) -> T {
        let mut known = self.0.lock().expect("no test panics while it holds this");
        let same = |known: &KnownRun| known.work == run.work && known.seeds == run.seeds;
        let at = known.iter().position(same).unwrap_or_else(|| {
            let (seeds, leaves) = (run.seeds.to_vec(), Leaves::of(run));
            known.push(KnownRun { work: run.work, seeds, leaves, hashes: HashMap::new() });
            known.len() - 1
        });
        use_it(&mut known[at])
    }
}

impl Recompute for Remembering {
    fn leaf_hashes(
        &self,
        run: &RunInputs<'_>,
        requests: &[LeafRequest],
    ) -> Result<Vec<Digest>, RecomputeError> {
        Ok(self.with(run, |KnownRun { leaves, hashes, .. }| {
            let hash = |request: &LeafRequest| {
                *hashes.entry(*request).or_insert_with(|| leaves.leaf(&request.at, request.leaf))
            };
            requests.iter().map(hash).collect()
        }))
    }
}

impl RecomputeIteration for Remembering {
    fn iteration_root(
        &mut self,
        run: &RunInputs<'_>,
        at: &IterationPlace,
    ) -> Result<Root, RecomputeError> {
        Ok(self.with(run, |known| Root::of_tree(tree_hash(&known.leaves.iteration(at)))))
    }
}

/// A pipe whose ends are both non-blocking, as Node.js leaves them.
pub fn impatient_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    set_non_blocking(&reader);
    set_non_blocking(&writer);
    (reader, writer)
}

/// Sets O_NONBLOCK on what is open there, for whoever shares it.
pub fn set_non_blocking(end: impl AsFd) {
    fcntl_setfl(&end, fcntl_getfl(&end).unwrap() | OFlags::NONBLOCK).unwrap();
}

/// Everything that comes, read with pauses: whoever writes finds the pipe full.
pub fn read_slowly(mut reader: PipeReader) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return all,
            Ok(length) => all.extend_from_slice(&piece[..length]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Checks a result by its samples, then recomputes whole iterations, all with the oracle.
pub fn verify_full(
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
    extent: Extent,
) -> Result<Verified, Failure> {
    let mut oracle = Remembering::default();
    let whole = Some((extent, &mut oracle as _));
    let means = Means { recompute: &Oracle, whole, progress: &mut |_| {} };
    verify_with(challenge, result, circumstances, means)
}
