//! Dishonest miners, one a trick, against the real validator: each is rejected
//! for the right reason, and an honest miner passes under the same conditions.
//!
//! docs/threat-model.md has the table of all tricks with mechanism, code and
//! test, also of those whose tests are elsewhere; [`table`] checks it.

mod arithmetic;
mod beside;
mod demands;
mod device_reports;
mod devices;
mod dies;
mod grinding;
mod handed_in;
mod integer_time;
mod lies;
mod machine_reports;
mod memory;
mod memory_rule;
mod memory_time;
mod omissions;
mod outsiders;
mod paths;
mod replays;
mod revocation;
mod rounds;
mod sessions;
mod signatures;
mod table;
mod terminals;
mod text;
mod times;
mod turned;

use crate::common::{cpu_evidence, spec};
use crate::live::peer::{Peer, session_with};
use crate::live::recording::Recording;
use attest::identity::SigningIdentity;
use attest::mining::issue::Request;
use attest::protocol::challenge::{Challenge, ChallengeSpec};
use attest::protocol::circumstances::Circumstances;
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::evidence::Evidence;
use attest::protocol::names::Coin;
use attest::protocol::result::ResultDoc;
use attest::protocol::signature::PublicKey;
use attest::protocol::verdict::Outcome;
use attest::protocol::verified::Verified;
use attest::protocol::verify::{Failure, verify};
use attest::reference::Run;
use attest::session::drive::Validator;
use attest::session::message::{commitment_line_of, openings_line};
use attest::session::validator::Ended;
use ed25519_dalek::SigningKey;
use std::sync::Arc;

/// The devices of these miners.
const UUIDS: [Uuid; 2] = [Uuid([7; 16]), Uuid([8; 16])];

/// A key of its own for each `seed`.
fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn identity(seed: u8) -> SigningIdentity {
    key(seed).into()
}

fn public(seed: u8) -> PublicKey {
    identity(seed).public()
}

/// A coin as a validator may draw it.
fn drawn(parts: &[&[u8]]) -> Coin {
    Coin::new(Digest::of(parts).0).unwrap()
}

/// A small challenge in which every leaf is likely to be sampled: 256 leaves an
/// iteration, 400 draws.
fn challenge(change: impl FnOnce(&mut ChallengeSpec)) -> Challenge {
    let mut spec = ChallengeSpec { samples_per_iteration: 400, ..spec() };
    change(&mut spec);
    Challenge::issue(spec).unwrap()
}

/// The same, as a validator of live sessions asks for it.
fn request() -> Request {
    Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(2),
        samples_per_iteration: Some(400),
        gpu_count: Some(1),
        ..Request::default()
    }
}

/// All that a miner has to say to a challenge: a run, honest or not, and words.
struct Say {
    run: Run,
    evidence: Evidence,
    key: Option<SigningKey>,
}

impl Say {
    /// Unsigned, about a CPU.
    fn of(run: Run) -> Self {
        let uuids: Vec<Uuid> = run.lanes().iter().map(|lane| lane.uuid).collect();
        Self { run, evidence: cpu_evidence(&uuids), key: None }
    }

    /// Honest work on one device.
    fn honestly(challenge: &Challenge) -> Self {
        Self::of(Run::of(challenge, &UUIDS[..1]))
    }

    fn signed(self, key: SigningKey) -> Self {
        Self { key: Some(key), ..self }
    }

    fn result(&self, coin: Option<Coin>) -> ResultDoc {
        self.run.result(self.evidence.clone(), coin, self.key.as_ref())
    }

    fn commitment_line(&self) -> Vec<u8> {
        let ResultDoc { commitment, lanes, evidence, miner_signature, .. } = self.result(None);
        commitment_line_of(commitment, &lanes, &evidence, miner_signature)
    }

    fn openings_line(&self, coin: Coin) -> Vec<u8> {
        openings_line(&self.result(Some(coin)))
    }
}

/// A live session of a real validator, over streams, with the miner that `play`
/// plays.
async fn live<F>(ledger: &Arc<Recording>, request: Request, play: impl FnOnce(Peer) -> F) -> Ended
where
    F: Future<Output = ()>,
{
    let mut validator = Validator::new(ledger.clone(), request);
    validator.identity = Some(Arc::new(identity(1)));
    session_with(validator, play).await
}

/// A live session with a miner that says all in its turn.
async fn live_with(request: Request, say: impl FnOnce(&Challenge) -> Say) -> Ended {
    live(&Recording::new(), request, async |mut peer| {
        peer.greet(None).await;
        let say = say(&peer.challenge().await);
        peer.send(say.commitment_line()).await;
        let coin = peer.coin().await;
        peer.send(say.openings_line(coin)).await;
        peer.linger().await;
    })
    .await
}

/// The session ended with this code; "verified" where it stands.
#[track_caller]
fn ended_with(code: &str, ended: &Ended) {
    let outcome = if code == "verified" { Outcome::Verified } else { Outcome::Rejected };
    assert_eq!(ended.verdict.outcome, outcome, "expected {code}: {:?}", ended.verdict);
    assert_eq!(ended.verdict.code.unwrap_or("verified"), code, "{:?}", ended.verdict);
}

/// The code of a verification; "verified" where it stands.
fn code_of(end: &Result<Verified, Failure>) -> &'static str {
    match end {
        Ok(_) => "verified",
        Err(Failure::Rejected(rejection)) => rejection.code(),
        Err(fault) => panic!("{fault}"),
    }
}

/// What a stranger's verification says, without records and clocks.
fn alone(challenge: &Challenge, result: &ResultDoc) -> &'static str {
    within(challenge, result, &Circumstances::default())
}

fn within(
    challenge: &Challenge,
    result: &ResultDoc,
    circumstances: &Circumstances<'_>,
) -> &'static str {
    let verifier = attest::executor::cpu::CpuVerifier::new();
    code_of(&verify(challenge, result, circumstances, &verifier))
}
