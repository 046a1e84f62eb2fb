//! Well-formed results that differ from the run's own by a few edits, the
//! commitment recomputed and signed or not: none of them verifies.
#![no_main]

use attest::protocol::digest::Digest;
use attest::protocol::names::{Coin, Root};
use attest::protocol::result::{ResultDoc, commit};
use attest::protocol::signature::miner_message;
use attest_fuzz::{Fixture, Script, identity};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

fn flip(bytes: &mut [u8; 32], script: &mut Script<'_>) {
    bytes[script.index(32)] ^= script.byte();
}

fn edit(result: &mut ResultDoc, edit: u8, script: &mut Script<'_>) {
    let lane = script.index(result.lanes.len());
    let at = script.index(result.openings.len());
    let roots = result.lanes.get_mut(lane).map(|lane| &mut lane.iteration_roots);
    match (edit % 16, roots, result.openings.get_mut(at)) {
        (0, ..) => flip(&mut result.commitment.0, script),
        (1, ..) => flip(&mut result.challenge_digest.0, script),
        (2, ..) => result.coin = None,
        (3, ..) => {
            let mut bytes = result.coin.map_or([0; 32], |coin| *coin.as_bytes());
            flip(&mut bytes, script);
            result.coin = Coin::new(bytes);
        }
        (4, Some(roots), _) if !roots.is_empty() => {
            let root = script.index(roots.len());
            flip(&mut roots[root].0, script);
        }
        (5, Some(roots), _) => roots.truncate(script.index(4)),
        (6, Some(roots), _) => roots.push(Root([script.byte(); 32])),
        (7, Some(_), _) => result.lanes[lane].uuid.0[0] ^= script.byte(),
        (8, Some(_), _) => drop(result.lanes.remove(lane)),
        (9, Some(_), _) => result.lanes.swap(0, lane),
        (10, _, Some(opening)) => opening.lane ^= u32::from(script.byte()),
        (11, _, Some(opening)) => {
            opening.iteration ^= u32::from(script.short()) << (script.byte() % 17)
        }
        (12, _, Some(opening)) => opening.leaf ^= u64::from(script.short()) << (script.byte() % 49),
        (13, _, Some(opening)) => match opening.path.len() {
            0 => opening.path.push(Digest([script.byte(); 32])),
            length => flip(&mut opening.path[script.index(length)].0, script),
        },
        (14, _, Some(_)) => drop(result.openings.remove(at)),
        (15, _, Some(opening)) => {
            let copy = opening.clone();
            result.openings.insert(at, copy);
        }
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let (challenge, mut script) = (&FIXTURE.challenge, Script(data));
    let mut result = FIXTURE.result.clone();
    let is_committed = script.byte().is_multiple_of(2);
    for _ in 0..16 {
        let Some(what) = script.step() else { break };
        edit(&mut result, what, &mut script);
    }
    let fits = result.lanes.iter().all(|lane| lane.iteration_roots.len() == 4);
    if is_committed && fits && !result.lanes.is_empty() {
        result.commitment = commit(challenge, &result.lanes, &result.evidence);
        let message = miner_message(&challenge.digest(), &result.commitment);
        result.miner_signature = Some(identity(2).sign(&message));
    }
    FIXTURE.verify(&result);
});
