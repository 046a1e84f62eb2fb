//! Results of live sessions before verifiers that were not there: coins dropped,
//! invented, and receipts that nobody signed. And results of somebody else.

use super::{Say, UUIDS, alone, challenge, code_of, key, public, within};
use attest::executor::cpu::CpuVerifier;
use attest::mining::issue::Request;
use attest::protocol::bound::{Bound, Grinding, OmittedShare};
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::{Circumstances, Issuer, IssuerRecord, SessionRecord};
use attest::protocol::digest::Digest;
use attest::protocol::names::Coin;
use attest::protocol::receipt::Receipt;
use attest::protocol::result::ResultDoc;
use attest::protocol::signature::{miner_message, receipt_message};
use attest::protocol::verdict::{Outcome, Verdict, Work};
use attest::protocol::verify::verify;
use attest::protocol::work::fp64_product::LeafPlace;
use attest::reference::{Oracle, Run};

const COIN: Coin = Coin::new([9; 32]).unwrap();

/// A challenge of the validator with key 1, with too few draws to show anything
/// without a coin, and enough with one.
fn small() -> Challenge {
    challenge(|spec| {
        spec.validator_id = Some(public(1).encoded());
        spec.samples_per_iteration = 60;
    })
}

/// A verdict by who has this receipt, if any, and no record.
fn verdict(challenge: &Challenge, result: &ResultDoc, receipt: Option<&Receipt>) -> Verdict {
    let circumstances = Circumstances { receipt, ..Circumstances::default() };
    let end = verify(challenge, result, &circumstances, &CpuVerifier::new());
    assert_eq!(code_of(&end), "verified");
    if let (Ok(verified), true) = (&end, result.coin.is_none() || receipt.is_none()) {
        let Bound::Sampled { grinding, .. } = Bound::of(verified, OmittedShare::default()) else {
            panic!("samples were checked");
        };
        assert_eq!(grinding, Grinding::Possible);
    }
    Verdict::of(&end, OmittedShare::default())
}

/// The result of a session whose record and receipt are at hand.
fn of_a_session(challenge: &Challenge) -> (ResultDoc, Receipt) {
    let result = Say::honestly(challenge).result(Some(COIN));
    let arrived_unix_ms = 1000 * challenge.issued_at_unix_s() as u64 + 5;
    let signer = super::identity(1);
    let receipt = signer.sign_receipt(challenge, &result.commitment, COIN, arrived_unix_ms);
    (result, receipt.unwrap())
}

/// A run with every other leaf made up.
fn half_of_it(challenge: &Challenge) -> Say {
    let shape = challenge.work().fp64_product().unwrap();
    Say::of(Run::with(challenge, &UUIDS[..1], |_, _, state| {
        let honest = |leaf| Oracle.leaf_hash(state, shape.dim, LeafPlace::of(shape, leaf));
        let leaf = |leaf| if leaf % 2 == 0 { honest(leaf) } else { Digest([0xee; 32]) };
        (0..shape.leaves()).map(leaf).collect()
    }))
}

/// Its result under the first coin tried whose samples miss what is made up.
fn with_a_lucky_coin(challenge: &Challenge, say: &Say) -> ResultDoc {
    (0_u64..)
        .map(|try_| say.result(Some(super::drawn(&[b"try", &try_.to_be_bytes()]))))
        .find(|result| alone(challenge, result) == "verified")
        .unwrap()
}

#[test]
fn a_receipt_shows_a_session_to_others() {
    let challenge = small();
    let (result, receipt) = of_a_session(&challenge);
    assert_eq!(verdict(&challenge, &result, Some(&receipt)).work, Work::Proven);
}

#[test]
fn the_coin_dropped() {
    let challenge = small();
    let (mut result, receipt) = of_a_session(&challenge);
    result.coin = None;
    assert_eq!(alone(&challenge, &result), "openings-mismatch");
    // Opened anew without a coin it verifies, and shows nothing: too few samples
    // for a miner that could choose its commitment. The receipt is for a coin.
    let anew = Say::honestly(&challenge).result(None);
    assert_eq!(verdict(&challenge, &anew, None).work, Work::NotProven);
    assert_eq!(verdict(&challenge, &anew, Some(&receipt)).work, Work::NotProven);
    // The issuer knows that there was one.
    let session = SessionRecord { commitment: anew.commitment, coin: COIN };
    let record = IssuerRecord { nonce_spent_on: Some(session.commitment), session: Some(session) };
    let issuer = Circumstances { issuer: Issuer::Record(record), ..Default::default() };
    assert_eq!(within(&challenge, &anew, &issuer), "coin-missing");
}

#[test]
fn a_coin_invented() {
    // Half of the work is missing, and the coin is chosen so that no sample
    // finds it: with three draws one coin in eight will do.
    let challenge = challenge(|spec| {
        (spec.num_iterations, spec.samples_per_iteration) = (1, 3);
        spec.validator_id = Some(public(1).encoded());
    });
    let say = half_of_it(&challenge);
    let found = with_a_lucky_coin(&challenge, &say);
    // A stranger is not impressed by a coin without a receipt, nor by one that the
    // miner signed.
    assert_eq!(verdict(&challenge, &found, None).work, Work::NotProven);
    let arrived_unix_ms = 1000 * challenge.issued_at_unix_s() as u64;
    let message = receipt_message(
        &challenge.digest(),
        &found.commitment,
        &found.coin.unwrap(),
        arrived_unix_ms,
    );
    let forged = Receipt {
        arrived_unix_ms,
        coin: found.coin.unwrap(),
        signature: super::identity(2).sign(&message),
    };
    let verdict = verdict(&challenge, &found, Some(&forged));
    assert_eq!((verdict.outcome, verdict.work), (Outcome::Verified, Work::NotProven));
    // The issuer has no session of it.
    let record = Issuer::Record(IssuerRecord::default());
    let issuer = Circumstances { issuer: record, ..Default::default() };
    assert_eq!(within(&challenge, &found, &issuer), "coin-without-session");
    // Under the coin that a validator draws it is one try in eight, once.
    let live = (0_u64..200)
        .map(|session| super::drawn(&[b"drawn", &session.to_be_bytes()]))
        .filter(|coin| alone(&challenge, &say.result(Some(*coin))) == "verified")
        .count();
    assert!((10..=40).contains(&live), "{live} of 200, expected are 25");
}

#[test]
fn a_receipt_for_another_session() {
    let challenge = small();
    let (result, receipt) = of_a_session(&challenge);
    let other = challenge_of_the_same_validator();
    let (_, elsewhere) = of_a_session(&other);
    assert_eq!(verdict(&challenge, &result, Some(&elsewhere)).work, Work::NotProven);
    let mut earlier = receipt.clone();
    earlier.arrived_unix_ms -= 1;
    assert_eq!(verdict(&challenge, &result, Some(&earlier)).work, Work::NotProven);
    // Nobody's receipt counts where the challenge names no validator.
    let unnamed = super::challenge(|spec| spec.samples_per_iteration = 60);
    let result = Say::honestly(&unnamed).result(Some(COIN));
    assert_eq!(verdict(&unnamed, &result, Some(&receipt)).work, Work::NotProven);
}

#[test]
fn a_miner_is_its_own_validator() {
    // It issues the challenge itself, tries coins until one misses what it left out,
    // and signs the receipt. To others that is a session, as good as the word of the
    // key that says so: which one that is, the verdict must say.
    let challenge = challenge(|spec| {
        (spec.num_iterations, spec.samples_per_iteration) = (1, 3);
        spec.validator_id = Some(public(2).encoded());
    });
    let say = half_of_it(&challenge);
    let found = with_a_lucky_coin(&challenge, &say);
    let arrived_unix_ms = 1000 * challenge.issued_at_unix_s() as u64;
    let coin = found.coin.unwrap();
    let own = super::identity(2);
    let receipt = own.sign_receipt(&challenge, &found.commitment, coin, arrived_unix_ms).unwrap();
    let verdict = verdict(&challenge, &found, Some(&receipt));
    assert_eq!((verdict.outcome, verdict.work), (Outcome::Verified, Work::Proven));
    let said = verdict.facts.iter().find(|fact| fact.subject == "session").unwrap();
    assert!(said.text.contains(&public(2).to_string()), "{}", said.text);
    let not_checked = verdict.not_checked.join("\n");
    assert!(not_checked.contains("receipt"), "{not_checked}");
}

fn challenge_of_the_same_validator() -> Challenge {
    let mut spec = small().spec().clone();
    spec.validator_nonce = Digest([3; 32]);
    Challenge::issue(spec).unwrap()
}

/// Two challenges that differ in nonce and miner only: of A (key 2), of B (key 3).
fn of_a_and_b() -> [Challenge; 2] {
    [2, 3].map(|miner| {
        challenge(|spec| {
            spec.validator_nonce = Digest([miner; 32]);
            spec.miner_id = Some(public(miner).encoded());
        })
    })
}

#[test]
fn b_answers_with_as_work() {
    let [to_a, to_b] = of_a_and_b();
    let as_own = Say::honestly(&to_a).signed(key(2)).result(None);
    assert_eq!(alone(&to_a, &as_own), "verified");
    assert_eq!(alone(&to_b, &Say::honestly(&to_b).signed(key(3)).result(None)), "verified");
    // As it is; with B's signature to A's challenge; with A's challenge's name gone.
    assert_eq!(alone(&to_b, &as_own), "challenge-mismatch");
    let mut bs = Say::honestly(&to_a).signed(key(3)).result(None);
    assert_eq!(alone(&to_a, &bs), "signature-invalid");
    bs.challenge_digest = to_b.digest();
    let message = miner_message(&to_b.digest(), &bs.commitment);
    bs.miner_signature = Some(super::identity(3).sign(&message));
    assert_eq!(alone(&to_b, &bs), "commitment-mismatch");
    // A's leaves under B's own chain, commitment and signature: consistent, and
    // of other matrices.
    let as_run = Run::of(&to_a, &UUIDS[..1]);
    let relabelled = Run::with(&to_b, &UUIDS[..1], |lane, iteration, _| {
        as_run.leaves[lane as usize][iteration as usize - 1].clone()
    });
    assert_eq!(alone(&to_b, &Say::of(relabelled).signed(key(3)).result(None)), "leaf-mismatch");
}

#[test]
fn requests_bind_a_miner_only_where_they_name_one() {
    // The label is part of the trick's answer: unsigned results are anyone's.
    let unbound = attest::mining::issue::issue(&Request {
        matrix_dim: Some(128),
        num_matrices: Some(1),
        num_iterations: Some(1),
        ..Request::default()
    })
    .unwrap();
    let result = Say::honestly(&unbound).result(None);
    let verdict = verdict(&unbound, &result, None);
    assert!(verdict.facts.iter().any(|fact| fact.text.contains("not bound to a miner")));
}
