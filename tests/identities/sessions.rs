//! Committing first and opening with a coin; receipts of it.

use crate::identities::{Desk, OK};
use attest::executor::cpu::CpuVerifier;
use attest::identity::SigningIdentity;
use attest::mining::committed::Committed;
use attest::mining::executors::{Choice, choose};
use attest::mining::issue::{Request, issue};
use attest::mining::mine::{MineOptions, commit};
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::names::Coin;
use attest::protocol::receipt::Receipt;
use attest::protocol::result::{self, ResultDoc};
use attest::protocol::signature::miner_message;
use attest::protocol::verified::CoinStanding;
use attest::protocol::verify::verify;
use attest::session::clock::unix_ms;

const COIN: Coin = Coin::new([7; 32]).unwrap();

/// Both sides of a session.
struct Sides {
    miner: SigningIdentity,
    validator: SigningIdentity,
    challenge: Challenge,
}

impl Sides {
    fn new() -> Self {
        let [miner, validator] = [(); 2].map(|()| SigningIdentity::generate().unwrap());
        let request = Request {
            matrix_dim: Some(128),
            num_matrices: Some(1),
            num_iterations: Some(2),
            samples_per_iteration: Some(20),
            miner_id: Some(miner.public()),
            validator_id: Some(validator.public()),
            ..Request::default()
        };
        Self { challenge: issue(&request).unwrap(), miner, validator }
    }

    fn commit(&self) -> Committed {
        let executors = choose(&Choice::Cpu, &self.challenge).unwrap().executors;
        let options = MineOptions { identity: Some(&self.miner), ..MineOptions::default() };
        commit(&self.challenge, executors, &options, &|_| ()).unwrap()
    }
}

/// It may wait for the coin on another thread than it was made on.
const fn crosses_threads<T: Send>() {}
const _: () = crosses_threads::<Committed>();

#[test]
fn a_commitment_is_signed_and_complete_before_it_is_opened() {
    let sides = Sides::new();
    let committed = sides.commit();
    assert_eq!(committed.challenge_digest(), sides.challenge.digest());
    let again = result::commit(&sides.challenge, committed.lanes(), committed.evidence());
    assert_eq!(again, committed.commitment());
    assert_eq!(committed.lanes()[0].iteration_roots.len(), 2);
    assert_eq!(committed.lane_facts().count(), 1);
    let message = miner_message(&sides.challenge.digest(), &committed.commitment());
    let key = sides.miner.public();
    assert!(key.verifies(&message, &committed.miner_signature().unwrap()));
}

#[test]
fn a_coin_is_in_the_result_and_chooses_its_samples() {
    let sides = Sides::new();
    let committed = sides.commit();
    let commitment = committed.commitment();
    let result = committed.open(Some(COIN)).unwrap();
    assert_eq!((result.coin, result.commitment), (Some(COIN), commitment));
    let other = sides.commit().open(None).unwrap();
    assert_eq!(other.coin, None);
    let points = |result: &ResultDoc| -> Vec<_> {
        result.openings.iter().map(|opening| opening.point()).collect()
    };
    assert_ne!(points(&result), points(&other));
    let session = Some(SessionRecord { commitment, coin: COIN });
    let record = IssuerRecord { nonce_spent_on: Some(commitment), session };
    let circumstances = Circumstances { issuer: Issuer::Record(record), ..Default::default() };
    let verified = verify(&sides.challenge, &result, &circumstances, &CpuVerifier::new()).unwrap();
    assert!(matches!(verified.coin(), CoinStanding::Recorded));
}

#[test]
fn a_receipt_shows_that_the_session_was_live() {
    let sides = Sides::new();
    let result = sides.commit().open(Some(COIN)).unwrap();
    let now_ms = unix_ms();
    let signed = sides.validator.sign_receipt(&sides.challenge, &result.commitment, COIN, now_ms);
    let receipt = signed.unwrap();
    let standing = |receipt: &Receipt| {
        let circumstances = Circumstances { receipt: Some(receipt), ..Default::default() };
        let end = verify(&sides.challenge, &result, &circumstances, &CpuVerifier::new());
        matches!(end.unwrap().coin(), CoinStanding::Receipt { .. })
    };
    assert!(standing(&receipt));
    assert!(!standing(&Receipt { arrived_unix_ms: now_ms - 1, ..receipt.clone() }));
    // The miner can't write one for itself.
    assert!(sides.miner.sign_receipt(&sides.challenge, &result.commitment, COIN, now_ms).is_err());

    let desk = Desk::new();
    desk.write("token.txt", sides.challenge.token());
    desk.write("result.json", &result.to_json());
    desk.write("receipt.json", &receipt.to_json());
    let args = "verify result.json --challenge @token.txt --receipt receipt.json".split(' ');
    let verdict = desk.attest(OK, args).stdout;
    assert!(verdict.contains("validator_id signed that the samples were drawn after"), "{verdict}");
}
