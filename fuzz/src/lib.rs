//! What the fuzz targets share: one small run with everything that is said about it,
//! and how a target takes numbers out of arbitrary bytes.
//!
//! Guarantees: the same run every time, so that an input means the same later.
//! Deliberately lacks: an executor; the oracle computes the run.

use attest::executor::cpu::CpuVerifier;
use attest::identity::SigningIdentity;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::names::Coin;
use attest::protocol::result::ResultDoc;
use attest::protocol::signature::miner_message;
use attest::protocol::verify::{Failure, verify};
use attest::protocol::work::WorkFields;
use attest::protocol::work::fp64_product::Fp64Fields;
use attest::reference::Run;
use attest::session::message::{commitment_line_of, openings_line};
use ed25519_dalek::SigningKey;
use serde_json::json;

/// The lanes of the run.
pub const UUIDS: [Uuid; 2] = [Uuid([7; 16]), Uuid([8; 16])];
/// The coin of its session.
pub const COIN: Coin = Coin::new([5; 32]).unwrap();

/// A run of two lanes and everything that is said about it.
pub struct Fixture {
    /// Names miner and validator.
    pub challenge: Challenge,
    /// Answered in a live session with [`COIN`].
    pub result: ResultDoc,
    /// The first half as a message.
    pub commitment_line: Vec<u8>,
    /// The second half as a message.
    pub openings_line: Vec<u8>,
}

/// The key that `seed` stands for.
pub fn identity(seed: u8) -> SigningIdentity {
    SigningKey::from_bytes(&[seed; 32]).into()
}

/// The specification of the run's challenge.
pub fn spec() -> ChallengeSpec {
    ChallengeSpec {
        version: 1,
        work: WorkFields::Fp64Product(Fp64Fields { matrix_dim: 128, num_matrices: 1 }),
        gpu_pow_seed: Digest([1; 32]),
        validator_nonce: Digest([2; 32]),
        num_iterations: 4,
        sync_interval: 2,
        verification_sample_rate: 0.5,
        samples_per_iteration: 2,
        issued_at: "2026-01-01T00:00:00Z".to_owned(),
        expires_at: "2026-01-01T01:00:00Z".to_owned(),
        gpu_count: Some(2),
        gpu_model: None,
        min_memory_bytes: Some(1024),
        max_duration_ms: Some(60_000),
        min_sm_utilization: None,
        miner_id: Some(identity(2).public().encoded()),
        validator_id: Some(identity(1).public().encoded()),
    }
}

impl Fixture {
    /// Computes it.
    pub fn new() -> Self {
        let challenge = Challenge::issue(spec()).expect("within the bounds");
        let lane = |uuid: &Uuid| {
            let uuid = uuid.to_string();
            json!({"uuid": uuid, "model": "a CPU", "memory_bytes": 1024, "sm_count": 0, "sm_tiles": []})
        };
        let lanes: Vec<_> = UUIDS.iter().map(lane).collect();
        let evidence = json!({"schema": 1, "executor": "cpu", "lanes": lanes});
        let evidence = Evidence::from_value(evidence).expect("of the right form");
        let run = Run::of(&challenge, &UUIDS);
        let message = miner_message(&challenge.digest(), &run.commitment(&evidence));
        let miner_signature = Some(identity(2).sign(&message));
        let result = run.result(evidence, Some(COIN), None);
        let result = ResultDoc { miner_signature, ..result };
        let ResultDoc { commitment, lanes, evidence, .. } = &result;
        let commitment_line = commitment_line_of(*commitment, lanes, evidence, miner_signature);
        let openings_line = openings_line(&result);
        Self { challenge, result, commitment_line, openings_line }
    }

    /// Verifies `result` as whoever did not issue the challenge; only the run's own
    /// result may pass.
    pub fn verify(&self, result: &ResultDoc) {
        let end = verify(&self.challenge, result, &Circumstances::default(), &CpuVerifier::new());
        match end {
            Ok(_) => assert_eq!(*result, self.result, "another result verifies"),
            Err(Failure::Rejected(rejection)) => assert!(!rejection.code().is_empty()),
            Err(Failure::CouldNotRun(error)) => panic!("no verdict: {error}"),
        }
    }
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes numbers and pieces out of arbitrary bytes; 0 and nothing after their end.
pub struct Script<'a>(pub &'a [u8]);

impl<'a> Script<'a> {
    /// The next byte; `None` at the end.
    pub fn step(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, 0 at the end.
    pub fn byte(&mut self) -> u8 {
        self.step().unwrap_or(0)
    }

    /// The next two bytes, big-endian.
    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A place in a list of `len`; 0 where it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        usize::from(self.short()) % len.max(1)
    }

    /// The next piece: its length in two bytes, then the piece, or what there is.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.short()).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }
}
